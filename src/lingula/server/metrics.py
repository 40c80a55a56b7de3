"""Counts and times of a server in the text format of Prometheus: of requests and jobs, of what nodes have to do.

Labels are routes, codes and states; none holds an address, a name or a text that was sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lingula import __version__
from lingula.errors import LingulaError
from lingula.library import Library
from lingula.node.drift import DriftWatch
from lingula.study import Analysis

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What one server counts, in a registry of its own."""

    def __init__(self, model: str, library: Library | None, drift: DriftWatch) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "lingula_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )  # fmt: skip
        self._seconds = Histogram(
            "lingula_request_seconds", "Time to answer.", ["method", "route"], buckets=SECONDS, registry=self._registry
        )
        self._refusals = Counter("lingula_refusals", "Refusals by their code.", ["code"], registry=self._registry)
        self._gate = Counter(
            "lingula_gate",
            "Films by what the gate says of them.",
            ["familiarity", "projection"],
            registry=self._registry,
        )
        self.jobs: Callable[[], Mapping[str, int]] = dict
        """Imports by state."""
        self._registry.register(_Gauges(self, model, library, drift))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def refusal(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.labels(code).inc()

    def films(self, analysis: Analysis) -> None:
        """Count the films of a study that was judged."""
        for film in analysis.films:
            self._gate.labels(film.familiarity, film.projection).inc()

    def text(self) -> bytes:
        """All of it, as it is now."""
        return bytes(generate_latest(self._registry))


class _Gauges(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, metrics: Metrics, model: str, library: Library | None, drift: DriftWatch) -> None:
        self._metrics, self._model, self._library, self._drift = metrics, model, library, drift

    def collect(self) -> Iterator[Metric]:
        about = GaugeMetricFamily("lingula_about", "Version and model.", labels=["version", "model"])
        about.add_metric([__version__, self._model], 1)
        jobs = GaugeMetricFamily("lingula_jobs", "Imports by state.", labels=["state"])
        for state, count in sorted(self._metrics.jobs().items()):
            jobs.add_metric([state], count)
        yield from (about, jobs)
        is_open = GaugeMetricFamily("lingula_library_up", "Whether the library can be read.")
        found: list[Metric] = []
        try:
            found += _of_library(self._library, self._drift) if self._library is not None else []
            is_open.add_metric([], float(self._library is not None))
        except LingulaError:
            is_open.add_metric([], 0)
        yield from (is_open, *found)


def _of_library(library: Library, watch: DriftWatch) -> list[Metric]:
    studies = GaugeMetricFamily("lingula_studies", "Studies in the library.", value=len(library))
    exchange = GaugeMetricFamily("lingula_node_items", "Films received and objects made, by state.",
                                 labels=["table", "state"])  # fmt: skip
    for table, states in library.exchange.counts().items():
        for state, count in sorted(states.items()):
            exchange.add_metric([table, state], count)
    ages = GaugeMetricFamily("lingula_node_oldest_seconds", "Age of the oldest that waits.", labels=["table"])
    for table, at in library.exchange.oldest().items():
        ages.add_metric([table], max(time.time() - at, 0) if at is not None else 0)
    drift = GaugeMetricFamily("lingula_drift_signals", "Whose films are not as they were, in what.",
                              labels=["sender", "measure"])  # fmt: skip
    for signal in watch.report().signals:
        drift.add_metric([signal.sender, signal.measure], 1)
    return [studies, exchange, ages, drift]
