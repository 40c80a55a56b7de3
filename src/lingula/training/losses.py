"""Losses of the joint model, each with its formula and source."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_bce(logits: Tensor, targets: Tensor, *, gamma: float = 0.0) -> Tensor:
    """Mean focal binary cross-entropy over the known labels (Lin et al. 2017, without class weights).

    ``FL = -(1 - p_t)^gamma log(p_t)`` with ``p_t = p`` for positives and ``1 - p`` for negatives; ``gamma = 0`` is BCE.

    Args:
        logits, targets: (B, L); targets in {0, 1} or NaN where the label is unknown.
        gamma: >= 0; larger looks away from what is already right.

    Returns:
        A scalar; 0 when nothing is known.
    """
    known = ~targets.isnan()
    goal = torch.where(known, targets, torch.zeros_like(targets))
    bce = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    if gamma:
        bce = bce * (1 - torch.exp(-bce)).clamp(min=1e-8) ** gamma  # exp(-bce) is p_t; at 0 a root has no gradient
    return (bce * known).sum() / known.sum().clamp(min=1)


def contrastive(one: Tensor, other: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021) in which every duplicate of the partner is a positive.

    ``L = -mean_i log( mean over positives of softmax )`` would let one positive win; as in SupCon (Khosla et al. 2020,
    ``L_out``) the mean is taken outside the logarithm: each row's target is uniform over its positives.

    Args:
        one, other: (B, D), unit norm, row i of one belongs to row i of the other.
        scale: inverse temperature, scalar.
        same: (B, B) bool, True where two rows are the same thing (at least the diagonal), symmetric.
    """
    logits = scale * one @ other.T
    target = same / same.sum(1, keepdim=True)
    rows = -(target * logits.log_softmax(1)).sum(1).mean()
    columns = -(target * logits.T.log_softmax(1)).sum(1).mean()
    return (rows + columns) / 2


def side_loss(maps: Tensor, sides: Tensor) -> Tensor:
    """What a label rests on should lie on the side on which it was coded (multiple-instance logistic loss).

    ``L = softplus(-side * (lse(right half) - lse(left half)))`` with ``lse`` the log-sum-exp over half a map that was
    divided by its standard deviation; the patient's left is image right. Of an odd grid the middle column counts for
    neither.

    Args:
        maps: (M, g, g) contributions of a frontal film's patches to a label's logit.
        sides: (M,) 1 for the patient's left, -1 for the right.
    """
    half = maps.shape[-1] // 2
    scaled = maps / maps.detach().flatten(1).std(1).clamp(min=1e-8)[:, None, None]
    left, right = (part.flatten(1).logsumexp(1) for part in (scaled[..., :half], scaled[..., -half:]))
    return F.softplus(-sides * (right - left)).mean()
