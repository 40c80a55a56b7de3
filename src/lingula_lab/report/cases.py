"""Best, typical and worst retrievals, to be looked at: chosen by the table's own figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula.labels.vocabulary import Vocabulary
from lingula_lab.evaluation.tables.retrieval import Ground, Ranking
from lingula_lab.measures.relevance import MILLE
from lingula_lab.measures.retrieval import MEASURES

KINDS = ("best", "typical", "worst")
EACH, ANSWERS = 4, 5
"""Queries of each kind, answers of each query."""
MEASURE, RULE = "nDCG@10", "jaccard"


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """A neighbour: rank from 1, score, relevance in [0, 1], label codes, and which of them the query has, too."""

    study_id: str
    rank: int
    score: float
    relevance: float
    labels: tuple[str, ...]
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetrievalCase:
    """A query of one of ``KINDS`` with its first answers; ``value`` is its nDCG@10, ``chance`` what chance gives."""

    kind: str
    study_id: str
    labels: tuple[str, ...]
    value: float
    chance: float
    answers: tuple[CaseAnswer, ...]


def choose(
    ground: Ground,
    ranking: Ranking,
    order: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    vocabulary: Vocabulary,
) -> tuple[RetrievalCase, ...]:
    """The queries with the highest, the most middling and the lowest nDCG@10, no label set twice in one kind.

    Args:
        order: (N, <= G) of scores (N, G), of every query.
    """
    values = ranking.values[RULE][:, MEASURES.index(MEASURE)]
    known = [row for row in range(len(values)) if not np.isnan(values[row])]
    if not known:
        return ()
    middle = float(np.median(values[known]))
    far = {
        "best": lambda row: -values[row],
        "typical": lambda row: abs(values[row] - middle),
        "worst": lambda row: values[row],
    }

    def codes(targets: npt.NDArray[np.float32]) -> tuple[str, ...]:
        return tuple(code for code, yes in zip(vocabulary.codes, targets, strict=True) if yes)

    def case(kind: str, row: int) -> RetrievalCase:
        own = codes(ground.targets[row])
        answers = []
        for rank, column in enumerate(order[row, :ANSWERS].tolist(), 1):
            labels = codes(ground.gallery[column])
            shared = tuple(code for code in labels if code in own)
            relevance = int(ground.grades[RULE][row, column]) / MILLE
            answers.append(
                CaseAnswer(ground.answers[column], rank, float(scores[row, column]), relevance, labels, shared)
            )
        expected = float(ground.expected[RULE][row, MEASURES.index(MEASURE)])
        return RetrievalCase(kind, ground.queries[row], own, float(values[row]), expected, tuple(answers))

    chosen = []
    for kind in KINDS:
        seen: set[bytes] = set()
        for row in sorted(known, key=lambda row: (far[kind](row), ground.queries[row])):
            key = ground.targets[row].tobytes()
            if key not in seen and len(seen) < EACH:
                seen.add(key)
                chosen.append(case(kind, row))
    return tuple(chosen)
