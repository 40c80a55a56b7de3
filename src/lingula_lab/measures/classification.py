"""Classification measures over studies.

The first group is scikit-learn's, label by label, NaN labels left out. The second takes weights, one row a bootstrap
resample, and gives the same numbers where every weight is 1; it wants complete targets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from lingula_lab.measures.bootstrap import ratio

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

LEAST = 10
"""Positives in test that a label needs to count in a macro average."""


def auroc(scores: Array, targets: Array) -> Array:
    """AUROC of each label, (L,); NaN where a label has no positive or no negative. scores, targets (B, L)."""
    return _per_label(roc_auc_score, scores, targets)


def average_precision(scores: Array, targets: Array) -> Array:
    """Average precision of each label, (L,); NaN as in ``auroc``."""
    return _per_label(average_precision_score, scores, targets)


def _per_label(measure: Callable[[Array, Array], float], scores: Array, targets: Array) -> Array:
    values = np.full(targets.shape[1], np.nan)
    for label in range(targets.shape[1]):
        known = ~np.isnan(targets[:, label])
        goal = targets[known, label]
        if 0 < goal.sum() < len(goal):
            values[label] = measure(goal, scores[known, label])
    return values


def supported(targets: Array, least: int = LEAST) -> npt.NDArray[np.bool_]:
    """Labels with at least ``least`` positives: the ones in a macro average."""
    return np.asarray(np.nansum(targets, 0) >= least, np.bool_)


def macro_auroc(scores: Array, targets: Array, least: int = LEAST) -> float:
    """Mean AUROC over the labels with at least ``least`` positives."""
    return float(np.nanmean(auroc(scores, targets)[supported(targets, least)]))


def weighted_auroc(scores: Array, goal: Array, weights: Doubles) -> Doubles:
    """AUROC of one label in each resample; see ``weighted_areas``."""
    return weighted_areas(scores, goal, weights)[0]


def weighted_ap(scores: Array, goal: Array, weights: Doubles) -> Doubles:
    """Average precision of one label in each resample; see ``weighted_areas``."""
    return weighted_areas(scores, goal, weights)[1]


def weighted_areas(scores: Array, goal: Array, weights: Doubles) -> tuple[Doubles, Doubles]:
    """AUROC and average precision of one label in each resample, sorted once for both.

    AUROC: P(positive scores higher) + P(tie) / 2 (Mann and Whitney 1947). Average precision: sum over thresholds of
    (R_n - R_{n-1}) P_n.

    Args:
        scores, goal: (N,), goal in {0, 1}.
        weights: (R, N), how often each study counts.

    Returns:
        (R,) each; NaN where no positive or, for AUROC, no negative was drawn.
    """
    positive, negative = _by_score(scores, goal, weights)
    positives, negatives = positive.sum(1), negative.sum(1)
    below = negative.cumsum(1)
    area = ratio((positive * (below - negative / 2)).sum(1), positives * negatives)
    # From the top: positives and negatives at this score or above it.
    found = positives[:, None] - positive.cumsum(1) + positive
    wrong = negatives[:, None] - below + negative
    precision = np.nan_to_num(ratio(found, found + wrong))  # 0 / 0 only where nothing is gained
    return area, ratio((positive * precision).sum(1), positives)


def _by_score(scores: Array, goal: Array, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Weight of positives and of negatives at each distinct score, ascending: (R, distinct) each."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights, goal = weights[:, order], goal[order]
    positive = np.add.reduceat(weights * goal, starts, axis=1)
    return positive, np.add.reduceat(weights, starts, axis=1) - positive


def f1(called: npt.NDArray[np.bool_], targets: Array, weights: Doubles) -> Doubles:
    """F1 = 2 TP / (2 TP + FP + FN) of each label in each resample, (R, L); 0 where nothing is called or present.

    Args:
        called, targets: (N, L). weights: (R, N).
    """
    hits, called_or_present = _f1_parts(called, targets, weights)
    return np.nan_to_num(ratio(2 * hits, called_or_present))


def micro_f1(called: npt.NDArray[np.bool_], targets: Array, weights: Doubles) -> Doubles:
    """F1 over all decisions together, (R,)."""
    hits, called_or_present = _f1_parts(called, targets, weights)
    return np.nan_to_num(ratio(2 * hits.sum(1), called_or_present.sum(1)))


def _f1_parts(called: npt.NDArray[np.bool_], targets: Array, weights: Doubles) -> tuple[Doubles, Doubles]:
    goal = targets.astype(np.float64)
    return weights @ (called * goal), weights @ (called + goal)


def brier(probabilities: Array, targets: Array, weights: Doubles) -> Doubles:
    """Mean squared difference of probability and target of each label in each resample, (R, L) (Brier 1950)."""
    return ratio(weights @ (probabilities - targets).astype(np.float64) ** 2, weights.sum(1, keepdims=True))
