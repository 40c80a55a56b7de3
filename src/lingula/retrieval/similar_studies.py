"""Studies like a study: candidates by their embeddings, and the evidence on each, for the relevance model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula.errors import LibraryError
from lingula.labels.findings import label_of
from lingula.library.conditions import Reported
from lingula.retrieval.hubness import SHARE, across, nearness
from lingula.retrieval.matching import TOLD, Judge, Searched
from lingula.retrieval.relevance import (
    COMPARED,
    LABEL_PARTS,
    Relevance,
    Weights,
    label_evidence,
    log_odds_of,
    parts_of,
)
from lingula.study import NORMAL, Mode, Part

Vector = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Compared = tuple[Mode, float, float | None]

POOL = 600
"""Nearest studies by each embedding compared that are looked at closely."""
LIKELY = 0.75
"""What a finding counts that a report calls likely."""


@dataclass(frozen=True, slots=True, eq=False)
class PairEvidence:
    """What is known of the asked study and another.

    Attributes:
        compared: what stands in ``COMPARED``: mode, cosine, and how much of a hub the other is; None where it lacks it.
        labels: (3,) of ``label_evidence``. reported: whether it has a report.
    """

    compared: tuple[Compared | None, ...]
    labels: Doubles
    reported: bool

    @property
    def row(self) -> list[float]:
        """(E,) as the weights want it."""
        cosines = [0.0 if each is None else each[1] - SHARE * (each[2] or 0.0) for each in self.compared]
        return [*cosines, *self.labels.tolist()]

    def parts(self, weights: Weights, asked: Mode) -> tuple[Part, ...]:
        there = [(w, each) for w, each in zip(weights.score, self.compared, strict=False) if each]
        score = (*(w for w, _ in there), *weights.score[-len(LABEL_PARTS) :])
        made = parts_of(Weights(score, weights.odds, weights.offset), tuple(c for _, c in there), self.labels, asked)
        return tuple(part for part in made if part.weight)


def pool(
    library: Searched, vector: Vector, asked: Mode, within: Collection[str] | None, exclude: Collection[str], k: int
) -> list[str]:
    """The nearest studies by every embedding that the relevance model compares, at least ``k`` of each, sorted."""
    modes = dict.fromkeys(mode for reported in (True, False) for group in COMPARED[asked, reported] for mode in group)
    members = None if within is None else list(within)
    found: set[str] = set()
    for mode in modes:
        try:
            nearest = library.nearest(vector, mode=mode, k=max(POOL, k), exclude=exclude, within=members)
        except LibraryError as error:
            if error.code != "library_empty":
                raise
            continue
        found.update(study for study, _ in nearest)
    return sorted(found)


def evidence_on(
    library: Searched,
    study_ids: Collection[str],
    vector: Vector,
    asked: Mode,
    expected: Mapping[str, float],
    judge: Judge | None,
    bank: Vector | None,
) -> dict[str, PairEvidence]:
    """The evidence on each study.

    Args:
        expected: by label, its probability in the asked study.
        judge: judges the labels of studies that nobody reported or coded.
        bank: questions in the mode asked in, for what meets it from the other side.
    """
    ids = list(study_ids)
    if not ids:
        return {}
    codes = library.about.labels
    vectors: dict[Mode, dict[str, Vector]] = {
        mode: library.vectors(ids, mode)
        for mode in dict.fromkeys(m for r in (True, False) for group in COMPARED[asked, r] for m in group)
    }
    texts = vectors["text"] if "text" in vectors else library.vectors(ids, "text")
    hubness = {mode: _hubness(own, bank) if across(asked, mode) else {} for mode, own in vectors.items()}
    labels = known_labels(library, ids, judge)
    column = {code: number for number, code in enumerate(codes)}
    known = np.zeros((len(ids), len(codes)))
    for at, study in enumerate(ids):
        for code, value in labels[study].items():
            if code in column:
                known[at, column[code]] = value
    told = label_evidence(
        np.array([expected.get(code, 0.0) for code in codes]),
        known,
        codes.index(NORMAL) if NORMAL in codes else None,
    )
    found = {}
    for study, row in zip(ids, told, strict=True):
        reported = study in texts
        compared: list[Compared | None] = []
        for group in COMPARED[asked, reported]:
            mode = next((mode for mode in group if study in vectors[mode]), None)
            cosine = round(float(vectors[mode][study] @ vector), 6) if mode else 0.0
            compared.append((mode, cosine, hubness[mode].get(study)) if mode else None)
        found[study] = PairEvidence(tuple(compared), row, reported)
    return found


def odds_of(relevance: Relevance, evidence: PairEvidence, asked: Mode) -> float:
    """The probability that a study with this evidence is relevant, two decimals: more it does not tell."""
    weights = relevance.weights[asked, evidence.reported]
    log_odds = float(log_odds_of(weights, np.array([evidence.row]))[0])
    return round(float(1 / (1 + np.exp(-log_odds))), 2)


def known_labels(library: Searched, ids: Collection[str], judge: Judge | None) -> dict[str, dict[str, float]]:
    """By study its labels, 1 where they are known: as coded, else as its report asserts, else as the model predicts."""
    summaries = library.summaries(ids)
    found = {study: dict.fromkeys(each.labels, 1.0) for study, each in summaries.items() if each.coded}
    reported = library.matching(Reported())
    if asserted := [study for study in ids if study not in found and study in reported]:
        codes = set(library.about.labels)
        for study, said in library.assertions(asserted).items():
            held: dict[str, float] = {}
            for each in said:
                code = label_of(each.finding)
                if code in codes and each.section in TOLD and not each.past and each.polarity in ("present", "likely"):
                    held[code] = max(held.get(code, 0.0), 1.0 if each.polarity == "present" else LIKELY)
            found[study] = {code: p for code, p in held.items() if code != NORMAL} or {NORMAL: 1.0}
    if judge and (left := [study for study in ids if study not in found]):
        found |= {study: {c: p for c, (p, _) in row.items()} for study, row in judge.of(library, left).items()}
    return {study: found.get(study, {}) for study in ids}


def _hubness(vectors: Mapping[str, Vector], bank: Vector | None) -> dict[str, float]:
    if bank is None or not vectors:
        return {}
    values = nearness(np.stack(list(vectors.values())), bank).astype(float).round(6).tolist()
    return dict(zip(vectors, values, strict=True))
