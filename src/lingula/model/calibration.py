"""From logits to probabilities and decisions: per label, chosen on validation, kept in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.study import Decision

Array = npt.NDArray[np.float64]
LEAST = 5
"""Positives (and negatives) that validation must hold for a label to be scaled by itself; below, it borrows."""
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
        return _sigmoid(self.scale * logits + self.shift)

    def interval(self, probabilities: Array) -> Array:
        """(..., L, 2): between what bounds a probability (..., L) lies, with 95 % confidence; NaN where nobody looked.

        Of many films with this very score, the share that shows the finding, were validation drawn again and again. It
        speaks of the curve, not of the one film, and holds where films are like those of validation.
        """
        x = _log_odds(probabilities)
        offset, both, factor = self.doubt.T
        reach = 1.959964 * np.sqrt(offset + 2 * both * x + factor * x**2)
        return np.stack([_sigmoid(x - reach), _sigmoid(x + reach)], -1)

    def at_threshold(self) -> Array:
        """(L, 2): sensitivity and specificity on validation at each label's threshold, on a straight line between the
        nearest ``CUTS``; NaN where they are."""
        lines = zip(self.threshold, self.operating, strict=True)
        return np.array([[np.interp(cut, CUTS, measure) for measure in both] for cut, both in lines])

    def hardly_told(self) -> npt.NDArray[np.bool_]:
        """(L,): labels of which a call has a likelihood ratio below ``TELLS`` on validation; False where validation
        called no case of it, which says nothing."""
        sensitivity, specificity = self.at_threshold().T
        return np.asarray((sensitivity > 0) & (sensitivity < TELLS * (1 - specificity)), np.bool_)

    def certainty(self, probabilities: Array) -> Array:
        """(..., L): how far probabilities lie from their thresholds, in log-odds."""
        return np.abs(_log_odds(probabilities) - _log_odds(self.threshold))

    def unsure(self, probabilities: Array) -> npt.NDArray[np.bool_]:
        """(..., L): too near the threshold to tell (from ``unsure_from`` to ``unsure_to``, where that is ``NEAR``), or
        above the threshold of a label that is ``hardly_told``."""
        near = (probabilities >= self.unsure_from) & (probabilities <= self.unsure_to)
        near &= self.certainty(probabilities) <= np.log(NEAR)
        return np.asarray(near | (probabilities >= self.threshold) & self.hardly_told(), np.bool_)

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


def fit_calibration(logits: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> Calibration:
    """Fit on validation logits and targets (B, L); NaN targets are left out.

    Each label gets a temperature (Guo et al. 2017) or Platt's scale and shift (Platt 1999), whichever has the lower log
    loss on validation studies held out in turn. A label with fewer than ``LEAST`` positives borrows the scale of the
    others (their median) and is shifted to its own frequency, so that it can be called, too. The threshold maximises
    the F1 that the probabilities themselves lead one to expect, which a handful of positives cannot throw off; the band
    around it holds the tenth of the validation studies that lie nearest. The evaluation's table
    ``calibration`` compares these with others, isotonic regression among them.
    """
    fitted = Calibration.identity(targets.shape[1])
    scale, shift, threshold = fitted.scale.copy(), fitted.shift.copy(), fitted.threshold.copy()
    low, high = fitted.unsure_from.copy(), fitted.unsure_to.copy()
    operating, doubt = fitted.operating.copy(), fitted.doubt.copy()
    known = ~np.isnan(targets)
    parts = [(logits[k, i].astype(np.float64), targets[k, i].astype(np.float64)) for i, k in enumerate(known.T)]
    common = [label for label, (_, goal) in enumerate(parts) if min(goal.sum(), len(goal) - goal.sum()) >= LEAST]
    for label in common:
        method = min((temperature, platt), key=lambda method: held_out_loss(method, *parts[label]))
        scale[label], shift[label] = method(*parts[label])
    pooled = float(np.median(scale[common])) if common else 1.0
    for label, (logit, goal) in enumerate(parts):
        if not len(goal):
            continue  # nobody knows anything: as the model says
        if label not in common:
            scale[label], shift[label] = pooled, _shift_to(goal, pooled * logit)
        probability = _sigmoid(scale[label] * logit + shift[label])
        threshold[label] = expected_threshold(probability)
        low[label], high[label] = _band(probability, threshold[label])
        operating[label] = operating_points(probability, goal)
        doubt[label] = curve_doubt(probability)
    return Calibration(scale, shift, threshold, low, high, operating, doubt)


def operating_points(probability: Array, goal: Array) -> Array:
    """(2, C): the share of positives called, and of negatives not called, at each of ``CUTS``; NaN without any."""
    called = probability[:, None] >= CUTS  # (B, C)
    with np.errstate(invalid="ignore"):  # no positives, or no negatives: unknown
        sensitivity = called[goal == 1].sum(0) / np.float64((goal == 1).sum())
        specificity = (~called)[goal == 0].sum(0) / np.float64((goal == 0).sum())
    return np.stack([sensitivity, specificity])


def curve_doubt(probability: Array) -> Array:
    """(3,) of ``Calibration.doubt``: the inverse of the Fisher information of a logistic regression on the log-odds, at
    offset 0 and factor 1 (Hosmer, Lemeshow and Sturdivant 2013, section 2.5); NaN where the scores are all the same."""
    x, weight = _log_odds(probability), probability * (1 - probability)
    offset, both, factor = weight.sum(), (weight * x).sum(), (weight * x * x).sum()
    determinant = offset * factor - both**2
    if not determinant > 1e-9 * offset * factor:
        return np.full(3, np.nan)
    return np.asarray(np.array([factor, -both, offset]) / determinant, np.float64)


Method = Callable[[Array, Array], tuple[float, float]]
"""Scale and shift from logits and goals of one label, both (B,)."""


def temperature(logit: Array, goal: Array) -> tuple[float, float]:
    """The scale with the least log loss; the shift stays 0."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda log: log_loss(_sigmoid(np.exp(log) * logit), goal), bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x)), 0.0


