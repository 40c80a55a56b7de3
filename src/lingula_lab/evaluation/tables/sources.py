"""The table by source: what a film's answer is worth on the own collection and on films from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lingula.model.checkpoint import Checkpoint
from lingula.model.gate import gate_of
from lingula_lab.gate import measure
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.outside import nih_targets
from lingula_lab.measures.table import Figure, Row, Table

Floats = npt.NDArray[np.float64]
COLUMNS = (
    "films", "AUROC macro", "ECE", "flags per normal film", "flags per film", "findings judged", "unlike", "turned away"
)  # fmt: skip
VIEWS = {"all": ("PA", "AP"), "PA": ("PA",), "AP, mostly portable": ("AP",)}
"""Rows of NIH by view position."""


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
    table = []
    if gate is not None and len(rows):
        odds = gate.log_odds(films.features[rows]).astype(np.float64)
        answer = measure.answered(gate, shipped, films.logits[rows], odds)
        judged = np.ones(len(codes), bool)
        table.append(_row("Open-i, validation, frontal", films, rows, goal, odds, answer, codes, judged))
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
                table.append(_row(f"{name}, {view}", films, some, targets[chosen], odds, answer, codes, judged))
    about = (
        "One film at a time, as it is answered: by the own calibration where the gate knows the film, by the one "
        "fitted on NIH films where it is unlike. Films of NIH are judged by a gate and a calibration fitted without "
        "their patients; labels of NIH are mined from reports. AUROC: labels with five positives; ECE: 15 bins of "
        "equal size over all known labels; flags: abnormal findings called present; findings judged: those that can "
        "be called on such a film at all, the others are said to be beyond judging; unlike: told apart from the "
        "training films; turned away: not taken for a chest film. Intervals draw patients."
    )
    return Table("sources", "By source of the film", about, "films of", COLUMNS, tuple(table))


def _row(
    name: str, films: GateFilms, rows: npt.NDArray[np.int64], goal: Floats, odds: Floats,
    answer: tuple[Floats, npt.NDArray[np.bool_]], codes: Sequence[str], judged: npt.NDArray[np.bool_],
) -> Row:  # fmt: skip
    probability, called = answer
    patients = films.patient[rows]
    normal = goal[:, codes.index("normal")] == 1
    chest = odds[:, 0] >= 0
    flags = _figure(measure.flagged(called[normal], codes, patients[normal])) if normal.any() else "–"
    cells = (
        len(rows),
        _figure(measure.macro_of(goal, films.logits[rows].astype(np.float64), patients)),
        _figure(measure.ece_of(goal, probability, patients)),
        flags,
        _figure(measure.flagged(called, codes, patients)),
        int(sum(yes and code != "normal" for yes, code in zip(judged, codes, strict=True))),
        _figure(measure.share(chest & (odds[:, 1] < 0), patients)),
        _figure(measure.share(~chest, patients)),
    )
    return Row(name, cells)


def _figure(value: measure.Measured) -> Figure:
    return Figure(value.value, value.low, value.high, value.n)
