"""How logits best become probabilities: methods compared on validation studies held out in turn, then on test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lingula.model.calibration import best_threshold, expected_threshold, folds_of, log_loss, platt, temperature
from lingula_lab.evaluation.baselines import Parts
from lingula_lab.evaluation.tables.classification import System
from lingula_lab.measures.bootstrap import Resamples, centred, figure
from lingula_lab.measures.classification import LEAST, brier, f1, supported
from lingula_lab.measures.reliability import calibration_error
from lingula_lab.measures.table import Cell, Row, Table

Doubles = npt.NDArray[np.float64]
Method = Callable[[Doubles, Doubles, Doubles], Doubles]
"""Probabilities of the last argument's logits, after a fit on the logits and goals of the first two."""


def _linear(fit: Callable[[Doubles, Doubles], tuple[float, float]]) -> Method:
    def method(logit: Doubles, goal: Doubles, asked: Doubles) -> Doubles:
        scale, shift = fit(logit, goal)
        return np.asarray(expit(scale * asked + shift), np.float64)

    return method


def _isotonic(logit: Doubles, goal: Doubles, asked: Doubles) -> Doubles:
    """Zadrozny and Elkan 2002; kept off 0 and 1 by half a study, or one surprise would cost everything."""
    from sklearn.isotonic import IsotonicRegression

    edge = 0.5 / (len(goal) + 1)
    return np.asarray(
        IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(logit, goal).predict(asked)
    )


METHODS: dict[str, Method] = {
    "as the model says": lambda logit, goal, asked: np.asarray(expit(asked), np.float64),
    "temperature": _linear(temperature),
    "Platt": _linear(platt),
    "isotonic": _isotonic,
}


def calibration_table(systems: Sequence[System], parts: Parts, draws: Resamples) -> Table:
    """Every method for each system, mean over the headline labels."""
    labels, n = np.flatnonzero(supported(parts.test_targets)), len(parts.test)
    known = parts.validation_targets[:, labels].astype(np.float64)
    goal = parts.test_targets[:, labels].astype(np.float64)
    rows = []
    for system in systems:
        logits, asked = system.scores.validation[:, labels], system.scores.test[:, labels]
        losses = {name: _held_out(method, logits, known) for name, method in METHODS.items()}
        best = np.argmin(list(losses.values()), 0)
        for place, (name, method) in enumerate(METHODS.items()):
            fitted = [method(logits[:, i], known[:, i], logits[:, i]) for i in range(len(labels))]
            found = np.stack([method(logits[:, i], known[:, i], asked[:, i]) for i in range(len(labels))], 1)
            ece = np.mean([calibration_error(p, y, draws.counts) for p, y in zip(found.T, goal.T, strict=True)], 0)
            empirical = [best_threshold(p, y.astype(int)) for p, y in zip(fitted, known.T, strict=True)]
            cuts = (empirical, [expected_threshold(p) for p in fitted])
            cells: tuple[Cell, ...] = (
                f"{losses[name].mean():.4f}",
                int((best == place).sum()),
                figure(centred(ece), n),
                figure(brier(found, goal, draws.counts).mean(1), n),
                *(figure(f1(found >= np.array(cut), goal, draws.counts).mean(1), n) for cut in cuts),
            )
            rows.append(Row(f"{system.name}: {name}", cells))
    about = (
        f"Mean over the {len(labels)} labels with at least {LEAST} positives in test. Log loss: on validation studies "
        "held out in turn, five parts; the method with the least is best for that many labels. What ships chooses "
        "temperature or Platt by it, label by label, and cuts at the best expected F1. The rest is measured on test "
        "and chose nothing."
    )
    columns = ("log loss, validation", "labels it is best for", "ECE", "Brier", "F1, best cut", "F1, expected cut")
    return Table("calibration", "Ways to calibrate", about, "system: method", columns, tuple(rows))


def _held_out(method: Method, logits: Doubles, goal: Doubles) -> Doubles:
    """Log loss of each label on folds that the fit has not seen, (L,)."""
    losses = np.zeros(goal.shape[1])
    for label in range(goal.shape[1]):
        logit, y = logits[:, label], goal[:, label]
        for inside in folds_of(y):
            losses[label] += log_loss(method(logit[~inside], y[~inside], logit[inside]), y[inside]) * inside.mean()
    return losses