def platt(logit: Array, goal: Array) -> tuple[float, float]:
    """Scale and shift by logistic regression on the standardised logit, lightly penalised: its unit does not matter."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(logit.mean()), float(logit.std())
    spread = spread if spread > 1e-9 else 1.0
    found = LogisticRegression(C=1.0).fit((logit[:, None] - mean) / spread, goal)
    scale = max(float(found.coef_[0, 0]), 0.05) / spread
    return scale, float(found.intercept_[0]) - scale * mean


def held_out_loss(method: Method, logit: Array, goal: Array) -> float:
    """Mean log loss on studies that the fit has not seen, each fold in turn."""
    total = 0.0
    for inside in folds_of(goal):
        scale, shift = method(logit[~inside], goal[~inside])
        total += log_loss(_sigmoid(scale * logit[inside] + shift), goal[inside]) * float(inside.mean())
    return total


def folds_of(goal: Array, folds: int = 5) -> list[npt.NDArray[np.bool_]]:
    """Members of each fold, (B,) flags; positives and negatives are dealt out in turn."""
    place = np.empty(len(goal), np.int64)
    for value in (0, 1):
        place[goal == value] = np.arange((goal == value).sum()) % folds
    return [place == fold for fold in range(folds)]


def log_loss(probability: Array, goal: Array) -> float:
    """Mean of -ln(probability given to what was so), probabilities kept off 0 and 1."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-(goal * np.log(p) + (1 - goal) * np.log(1 - p)).mean())


def _shift_to(goal: Array, scaled: Array) -> float:
    """The shift with which the probabilities of scaled logits sum to the positives and half a study more."""
    from scipy.optimize import brentq

    wanted = min(goal.sum() + 0.5, len(goal) - 0.5)
    bound = float(np.abs(scaled).max()) + 50
    return float(brentq(lambda shift: _sigmoid(scaled + shift).sum() - wanted, -bound, bound))


def expected_threshold(probability: Array) -> float:
    """The cut with the best expected F1, if the probabilities are right (after Lipton, Elkan and Naryanaswamy 2014).

    Called are the k highest; expected are 2 * (sum of their probabilities) / (k + sum of all).
    """
    ordered = np.sort(probability)[::-1]
    return _cut(ordered, 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum()))


def best_threshold(probability: Array, goal: npt.NDArray[np.int_]) -> float:
    """The cut with the best F1 on these very studies."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(goal[order])
    return _cut(probability[order], 2 * hits / (np.arange(1, len(goal) + 1) + goal.sum()))


def _cut(ordered: Array, f1: Array) -> float:
    """Below the k-th of falling probabilities, the best F1; halfway to the next, so as not to hang on one study."""
    f1 = f1.copy()
    f1[:-1][ordered[:-1] == ordered[1:]] = -1  # no cut parts equal probabilities
    best = int(f1.argmax())
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float(ordered[best] + below) / 2


def _band(probability: Array, threshold: float, share: float = 0.1, sure: float = 0.9) -> tuple[float, float]:
    """Bounds of the ``share`` of studies nearest the threshold, half on each side; above it never more than half of the
    present calls, so that a rare label can still be called. A call that the probability itself backs nine times in ten
    (``sure``) is made: where a label is told well, the nearest studies lie far from the threshold."""
    half = max(1, round(share * len(probability) / 2))
    below, above = np.sort(probability[probability < threshold]), np.sort(probability[probability >= threshold])
    low = below[-half] if len(below) >= half else below[0] if len(below) else threshold
    called = min(half, len(above) // 2)
    high = above[called - 1] if called else threshold
    return max(float(low), min(threshold, 1 - sure)), min(float(high), max(threshold, sure))


def _sigmoid(values: npt.NDArray[np.floating]) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))), np.float64)


def _log_odds(probability: Array) -> Array:
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p), np.float64)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return None if np.isnan(value) else round(value, 6)
