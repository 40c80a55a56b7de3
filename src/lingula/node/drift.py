"""Whether a sender's films are still as they were: control charts over what nodes saw, against the sender's own films.

The first ``BASELINE`` films of a sender are its baseline. After them every film adds to a cumulative sum (CUSUM; Page,
1954) for each measure, which forgets what is as usual and grows with what is not; over its limit it is a signal, which
stays until somebody looked and let the baseline begin anew. Shares (refusals, faults, unknown films) are charted by the
log-likelihood of a share several times the usual one against the usual one; figures by their ranks among the films that
came long enough before, as normal scores, so that odd distributions and a short baseline do little harm. A kind of
object that the baseline never had is a signal by itself. A week outside three standard errors of the baseline (p-chart)
is marked in the table.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import NormalDist
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, NodeError
from lingula.library import Library
from lingula.library.observation_records import FilmObservation
from lingula.plain import DISCLAIMER

BASELINE = 300
"""Films of a baseline."""
SHARES = {
    "refused": "films refused",
    "view_fault": "films whose header names another view than they show",
    "polarity_fault": "films that look inverted",
    "unfamiliar": "films unlike those the model knows",
}
FIGURES = {
    "findings": "how abnormal the studies look",
    "familiarity": "how well the model knows the films",
    "brightness": "brightness of the films",
    "contrast": "contrast of the films",
    "noise": "noise of the films",
    "frame": "what stands at the edges of the films",
}
KIND = "kind"
NAMES = {**SHARES, **FIGURES, KIND: "a kind of object that never came before"}
SLACK, LIMIT = 0.2, 24.0
"""Of the CUSUM of a figure, in standard deviations: shifts that are let pass, and the sum that is a signal. 2,000 films
as before give a signal of one figure with a probability of 0.04; a shift of 0.5 is found after about 80 films."""
FINDINGS_SLACK, FINDINGS_LIMIT = 0.17, 16.0
"""The same for how abnormal studies look: one figure a study, and a doubled share of abnormal ones shifts it by 0.3."""
BLOCK, LAG = 50, 200
"""The reference of a film's ranks grows with the films, a block at a time, without the last so many."""
SHARE_LIMIT = 9.0
LEAST_SHARE, LEAST_RISE, RISE = 0.002, 0.03, 3.0
"""The share of a fault is taken as at least the first, and tested against the second, or so many times itself."""
NEW_KINDS = 3
"""Films of a kind that never came before, within ``RECENT`` films, that are a signal."""
RECENT = 200
EVERY = 60.0
"""Seconds between two looks."""
_NORMAL = NormalDist()

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DriftSignal:
    """A sender's films are not as they were.

    Attributes:
        measure: one of ``NAMES``. at: of the film that carried it over its limit, in seconds since 1970.
        films: how many had come since the baseline then. baseline, now: share, or mean of the figure, in the baseline
            and in the last ``RECENT`` films until then.
    """

    sender: str
    measure: str
    at: float
    films: int
    baseline: float
    now: float

    SHOWN: ClassVar = {"name": "name"}

    @property
    def name(self) -> str:
        """The measure in words."""
        return NAMES[self.measure]


