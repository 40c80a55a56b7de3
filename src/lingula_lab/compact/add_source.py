"""Labels of another source join the image path in closed form: a correction of the logits, folded into the state.

The correction is linear in a film's pooled features, as the image path is (``training.closed_form_image``), so that the
state stays the sum of its patches, and embedding, contributions and head stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lingula.study import VIEWS
from lingula_lab.model.study_model import StudyModel

STEPS, STEP = 4, 0.7
"""Quasi-Newton steps, and how far each goes."""
LEAST_SPREAD = 0.02
"""Least mean of p (1 - p) by which a label's residuals are divided."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmSource:
    """Films of another source.

    Attributes:
        features: (M, C) means over the patch grid. views: (M,) into ``VIEWS``.
        log_odds: (M, L) as the model says, calibrated on its own collection. targets: (M, L) in {0, 1, NaN}.
    """

    features: Tensor
    views: Tensor
    log_odds: Tensor
    targets: Tensor


def fit_correction(
    own: Tensor, views: Tensor, source: FilmSource, *, loyalty: float = 3.0, strength: float = 1e4, least: int = 5
) -> Tensor:
    """(C, L): what to add to the log-odds of a film with features x, ``(x - mean of its view) @ correction``.

    Logistic regression of the source's labels that begins at the model's own log-odds, with an intercept a label for
    the source; penalised are ``loyalty`` times the squared changes of the log-odds of the own training films, and
    ``strength`` times the squared coefficients of standardised features. Both sources are centred by themselves: which
    of them a film is from is not learnt.

    Args:
        own: (N, C) of the training films. views: (N,). least: positives from which a label is corrected.
    """
    mine, spread = _centred(own, views)
    theirs = (source.features - source.features.mean(0)) / spread
    solve = _ridge(torch.cat([theirs, loyalty**0.5 * mine]), strength)
    told = (source.targets == 1).sum(0) >= least
    correction = torch.zeros(own.shape[1], source.targets.shape[1], dtype=own.dtype)
    for _ in range(STEPS):
        residual = _residuals(source.log_odds + theirs @ correction, source.targets, told)
        pull = theirs.T @ residual - loyalty * (mine.T @ (mine @ correction)) - strength * correction
        correction = correction + STEP * solve(pull)
    return correction / spread[:, None]


@torch.no_grad()
def apply_correction(model: StudyModel, correction: Tensor, scale: Tensor, centres: Tensor) -> None:
    """Fold a correction of calibrated log-odds into the patches' linear map and the view embedding.

    Of all changes of a film's tokens that move the head's logits so, the smallest is taken.

    Args:
        correction: (C, L). scale: (L,) of the calibration in image mode. centres: (views, C) mean features a view.
    """
    read = (model.head.weight @ model.image_projector.weight).double()  # (L, W)
    change = torch.linalg.pinv(read) @ (correction.double() / scale.double()).T  # (W, C)
    encoder = model.image_encoder.to_width
    encoder.weight += change.to(encoder.weight.dtype)
    model.view_embedding.weight -= (centres.double() @ change.T).to(encoder.weight.dtype)


def centres_of(features: Tensor, views: Tensor) -> Tensor:
    """(views, C) mean features of each view in the order of ``VIEWS``; of a view without films the mean of all."""
    means = [features[views == v].mean(0) if bool((views == v).any()) else features.mean(0) for v in range(len(VIEWS))]
    return torch.stack(means)


def _ridge(rows: Tensor, strength: float) -> Callable[[Tensor], Tensor]:
    """What solves ``(rows' rows + strength) x = b`` for b (C, L), in the smaller of rows (N, C) and columns."""
    wide = rows.shape[0] < rows.shape[1]
    gram = rows @ rows.T if wide else rows.T @ rows
    gram.diagonal().add_(strength)
    factor = torch.linalg.cholesky(gram)

    def solve(b: Tensor) -> Tensor:
        if wide:
            return (b - rows.T @ torch.cholesky_solve(rows @ b, factor)) / strength
        return torch.cholesky_solve(b, factor)

    return solve


def _centred(features: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised features (N, C), and the spread (C,) they were divided by; silent channels are not asked."""
    off = features - centres_of(features, views)[views]
    spread = off.square().mean(0).sqrt()
    spread = spread.where(spread > 0.01 * spread.max(), torch.inf)
    return off / spread, spread


def _residuals(log_odds: Tensor, targets: Tensor, told: Tensor) -> Tensor:
    """(M, L): targets less probabilities, over the mean slope of the curve; 0 where nothing is known."""
    found = torch.zeros_like(log_odds)
    for label in torch.nonzero(told)[:, 0].tolist():
        known = ~targets[:, label].isnan()
        goal, odds = targets[known, label], log_odds[known, label]
        probability = torch.sigmoid(odds + _intercept(odds, float(goal.mean())))
        slope = max(float((probability * (1 - probability)).mean()), LEAST_SPREAD)
        found[known, label] = ((goal - probability) / slope).to(found.dtype)
    return found


def _intercept(log_odds: Tensor, frequency: float) -> float:
    """The shift with which the probabilities have this mean, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(torch.sigmoid(log_odds + middle).mean()) < frequency else (low, middle)
    return float(np.mean([low, high]))
