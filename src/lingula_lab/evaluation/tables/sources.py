"""The table by source: what a film's answer is worth on the own collection and on films from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint
from lingula.model.gate import gate_of
from lingula_lab.gate import measure
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.outside import nih_targets
from lingula_lab.measures.reliability import MISS, Conformal
from lingula_lab.measures.table import Figure, Row, Table

Floats = npt.NDArray[np.float64]
COLUMNS = (
    "films", "AUROC macro", "ECE", "flags per normal film", "flags per film", "findings judged", "unlike",
    "turned away",
    "sets of Open-i: present", "sets of Open-i: absent", "sets of the source: present", "sets of the source: absent",
)  # fmt: skip
VIEWS = {"all": ("PA", "AP"), "PA": ("PA",), "AP, mostly portable": ("AP",)}
"""Rows of NIH by view position."""
ABOUT = (
    "One film at a time, as it is answered: by the own calibration where the gate knows the film, by the one fitted on "
    "NIH films where it is unlike. Films of NIH are judged by a gate and a calibration fitted without their patients; "
    "labels of NIH are mined from reports. AUROC: labels with five positives; ECE: 15 bins of one size, all known "
    "labels; flags: abnormal findings called present; findings judged: those that can be called on such a film at all, "
    "the others are said to be beyond judging; unlike: told apart from the training films; turned away: not taken for "
    "a chest film. Sets: class-conditional conformal sets that should hold the truth in "
    f"{1 - MISS:.0%} of each class, fitted on Open-i's validation part, and on other patients of the same source (for "
    "Open-i both by leaving studies out); mean over labels. Intervals draw patients."
)


def sources_table(films: GateFilms, checkpoint: Checkpoint, labels: Mapping[str, Sequence[str]]) -> Table:
    """One row a source and view position.

    Args:
        films: as ``lingula gate --features`` kept them; of the own collection only the validation part is counted.
        labels: codes by study id of the own collection; studies that nobody coded are not among them.
    """
    codes = checkpoint.vocabulary.codes
    shipped, gate = checkpoint.calibration["image"], gate_of(checkpoint.fingerprint)
    own = measure.validation(films) & (films.view != "lateral") & np.isin(films.patient, list(labels))
    rows = np.flatnonzero(own)
    goal = np.array([[code in labels[study] for code in codes] for study in films.patient[rows]], np.float64)
    table: list[Row] = []
    own_sets = goal, shipped.probabilities(films.logits[rows].astype(np.float64))
    if gate is not None and len(rows):
        odds = gate.log_odds(films.features[rows]).astype(np.float64)
        answer = measure.answered(gate, shipped, films.logits[rows], odds)
        judged = np.ones(len(codes), bool)
        table.append(
            _row("Open-i, validation, frontal", films, rows, goal, odds, answer, codes, judged, shipped, own_sets)
        )
    for source, name in (("nih14", "NIH"), ("nih_bbox_dev", "NIH with boxes")):
        if not (films.source == source).any():
            continue
        crossing = measure.crossed(films, source, codes, shipped)
        targets = nih_targets(films.labels[crossing.rows].tolist(), codes)
        judged = gate.outside.judged if gate is not None and gate.outside is not None else np.zeros(len(codes), bool)
        for view, positions in VIEWS.items():
            chosen = np.flatnonzero(np.isin(films.view[crossing.rows], positions))
            if len(chosen):
                answer = crossing.probability[chosen], crossing.called[chosen]
                odds, some = crossing.log_odds[chosen], crossing.rows[chosen]
                table.append(
                    _row(
                        f"{name}, {view}", films, some, targets[chosen], odds, answer, codes, judged, shipped, own_sets
                    )
                )
    return Table("sources", "By source of the film", ABOUT, "films of", COLUMNS, tuple(table))


def _row(
    name: str, films: GateFilms, rows: npt.NDArray[np.int64], goal: Floats, odds: Floats,
    answer: tuple[Floats, npt.NDArray[np.bool_]], codes: Sequence[str], judged: npt.NDArray[np.bool_],
    shipped: Calibration, own_sets: tuple[Floats, Floats],
) -> Row:  # fmt: skip
    probability, called = answer
    patients = films.patient[rows]
    normal = goal[:, codes.index("normal")] == 1
    chest, logits = odds[:, 0] >= 0, films.logits[rows].astype(np.float64)
    flags = _figure(measure.flagged(called[normal], codes, patients[normal])) if normal.any() else "–"
    cells = (
        len(rows),
        _figure(measure.macro_of(goal, logits, patients)),
        _figure(measure.ece_of(goal, probability, patients)),
        flags,
        _figure(measure.flagged(called, codes, patients)),
        int(sum(yes and code != "normal" for yes, code in zip(judged, codes, strict=True))),
        _figure(measure.share(chest & (odds[:, 1] < 0), patients)),
        _figure(measure.share(~chest, patients)),
        *coverage(goal, shipped.probabilities(logits), patients, None if name.startswith("Open-i") else own_sets),
        *coverage(goal, probability, patients, None),
    )
    return Row(name, cells)


def coverage(
    goal: Floats, probability: Floats, groups: npt.NDArray[np.str_], fitted_on: tuple[Floats, Floats] | None
) -> tuple[Figure, Figure]:
    """How often conformal sets hold "present" where it is so, and "absent": mean over labels with enough positives.

    Args:
        fitted_on: targets and probabilities of other films; None fits them without each fifth of the groups in turn.
    """
    names, place = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(0).integers(0, measure.FOLDS, len(names))[place]
    covers: list[tuple[float, float]] = []
    for label in measure.counted(goal):
        known = ~np.isnan(goal[:, label])
        held = np.zeros((2, len(goal)), bool)
        for number in range(measure.FOLDS):
            inside = known & (fold == number)
            targets, values = (goal[known & ~inside], probability[known & ~inside]) if fitted_on is None else fitted_on
            sets = Conformal.fit(values[:, [label]], targets[:, [label]])
            held[:, inside] = [each[:, 0] for each in sets.sets(probability[inside][:, [label]])]
        present = goal[known, label] == 1
        covers.append((float(held[0, known][present].mean()), float(held[1, known][~present].mean())))
    found = np.mean(covers, 0) if covers else np.full(2, np.nan)
    return Figure(float(found[0]), n=len(goal)), Figure(float(found[1]), n=len(goal))


def _figure(value: measure.Measured) -> Figure:
    return Figure(value.value, value.low, value.high, value.n)
