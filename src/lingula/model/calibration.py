"""From logits to probabilities and decisions: per label, chosen on validation, kept in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.study import Decision

Array = npt.NDArray[np.float64]
CUTS = np.array([0.01, 0.02, 0.03, *np.arange(0.05, 0.96, 0.05).round(2), 0.97, 0.99])
"""The thresholds at which sensitivity and specificity are kept."""
NEAR = 3.0
"""Most that the odds of a probability may differ from those of the threshold, as a factor, to be too near to tell."""
TELLS = 2.0
"""Least likelihood ratio of a call that is made. Below it, what was called changes the odds of the finding "to a small,
and rarely important, degree" (Jaeschke, Guyatt and Sackett 1994, JAMA 271:703)."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A scale, a shift, a threshold and an abstention band for each label, all of shape (L,).

    ``probability = sigmoid(scale * logit + shift)``; present at or above ``threshold``, except where a call would tell
    too little (``unsure``): abstain.

    ``operating``: (L, 2, C), sensitivity and specificity on validation were the label called at each of ``CUTS``; NaN
    where validation had no case to tell, or where nobody looked.

    ``doubt``: (L, 3), how uncertain the curve from logits to probabilities itself is, fitted on so few studies:
    variance of an offset to the log-odds, its covariance with a factor to them, and that factor's variance; NaN where
    unknown.
    """

    scale: Array
    shift: Array
    threshold: Array
    unsure_from: Array
    unsure_to: Array
    operating: Array
    doubt: Array

    def probabilities(self, logits: npt.NDArray[np.floating]) -> Array:
        """Logits (..., L) to calibrated probabilities (..., L)."""
        return sigmoid(self.scale * logits + self.shift)

    def interval(self, probabilities: Array) -> Array:
        """(..., L, 2): between what bounds a probability (..., L) lies, with 95 % confidence; NaN where nobody looked.

        Of many films with this very score, the share that shows the finding, were validation drawn again and again. It
        speaks of the curve, not of the one film, and holds where films are like those of validation.
        """
        x = log_odds(probabilities)
        offset, both, factor = self.doubt.T
        reach = 1.959964 * np.sqrt(offset + 2 * both * x + factor * x**2)
        return np.stack([sigmoid(x - reach), sigmoid(x + reach)], -1)

    @property
    def is_sound(self) -> bool:
        """Whether every part has its shape, and every value is one that a calibration can have."""
        count = len(self.threshold)
        shaped = all(getattr(self, name).shape == (count,) for name in ("scale", "shift", "unsure_from", "unsure_to"))
        shaped &= self.operating.shape == (count, 2, len(CUTS)) and self.doubt.shape == (count, 3)
        numbers = np.concatenate([self.scale, self.shift, self.unsure_from, self.unsure_to, self.threshold])
        likely = bool(((self.threshold >= 0) & (self.threshold <= 1)).all())
        return shaped and likely and bool(np.isfinite(numbers).all()) and not np.isinf(self.doubt).any()

    def at_threshold(self) -> Array:
        """(L, 2): sensitivity and specificity on validation at each label's threshold, on a straight line between the
        nearest ``CUTS``; NaN where they are."""
        lines = zip(self.threshold, self.operating, strict=True)
        return np.array([[np.interp(cut, CUTS, measure) for measure in both] for cut, both in lines])

    def uninformative(self) -> npt.NDArray[np.bool_]:
        """(L,): labels of which a call has a likelihood ratio below ``TELLS`` on validation; False where validation
        called no case of it, which says nothing."""
        sensitivity, specificity = self.at_threshold().T
        return np.asarray((sensitivity > 0) & (sensitivity < TELLS * (1 - specificity)), np.bool_)

    def certainty(self, probabilities: Array) -> Array:
        """(..., L): how far probabilities lie from their thresholds, in log-odds."""
        return np.abs(log_odds(probabilities) - log_odds(self.threshold))

    def unsure(self, probabilities: Array) -> npt.NDArray[np.bool_]:
        """(..., L): too near the threshold to tell (from ``unsure_from`` to ``unsure_to``, where that is ``NEAR``), or
        above the threshold of a label that is ``uninformative``."""
        near = (probabilities >= self.unsure_from) & (probabilities <= self.unsure_to)
        near &= self.certainty(probabilities) <= np.log(NEAR)
        return np.asarray(near | (probabilities >= self.threshold) & self.uninformative(), np.bool_)

    def decide(self, probabilities: Array) -> tuple[Decision, ...]:
        """One decision a label for one study's probabilities (L,)."""
        unsure, present = self.unsure(probabilities), probabilities >= self.threshold
        return tuple("abstain" if u else "present" if p else "absent" for u, p in zip(unsure, present, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN as null, which is JSON."""
        return {each.name: _rounded(getattr(self, each.name).tolist()) for each in fields(self)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Calibration:
        """Read it back. Checkpoints from before operating points or intervals were kept have none."""
        labels = len(body["threshold"])
        absent = {"operating": np.full((labels, 2, len(CUTS)), np.nan), "doubt": np.full((labels, 3), np.nan)}
        known = {**absent, **body}
        return cls(**{each.name: np.array(known[each.name], np.float64) for each in fields(cls)})

    @classmethod
    def identity(cls, labels: int) -> Calibration:
        """Probabilities as the model gives them, cut at one half: before there is any validation."""
        half = np.full(labels, 0.5)
        unknown = np.full((labels, 2, len(CUTS)), np.nan)
        return cls(np.ones(labels), np.zeros(labels), half, half + 1, half + 1, unknown, np.full((labels, 3), np.nan))


def sigmoid(values: npt.NDArray[np.floating]) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))), np.float64)


def log_odds(probability: Array) -> Array:
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p), np.float64)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return None if np.isnan(value) else round(value, 6)
