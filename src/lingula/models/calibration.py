"""From logits to probabilities and decisions: per label, chosen on validation, kept in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.study import Decision

Array = npt.NDArray[np.float64]
LEAST = 5
"""Positives (and negatives) that validation must hold for a label to be calibrated; below, it is cut at one half."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Platt scaling, a threshold and an abstention band for each label, all of shape (L,).

    ``probability = sigmoid(scale * logit + shift)``; present at or above ``threshold``, except that a probability in
    [``unsure_from``, ``unsure_to``] is too near the threshold to tell: abstain.
    """

    scale: Array
    shift: Array
    threshold: Array
    unsure_from: Array
    unsure_to: Array

    def probabilities(self, logits: npt.NDArray[np.floating]) -> Array:
        """Logits (..., L) to calibrated probabilities (..., L)."""
        return _sigmoid(self.scale * logits + self.shift)

    def decide(self, probabilities: Array) -> tuple[Decision, ...]:
        """One decision a label for one study's probabilities (L,)."""
        unsure = (probabilities >= self.unsure_from) & (probabilities <= self.unsure_to)
        present = probabilities >= self.threshold
        return tuple("abstain" if u else "present" if p else "absent" for u, p in zip(unsure, present, strict=True))

    def to_json(self) -> dict[str, list[float]]:
        return {name: [round(float(v), 6) for v in getattr(self, name)] for name in self.__slots__}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Calibration:
        return cls(**{name: np.array(body[name], np.float64) for name in cls.__slots__})

    @classmethod
    def identity(cls, labels: int) -> Calibration:
        """Probabilities as the model gives them, cut at one half: before there is any validation."""
        half = np.full(labels, 0.5)
        return cls(np.ones(labels), np.zeros(labels), half, half + 1, half + 1)


def fit_calibration(logits: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> Calibration:
    """Fit on validation logits and targets (B, L); NaN targets are left out.

    Platt's scale and shift are found by ridge-penalised logistic regression on the logit (Platt 1999), so that a label
    with few positives keeps close to what the model says. The threshold maximises F1; the band around it holds the
    tenth of the validation studies that lie nearest.
    """
    from sklearn.linear_model import LogisticRegression

    labels = targets.shape[1]
    fitted = Calibration.identity(labels)
    scale, shift, threshold = fitted.scale.copy(), fitted.shift.copy(), fitted.threshold.copy()
    low, high = fitted.unsure_from.copy(), fitted.unsure_to.copy()
    for label in range(labels):
        known = ~np.isnan(targets[:, label])
        goal, logit = targets[known, label].astype(int), logits[known, label].astype(np.float64)
        if min(goal.sum(), len(goal) - goal.sum()) < LEAST:
            continue
        platt = LogisticRegression(C=1.0).fit(logit[:, None], goal)
        scale[label], shift[label] = max(float(platt.coef_[0, 0]), 0.05), float(platt.intercept_[0])
        probability = _sigmoid(scale[label] * logit + shift[label])
        threshold[label] = best_threshold(probability, goal)
        low[label], high[label] = _band(probability, goal, threshold[label])
    return Calibration(scale, shift, threshold, low, high)


def best_threshold(probability: Array, goal: npt.NDArray[np.int_]) -> float:
    """The cut with the best F1; halfway to the next lower probability, so that it does not hang on one study."""
    order = np.argsort(-probability, kind="stable")
    ordered, hits = probability[order], np.cumsum(goal[order])
    f1 = 2 * hits / (np.arange(1, len(goal) + 1) + goal.sum())
    f1[:-1][ordered[:-1] == ordered[1:]] = -1  # no cut parts equal probabilities
    best = int(f1.argmax())
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float(ordered[best] + below) / 2


def _band(probability: Array, goal: npt.NDArray[np.int_], threshold: float, share: float = 0.1) -> tuple[float, float]:
    """Bounds of the ``share`` of studies nearest the threshold, half on each side; above it never more than half of the
    present calls, so that a rare label can still be called."""
    half = max(1, round(share * len(goal) / 2))
    below, above = np.sort(probability[probability < threshold]), np.sort(probability[probability >= threshold])
    low = below[-half] if len(below) >= half else below[0] if len(below) else threshold
    called = min(half, len(above) // 2)
    return float(low), float(above[called - 1] if called else threshold)


def _sigmoid(values: npt.NDArray[np.floating]) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))), np.float64)
