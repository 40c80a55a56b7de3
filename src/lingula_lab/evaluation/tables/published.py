"""The reference card's own definitions, verbatim, with its figures, ours and chance: to show what they are worth.

The card (HCMUS 2025, Open-i) calls a neighbour right when it shares any label, normal and non-specific ones included.
Its "mAP" cuts the ranking at 5 but divides by all relevant studies; its "DCG@5" takes the ideal order from the five
that were returned; its thresholds are tuned on the studies they are judged by; its model reads the report that the
labels come from. It counted films, so the other film of the same study could be the answer; here a study never answers
itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lingula.model.calibration import best_threshold
from lingula_lab.evaluation.tables.classification import System
from lingula_lab.evaluation.tables.retrieval import Protocol, Search
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.classification import auroc, average_precision, f1
from lingula_lab.measures.retrieval import random_scores, rank
from lingula_lab.measures.table import Cell, Figure, Row, Table

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Order = npt.NDArray[np.int64]

RETRIEVAL: dict[Protocol, tuple[float, ...]] = {
    "generalization": (0.7463, 0.0068, 0.848, 0.9381),
    "historical": (0.9173, 0.0010, 0.881, 0.9503),
}
CLASSIFICATION = {"evaluation set": (0.7967, 0.9664, 0.9138), "test": (0.8974, 0.7372, 0.7648)}
"""Macro F1, AUROC, AP."""
MEASURES = ("P@5", '"mAP"', "MRR", '"DCG@5"')
RANDOM = 20
"""Random rankings that chance is averaged over."""


def as_published(grades: Order, order: Order) -> Doubles:
    """The card's four measures for each query, (Q, 4), from relevance (Q, G) in {0, 1} and the order (Q, >= 5)."""
    relevant = np.take_along_axis(grades, order[:, :5], 1) > 0  # (Q, 5)
    ranks = np.arange(1, 6)
    precision = relevant.mean(1)
    cut = (relevant * relevant.cumsum(1) / ranks).sum(1) / np.maximum(grades.sum(1), 1)
    reciprocal = np.where(relevant.any(1), 1 / (1 + relevant.argmax(1)), 0)
    discounts = 1 / np.log2(ranks + 1)
    best = (-np.sort(-relevant.astype(float), axis=1) * discounts).sum(1)
    dcg = np.divide((relevant * discounts).sum(1), best, out=np.zeros(len(best)), where=best > 0)
    return np.stack([precision, cut, reciprocal, dcg], 1)


def published_retrieval(
    name: str,
    protocols: dict[Protocol, tuple[Floats, Floats]],
    searches: Sequence[Search],
    draws: Resamples,
    seed: int,
) -> Table:
    """Retrieval as the card measures it. ``protocols`` gives the labels of test (N, L) and of each gallery (G, L)."""
    rows = []
    for protocol, (asked, gallery) in protocols.items():
        own = np.arange(len(asked)) if protocol == "generalization" else None
        grades = (asked @ gallery.T > 0).astype(np.int64)
        if own is not None:
            grades[own, own] = 0
        columns = []
        for search in searches:
            values = as_published(grades, rank(search.scores(protocol), own))
            columns.append(np.where(search.able[:, None], values, np.nan))
        shuffled = (_at_random(len(asked), len(gallery), seed + 1 + turn, own) for turn in range(RANDOM))
        columns.append(np.mean([as_published(grades, order) for order in shuffled], 0))
        found = [draws.mean(column) for column in columns]
        n = [int((~np.isnan(column[:, 0])).sum()) for column in columns]
        for place, measure in enumerate(MEASURES):
            cells: list[Cell] = [Figure(RETRIEVAL[protocol][place])]
            cells += [figure(values[:, place], count) for values, count in zip(found, n, strict=True)]
            rows.append(Row(f"{protocol} {measure}", tuple(cells)))
    about = (
        f"The card's definitions with the labels of {name}: right is any shared label, normal included; AP is cut at 5 "
        "and divided by all relevant studies; the ideal of DCG@5 comes from the five returned. Chance: mean of "
        f"{RANDOM} random rankings. Published figures are the card's, on its own split."
    )
    columns_ = ("published", *(search.name for search in searches), "chance")
    return Table(f"published_{name}", f"As published: retrieval, {name}", about, "measure", columns_, tuple(rows), 4)


def _at_random(queries: int, gallery: int, seed: int, own: Order | None) -> Order:
    """Five of the gallery for each query, in random order, never itself: (Q, 5)."""
    scores = random_scores(queries, gallery, seed)
    if own is not None:
        scores[own, own] = -1
    first = np.argpartition(-scores, 5, axis=1)[:, :5]
    return np.take_along_axis(first, np.argsort(-np.take_along_axis(scores, first, 1), axis=1), 1)


def published_classification(systems: Sequence[System], validation: Floats, test: Floats, draws: Resamples) -> Table:
    """Macro F1 at thresholds tuned on the very studies they are judged by, macro AUROC and AP over all labels."""
    rows = []
    for name, published in CLASSIFICATION.items():
        goal = validation if name == "evaluation set" else test
        own = draws if name == "test" else None
        scores = [each.scores.test if name == "test" else each.scores.validation for each in systems]
        for measure, card in zip(("F1", "AUROC", "AP"), published, strict=True):
            cells = [_macro(measure, each, goal, own) for each in scores]
            rows.append(Row(f"{name}: macro {measure}", (Figure(card), *cells)))
    about = (
        "Thresholds tuned on the studies they are judged by, all labels of openi22 in the mean. The card's model reads "
        "image and report. Its evaluation set answers to our validation."
    )
    columns = ("published", *(each.name for each in systems))
    return Table("published_classification", "As published: findings", about, "measure", columns, tuple(rows), 4)


def _macro(measure: str, scores: Doubles, goal: Floats, draws: Resamples | None) -> Figure:
    if measure != "F1":
        values = (auroc if measure == "AUROC" else average_precision)(scores, goal)
        return Figure(float(np.nanmean(values)), n=len(goal))
    probabilities = expit(scores)
    cuts = [best_threshold(probabilities[:, i], goal[:, i].astype(int)) for i in range(goal.shape[1])]
    called = probabilities >= np.array(cuts)
    weights = draws.counts if draws else np.ones((1, len(goal)))
    return figure(f1(called, goal, weights).mean(1), len(goal))
