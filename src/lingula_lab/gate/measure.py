"""What the gate and the calls behind it are worth: kinds of pictures or patients left out, films of validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.model.calibration import Calibration
from lingula.model.gate import Gate
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.fit import OPENI, SURE, Flags, fit_chest, fit_gate
from lingula_lab.gate.outside import Floats, auroc, nih_targets

FOLDS, DRAWS, LEAST = 5, 500, 5


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % bootstrap interval over the units it was drawn from."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        return {each.name: round(getattr(self, each.name), 4) for each in fields(self)}


def false_accepts(films: GateFilms) -> dict[str, Measured]:
    """How often each kind of picture passes for a chest film where the gate never saw that kind; "mean" of all."""
    plain = (films.source == "not_chest") & (films.change == "")
    passed = {}
    for kind in sorted(set(films.kind[plain].tolist())):
        head = fit_chest(films, (films.part == "train") & (films.kind != kind))
        passed[kind] = head(films.features[plain & (films.kind == kind)]) >= SURE
    found = {kind: _mean(flags.astype(float)) for kind, flags in passed.items()}
    random = np.random.default_rng(0)
    draws = [np.mean([random.choice(flags, len(flags)).mean() for flags in passed.values()]) for _ in range(DRAWS)]
    mean, n = float(np.mean([each.value for each in found.values()])), sum(map(len, passed.values()))
    low, high = np.quantile(draws, [0.025, 0.975])
    return {**found, "mean": Measured(mean, float(low), float(high), n)}


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """Films of a source, each judged by a gate fitted without its patient.

    Attributes:
        rows: (M,) of the films. log_odds: (M, heads). probability: (M, L); called: (M, L), what is flagged.
    """

    rows: npt.NDArray[np.int64]
    log_odds: Floats
    probability: Floats
    called: Flags


def crossed(films: GateFilms, source: str, codes: Sequence[str], shipped: Calibration) -> Crossed:
    """Judge films of a source whose patients taught nothing, a fifth of those patients at a time."""
    rows = films.untaught(source)
    patients, place = np.unique(films.patient[rows], return_inverse=True)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(patients))[place]
    odds = np.zeros((len(rows), 4))
    probability, called = np.zeros((2, len(rows), len(codes)))
    for number in range(FOLDS):
        inside = fold == number
        left_out = np.isin(films.patient, patients[np.unique(place[inside])]) & (films.source == source)
        gate = fit_gate(_only(films, ~left_out), "", codes, {})
        odds[inside] = gate.log_odds(films.features[rows[inside]])
        probability[inside], called[inside] = answered(gate, shipped, films.logits[rows[inside]], odds[inside])
    return Crossed(rows, odds, probability, called.astype(bool))


def answered(gate: Gate, shipped: Calibration, logits: Any, odds: Any) -> tuple[Floats, Flags]:
    """Probabilities (M, L) and what is flagged, as the product answers in image mode; nothing of what is no chest
    film."""
    logits = np.asarray(logits, np.float64)
    probability = shipped.probabilities(logits)
    called = np.array([[said == "present" for said in shipped.decide(row)] for row in probability])
    if gate.outside is not None:
        unlike, judged = odds[:, 1] < 0, gate.outside.judged
        elsewhere = gate.outside.calibration.probabilities(logits)
        probability = np.where(unlike[:, None] & ~np.isnan(elsewhere), elsewhere, probability)
        there = (elsewhere >= gate.outside.calibration.threshold) & judged
        called = np.where(unlike[:, None], there, called)
    return probability, called & (odds[:, :1] >= 0)


def share(flags: Flags, groups: npt.NDArray[np.str_] | None = None) -> Measured:
    return _mean(flags.astype(float), groups)


def flagged(called: Flags, codes: Sequence[str], groups: npt.NDArray[np.str_]) -> Measured:
    """Abnormal findings flagged a film."""
    abnormal = np.array([code != "normal" for code in codes])
    return _mean(called[:, abnormal].sum(1).astype(float), groups)


def macro_auroc(films: GateFilms, source: str, codes: Sequence[str]) -> tuple[Measured, dict[str, float]]:
    """Of films whose patients taught nothing, over labels with at least ``LEAST`` positives, and each by itself; the
    interval is over patients."""
    rows = films.untaught(source)
    targets, logits = nih_targets(films.labels[rows].tolist(), codes), films.logits[rows].astype(np.float64)
    each = {codes[j]: round(_auroc(targets[:, j], logits[:, j]), 4) for j in counted(targets)}
    return macro_of(targets, logits, films.patient[rows]), each


def counted(targets: Floats) -> list[int]:
    """Labels with at least ``LEAST`` positives, as places."""
    return [j for j in range(targets.shape[1]) if (targets[:, j] == 1).sum() >= LEAST]


def macro_of(targets: Floats, scores: Floats, groups: npt.NDArray[np.str_]) -> Measured:
    """Macro AUROC of films (N, L) over the labels that are ``counted``; the interval draws whole groups (N,)."""
    labels = counted(targets)

    def macro(chosen: npt.NDArray[np.int64]) -> float:
        return float(np.nanmean([_auroc(targets[chosen, j], scores[chosen, j]) for j in labels]))

    return _measured(macro, np.arange(len(targets)), groups)


def calibration_error(crossing: Crossed, films: GateFilms, codes: Sequence[str]) -> Measured:
    """``ece_of`` the probabilities shown."""
    targets = nih_targets(films.labels[crossing.rows].tolist(), codes)
    return ece_of(targets, crossing.probability, films.patient[crossing.rows])


def ece_of(targets: Floats, probability: Floats, groups: npt.NDArray[np.str_], bins: int = 15) -> Measured:
    """ECE over all known labels together, bins of equal size (Nixon et al. 2019)."""

    def error(chosen: npt.NDArray[np.int64]) -> float:
        goal, p = targets[chosen].ravel(), probability[chosen].ravel()
        goal, p = goal[~np.isnan(goal)], p[~np.isnan(goal)]
        parts = np.array_split(np.argsort(p, kind="stable"), bins)
        return float(sum(abs(p[part].mean() - goal[part].mean()) * len(part) for part in parts) / len(p))

    return _measured(error, np.arange(len(targets)), groups, draws=100)


def validation(films: GateFilms) -> Flags:
    return np.asarray((films.source == OPENI) & (films.part == "validation") & (films.change == ""))


def _auroc(goal: Floats, scores: Floats) -> float:
    known = ~np.isnan(goal)
    return auroc(goal[known], scores[known])


def _mean(values: Floats, groups: npt.NDArray[np.str_] | None = None) -> Measured:
    rows = np.arange(len(values))
    return _measured(lambda chosen: float(values[chosen].mean()), rows, rows.astype(str) if groups is None else groups)


def _measured(
    measure: Callable[[npt.NDArray[np.int64]], float], rows: npt.NDArray[np.int64], groups: npt.NDArray[np.str_],
    draws: int = DRAWS,
) -> Measured:  # fmt: skip
    """A measure of all rows; its interval from whole groups drawn with replacement."""
    names, place = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    random = np.random.default_rng(0)
    drawn = [
        measure(np.concatenate([members[g] for g in random.integers(0, len(names), len(names))])) for _ in range(draws)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Measured(measure(rows), float(low), float(high), len(rows))


def _only(films: GateFilms, rows: Flags) -> GateFilms:
    return GateFilms(**{each.name: getattr(films, each.name)[rows] for each in fields(films)})
