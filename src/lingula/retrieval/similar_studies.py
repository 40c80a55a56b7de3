"""Studies like a study: candidates by their embeddings, and the evidence on each, for the relevance model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from lingula.labels.findings import label_of
from lingula.library.catalogue import Roster, Rows
from lingula.library.conditions import Reported
from lingula.library.shipped_gallery import Bank
from lingula.library.vectors import Comparison
from lingula.retrieval.hubness import SHARE, across, known_nearness
from lingula.retrieval.matching import TOLD, Judge, Searched
from lingula.retrieval.relevance import (
    COMPARED,
    LABEL_PARTS,
    Compared,
    Relevance,
    Weights,
    label_evidence,
    log_odds_of,
    weighed,
)
from lingula.study import MODES, NORMAL, Mode, Part

Vector = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

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
        """What each piece of it adds to the score."""
        return tuple(
            Part(
                name,
                round(weight * value, 6),
                round(weight, 6) if name == "hub" else weight,
                round(value, 6),
                asked if name in MODES else None,
            )
            for name, weight, value in weighed(weights.score, self.compared, self.labels.tolist())
        )

    def score(self, weights: Weights) -> float:
        """The sum of its parts."""
        pieces = weighed(weights.score, self.compared, self.labels.tolist())
        return sum([round(weight * value, 6) for _, weight, value in pieces])


def comparisons_of(library: Searched, roster: Roster, vector: Vector, asked: Mode) -> dict[Mode, Comparison]:
    """A question read in a mode compared with every embedding that is weighed; what a study is preferred by comes
    first. Text is always one of them."""
    modes = dict.fromkeys(mode for told in (True, False) for group in COMPARED[asked, told] for mode in group)
    return {mode: library.compared(roster, vector, mode=mode) for mode in modes}


def pool(
    roster: Roster,
    comparisons: Mapping[Mode, Comparison],
    within: Collection[str] | None,
    exclude: Collection[str],
    k: int,
) -> Rows:
    """The nearest studies by every embedding that the relevance model compares, at least ``k`` of each: (N,) their rows
    in the roster, ascending."""
    chosen = np.zeros(len(roster.ids), np.bool_)
    for comparison in comparisons.values():
        rows = comparison.nearest(max(POOL, k), exclude, within)
        chosen[rows[rows < len(chosen)]] = True
    return np.flatnonzero(chosen).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceTable:
    """What is known of the asked study and N others, a row each.

    Attributes:
        rows: (N,) of the others in a roster. asked: the mode in which the question was read.
        reported: (N,) whether each has a report.
        modes: (N, C) places in ``MODES`` of what stands in ``COMPARED``, -1 where a study lacks it.
        cosines, hubness: (N, C) with these embeddings, and how much of a hub each is; NaN where that does not count.
        labels: (N, 3) of ``label_evidence``.
    """

    roster: Roster
    rows: Rows
    asked: Mode
    reported: npt.NDArray[np.bool_]
    modes: npt.NDArray[np.int8]
    cosines: Doubles
    hubness: Doubles
    labels: Doubles

    def study_id(self, row: int) -> str:
        return self.roster.ids[int(self.rows[row])]

    def pair(self, row: int) -> PairEvidence:
        """One study's evidence."""
        reported = bool(self.reported[row])
        several = zip(self.modes[row].tolist(), self.cosines[row].tolist(), self.hubness[row].tolist(), strict=True)
        compared = tuple(
            (MODES[mode], cosine, None if math.isnan(hub) else hub) if mode >= 0 else None
            for mode, cosine, hub in islice(several, len(COMPARED[self.asked, reported]))
        )
        return PairEvidence(compared, self.labels[row], reported)

    def scores(self, relevance: Relevance) -> Doubles:
        """(N,) by the relevance model."""
        cosines = self.cosines - SHARE * np.nan_to_num(self.hubness)
        found = np.zeros(len(self.rows))
        for told in (True, False):
            weights = np.array(relevance.weights[self.asked, told].score)
            own = self.reported == told
            several = len(weights) - len(LABEL_PARTS)
            found[own] = cosines[own, :several] @ weights[:several] + self.labels[own] @ weights[several:]
        return found


def evidence_on(
    library: Searched,
    roster: Roster,
    rows: Rows,
    comparisons: Mapping[Mode, Comparison],
    asked: Mode,
    expected: Mapping[str, float],
    judge: Judge | None,
    bank: Bank | None,
    *,
    exactly: bool = True,
) -> EvidenceTable:
    """The evidence on each study.

    Args:
        rows: (N,) of the studies in the library's roster.
        comparisons: by ``comparisons_of``.
        expected: by label, its probability in the asked study.
        judge: judges the labels of studies that nobody reported or coded.
        bank: questions in the mode asked in, for what meets it from the other side.
        exactly: whether cosines have six decimals; else they are less than ``engines.MARGIN`` off.
    """
    codes = library.about.labels
    compared = {mode: each.cosines(rows, exactly=exactly) for mode, each in comparisons.items()}
    reported = compared["text"][0]
    shape = len(rows), max(len(COMPARED[asked, told]) for told in (True, False))
    modes, cosines, hubness = np.full(shape, -1, np.int8), np.zeros(shape), np.full(shape, np.nan)
    for mode, (there, near) in compared.items():
        to_questions = np.full(len(rows), np.nan)
        if across(asked, mode) and bank is not None and there.any():
            to_questions[there] = known_nearness(library, roster, rows[there], bank, mode)
        for told in (True, False):
            for place, group in enumerate(COMPARED[asked, told]):
                if mode in group:
                    new = there & (reported == told) & (modes[:, place] < 0)
                    modes[new, place], cosines[new, place] = MODES.index(mode), near[new]
                    hubness[new, place] = to_questions[new]
    labels = label_evidence(
        np.array([expected.get(code, 0.0) for code in codes]),
        _label_rows(library, roster, rows, judge),
        codes.index(NORMAL) if NORMAL in codes else None,
    )
    return EvidenceTable(roster, rows, asked, reported, modes, cosines, hubness, labels)


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


def _label_rows(library: Searched, roster: Roster, rows: Rows, judge: Judge | None) -> Doubles:
    """(N, L) of ``known_labels``, in the order of the library's labels."""
    codes = library.about.labels

    def make(study_ids: list[str]) -> Doubles:
        known = known_labels(library, study_ids, judge)
        rows = [[known[study].get(code, 0.0) for code in codes] for study in study_ids]
        return np.array(rows).reshape(len(study_ids), len(codes))

    return library.numbers(("labels", judge), roster, rows, make)