@dataclass(frozen=True, slots=True)
class SenderWeek:
    """A sender's films of one week (ISO, ``2026-W05``).

    Attributes:
        refused, view_faults, polarity_faults, unfamiliar: shares of the films. flags_per_hundred: findings that stand
            out, of a hundred studies; None without a study.
        outside: measures outside of three standard errors of the baseline.
    """

    sender: str
    week: str
    films: int
    refused: float
    view_faults: float
    polarity_faults: float
    unfamiliar: float
    flags_per_hundred: float | None
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SenderState:
    """How a sender stands: ``learning`` until its baseline has ``BASELINE`` films, then ``usual`` or ``drift``."""

    sender: str
    state: str
    films: int


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All senders, their signals, their weeks, the latest first."""

    senders: tuple[SenderState, ...]
    signals: tuple[DriftSignal, ...]
    weeks: tuple[SenderWeek, ...]
    disclaimer: str = DISCLAIMER


def drift_report(library: Library, *, weeks: int = 8) -> DriftReport:
    """Every sender of a library.

    Args:
        weeks: how many of each are listed.
    """
    states: list[SenderState] = []
    signals: list[DriftSignal] = []
    listed: list[SenderWeek] = []
    for sender in library.observations.senders():
        films = library.observations.of(sender, BASELINE)
        told = signals_of(films)
        state = "learning" if len(films) <= BASELINE else "drift" if told else "usual"
        states.append(SenderState(sender, state, len(films)))
        signals += told
        listed += weeks_of(films)[:weeks]
    return DriftReport(tuple(states), tuple(sorted(signals, key=lambda one: -one.at)), tuple(listed))


def accept_sender(library: Library, sender: str) -> None:
    """Take a sender's films from now on as usual: what was changed on purpose is a signal no longer.

    Raises:
        InputError: ``not_found`` for a sender that sent nothing.
    """
    if sender not in library.observations.senders():
        raise InputError("not_found", f"nothing came from {sender!r}.", "lingula drift names the senders.")
    library.observations.begin_anew(sender, time.time())


class DriftWatch:
    """The report of a library, made anew when films came, at most every ``EVERY`` seconds. Threads may share it."""

    def __init__(self, library: Library | None) -> None:
        self._library = library
        self._report = DriftReport((), (), ())
        self._extent: tuple[int, int, float] | None = None
        self._looked = -math.inf
        self._lock = threading.Lock()

    def report(self, *, fresh: bool = False) -> DriftReport:
        """As of some seconds ago; ``fresh``: as of now."""
        with self._lock:
            if self._library is not None and (fresh or time.monotonic() - self._looked > EVERY):
                extent = self._library.observations.extent()
                if extent != self._extent:
                    self._report, self._extent = drift_report(self._library), extent
                self._looked = time.monotonic()
            return self._report

    def check(self) -> None:
        """Whether all senders' films are as they were.

        Raises:
            NodeError: ``drift``.
        """
        if signals := self.report().signals:
            senders = ", ".join(sorted({each.sender for each in signals}))
            raise NodeError("drift", f"Films are not as they were: {senders}.", "lingula drift says in what.")


def signals_of(films: Sequence[FilmObservation]) -> tuple[DriftSignal, ...]:
    """Signals of one sender's films, each measure's first; the first ``BASELINE`` are its baseline."""
    baseline, later = films[:BASELINE], films[BASELINE:]
    if not later:
        return ()
    crossings = {name: _share_crossing(_shares(baseline, name), _shares(later, name)) for name in SHARES}
    for name in FIGURES:
        slack, limit = (FINDINGS_SLACK, FINDINGS_LIMIT) if name == "findings" else (SLACK, LIMIT)
        crossings[name] = _figure_crossing(_figures(baseline, name), _figures(later, name), slack, limit)
    crossings[KIND] = _new_kind(baseline, later)
    return tuple(
        _signal(name, at, baseline, later) for name, at in crossings.items() if at is not None
    )  # fmt: skip


def _signal(name: str, at: int, baseline: Sequence[FilmObservation], later: Sequence[FilmObservation]) -> DriftSignal:
    values = _figures if name in FIGURES else _shares
    recent = later[max(at + 1 - RECENT, 0) : at + 1]
    before, now = (
        (0.0, float(NEW_KINDS)) if name == KIND else (_mean(values(baseline, name)), _mean(values(recent, name)))
    )
    return DriftSignal(later[at].sender, name, later[at].at, at + 1, before, now)


def _mean(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _shares(films: Sequence[FilmObservation], name: str) -> Values:
    """1 where a film has the fault, 0 where not; NaN where a film that was refused could not have it."""
    if name == "refused":
        return np.array([bool(film.code) for film in films], np.float64)
    return np.array([np.nan if film.code else getattr(film, name) for film in films], np.float64)


def _figures(films: Sequence[FilmObservation], name: str) -> Values:
    values = [getattr(film, name) for film in films]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _expected_share(baseline: Values) -> float:
    """What is expected of a fault that a baseline (N,), without NaN, had in some of its films."""
    return max(float((baseline.sum() + 0.5) / (len(baseline) + 1)), LEAST_SHARE)


def _share_crossing(baseline: Values, later: Values) -> int | None:
    """Which film carries the sum of log-likelihood ratios over its limit; None for none."""
    p0 = _expected_share(baseline[~np.isnan(baseline)])
    p1 = min(max(RISE * p0, LEAST_RISE), (1 + p0) / 2)
    gains = np.where(later > 0, np.log(p1 / p0), np.log((1 - p1) / (1 - p0)))
    return _crossing(np.where(np.isnan(later), 0.0, gains), SHARE_LIMIT)


def _figure_crossing(baseline: Values, later: Values, slack: float = SLACK, limit: float = LIMIT) -> int | None:
    """Which film carries a sum of normal scores, upward or downward, over its limit; None for none."""
    if np.isfinite(baseline).sum() < BASELINE / 4:
        return None
    scores = np.zeros(len(later))
    every = np.concatenate([baseline, later])
    for start in range(0, len(later), BLOCK):
        known = every[: len(baseline) + max(start - LAG, 0)]
        scores[start : start + BLOCK] = _normal_scores(known[np.isfinite(known)], later[start : start + BLOCK])
    gains = [np.where(np.isnan(later), 0.0, sign * scores - slack) for sign in (1, -1)]
    found = [_crossing(each, limit) for each in gains]
    return min((each for each in found if each is not None), default=None)


def _normal_scores(known: Values, values: Values) -> Values:
    """Where values lie among those that are known, as standard normal deviates; 0 for NaN."""
    known = np.sort(known)
    below, upto = (np.searchsorted(known, values, side) for side in ("left", "right"))
    shares = ((below + upto) / 2 + 0.5) / (len(known) + 1)
    pairs = zip(values.tolist(), shares.tolist(), strict=True)
    return np.array([0.0 if np.isnan(value) else _NORMAL.inv_cdf(share) for value, share in pairs])


def _crossing(gains: Values, limit: float) -> int | None:
    """Where a sum that never falls below 0 first exceeds a limit."""
    total = np.cumsum(gains)
    above = total - np.minimum(np.minimum.accumulate(total), 0)
    over = np.flatnonzero(above > limit)
    return int(over[0]) if len(over) else None


def _new_kind(baseline: Sequence[FilmObservation], later: Sequence[FilmObservation]) -> int | None:
    known = {film.kind for film in baseline}
    new = np.cumsum([bool(film.kind) and film.kind not in known for film in later])
    recent = new - np.concatenate([np.zeros(min(RECENT, len(new)), int), new[:-RECENT]])
    over = np.flatnonzero(recent >= NEW_KINDS)
    return int(over[0]) if len(over) else None


def weeks_of(films: Sequence[FilmObservation]) -> list[SenderWeek]:
    """A sender's weeks, the latest first, each held against the baseline."""
    baseline = films[:BASELINE] if len(films) > BASELINE else ()
    by_week: dict[str, list[FilmObservation]] = {}
    for film in films:
        year, week, _ = datetime.fromtimestamp(film.at, UTC).isocalendar()
        by_week.setdefault(f"{year}-W{week:02}", []).append(film)
    return [_week(name, some, baseline) for name, some in sorted(by_week.items(), reverse=True)]


def _week(name: str, films: Sequence[FilmObservation], baseline: Sequence[FilmObservation]) -> SenderWeek:
    shares = {measure: _mean(_shares(films, measure)) for measure in SHARES}
    flags = [film.flags for film in films if film.flags is not None]
    outside = [
        measure for measure in SHARES if baseline and _is_outside(_shares(baseline, measure), _shares(films, measure))
    ]
    return SenderWeek(
        films[0].sender, name, len(films), shares["refused"], shares["view_fault"], shares["polarity_fault"],
        shares["unfamiliar"], 100 * float(np.mean(flags)) if flags else None, tuple(outside),
    )  # fmt: skip


def _is_outside(baseline: Values, week: Values) -> bool:
    """Whether a share lies above three standard errors of the usual one, for as many films (p-chart)."""
    before, now = baseline[~np.isnan(baseline)], week[~np.isnan(week)]
    if not len(before) or not len(now):
        return False
    p0 = _expected_share(before)
    return bool(now.mean() > p0 + 3 * np.sqrt(p0 * (1 - p0) * (1 / len(now) + 1 / len(before))))
