"""Classification measures over studies: NaN labels are left out label by label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

Array = npt.NDArray[np.floating]


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


def supported(targets: Array, least: int) -> npt.NDArray[np.bool_]:
    """Labels with at least ``least`` positives: the ones a macro average speaks for."""
    return np.nansum(targets, 0) >= least


def macro_auroc(scores: Array, targets: Array, least: int = 10) -> float:
    """Mean AUROC over the labels with at least ``least`` positives."""
    return float(np.nanmean(auroc(scores, targets)[supported(targets, least)]))
