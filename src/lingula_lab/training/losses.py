"""Losses of the joint model, each with its formula and source."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_bce(
    logits: Tensor, targets: Tensor, *, gamma: float = 0.0, negative: float | None = None, margin: float = 0.0
) -> Tensor:
    """Mean focal binary cross-entropy over the known labels (Lin et al. 2017, without class weights).

    ``FL = -(1 - p_t)^gamma log(p_t)`` with ``p_t = p`` for positives and ``1 - p`` for negatives; ``gamma = 0`` is BCE.
    With ``negative`` or ``margin`` it is the asymmetric loss (Ridnik et al. 2021): negatives are focused by
    ``negative`` and judged by ``max(p - margin, 0)``, so that the easiest of them teach nothing.

    Args:
        logits, targets: (B, L); targets in {0, 1} or NaN where the label is unknown.
        gamma: >= 0; larger looks away from what is already right.
        negative: the same for negatives; None for ``gamma``.
        margin: in [0, 1), taken from the probability of a negative.

    Returns:
        A scalar; 0 when nothing is known.
    """
    known = ~targets.isnan()
    goal = torch.where(known, targets, torch.zeros_like(targets))
    bce = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    if margin:
        shifted = (logits.sigmoid() - margin).clamp(min=0)
        bce = torch.where(goal > 0, bce, -torch.log1p(-shifted))
    power = torch.where(goal > 0, gamma, gamma if negative is None else negative)
    if gamma or negative:
        bce = bce * (1 - torch.exp(-bce)).clamp(min=1e-8) ** power  # exp(-bce) is p_t; at 0 a root has no gradient
    return (bce * known).sum() / known.sum().clamp(min=1)


def contrastive(one: Tensor, others: Tensor, scale: Tensor, same: Tensor, known: Tensor) -> Tensor:
    """InfoNCE (Radford et al. 2021) from rows to candidates, in which every duplicate of the partner is a positive.

    ``L = -mean_i log( mean over positives of softmax )`` would let one positive win; as in SupCon (Khosla et al. 2020,
    ``L_out``) the mean is taken outside the logarithm: each row's target is its positives by their weights.

    Args:
        one: (B, D), unit norm. others: (N, D), unit norm, the candidates.
        scale: inverse temperature, scalar.
        same: (B, N) how far a candidate is a row's partner, >= 0. Rows without any teach nothing.
        known: (B, N) bool, which candidates are looked at.
    """
    logits = (scale * one @ others.T).masked_fill(~known, -1e4)
    weight = same * known
    target = weight / weight.sum(1, keepdim=True).clamp(min=1e-8)
    return -(target * logits.log_softmax(1)).sum(1).mean()


def label_overlap(labels: Tensor, others: Tensor) -> Tensor:
    """(B, L) and (N, L) labels in {0, 1, NaN} to (B, N) Jaccard overlap of the labels present, in [0, 1]; 0 where
    nothing is."""
    present, there = labels.nan_to_num(0.0), others.nan_to_num(0.0)
    both = present @ there.T
    either = present.sum(1)[:, None] + there.sum(1) - both
    return both / either.clamp(min=1)


def graph_alignment(states: Tensor, labels: Tensor, prototypes: Tensor, scale: Tensor) -> Tensor:
    """A study should lie nearest the places of its labels in a knowledge graph.

    ``L = -mean_b mean_{l in labels of b} log softmax_l(scale * cos(state_b, prototype_l))``: cross-entropy over the
    labels, uniform over those present. Only states are asked for afterwards, so an unlabelled query has its place too.

    Args:
        states: (B, E), mapped to the graph's space. labels: (B, L) in {0, 1, NaN}.
        prototypes: (L, E), one vector a label. scale: inverse temperature, scalar.

    Returns:
        A scalar over the studies with at least one label; 0 when there are none.
    """
    present = labels.nan_to_num(0.0)
    counts = present.sum(1)
    logits = scale * F.normalize(states, dim=-1) @ F.normalize(prototypes, dim=-1).T  # (B, L)
    losses = -(present * logits.log_softmax(1)).sum(1) / counts.clamp(min=1)
    return losses.sum() / (counts > 0).sum().clamp(min=1)


def side_loss(maps: Tensor, sides: Tensor) -> Tensor:
    """What a label rests on should lie on the side on which it was coded (multiple-instance logistic loss).

    ``L = softplus(-side * (lse(right half) - lse(left half)))`` with ``lse`` the log-sum-exp over half a map that was
    divided by its standard deviation; the patient's left is image right. Of an odd grid the middle column counts for
    neither.

    Args:
        maps: (M, g, g) contributions of a frontal film's patches to a label's logit.
        sides: (M,) 1 for the patient's left, -1 for the right.
    """
    scaled = maps / maps.detach().flatten(1).std(1).clamp(min=1e-8)[:, None, None]
    left, right = (part.logsumexp(1) for part in _halves(scaled))
    return F.softplus(-sides * (right - left)).mean()


def _halves(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right half (M, P) of maps (M, g, g), without the middle column of an odd grid."""
    half = maps.shape[-1] // 2
    return maps[..., :half].flatten(1), maps[..., -half:].flatten(1)
