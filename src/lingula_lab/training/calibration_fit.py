"""Calibration fitted on validation: scale, shift, threshold and abstention band of each label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lingula.model.calibration import CUTS, Array, Calibration, log_odds, sigmoid

LEAST = 5
"""Positives (and negatives) that validation must hold for a label to be scaled by itself; below, it borrows."""


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
            continue  # no label is known: the model's own scale
        if label not in common:
            scale[label], shift[label] = pooled, _shift_to(goal, pooled * logit)
        probability = sigmoid(scale[label] * logit + shift[label])
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
    x, weight = log_odds(probability), probability * (1 - probability)
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

    found = minimize_scalar(lambda log: log_loss(sigmoid(np.exp(log) * logit), goal), bounds=(-3, 3), method="bounded")
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
        total += log_loss(sigmoid(scale * logit[inside] + shift), goal[inside]) * float(inside.mean())
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
    return float(brentq(lambda shift: sigmoid(scaled + shift).sum() - wanted, -bound, bound))


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
    (``sure``) is made: where a label is recognised well, the nearest studies lie far from it."""
    half = max(1, round(share * len(probability) / 2))
    below, above = np.sort(probability[probability < threshold]), np.sort(probability[probability >= threshold])
    low = below[-half] if len(below) >= half else below[0] if len(below) else threshold
    called = min(half, len(above) // 2)
    high = above[called - 1] if called else threshold
    return max(float(low), min(threshold, 1 - sure)), min(float(high), max(threshold, sure))
