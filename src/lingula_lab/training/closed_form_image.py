"""The image path in closed form: what a film's pooled features say of its report's state, by ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lingula.study import VIEWS
from lingula_lab.model.study_model import StudyModel

_STATE_SCALE = 32.0
"""Scale of image patches against the report's state, so that what fusion adds to them starts small."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmRegression:
    """What a trained trunk was read with, linear in a film's mean features: logits, and the report's state.

    Attributes:
        weight: (L, C) and bias (views, L) of the logits. state: (D, C) and state_bias (views, D) of the state.
        spread: (C,) of the features over all films that trained the trunk, of other sources too.
    """

    weight: Tensor
    bias: Tensor
    state: Tensor
    state_bias: Tensor
    spread: Tensor


@torch.no_grad()
def solve_image_path(
    model: StudyModel,
    features: Tensor,
    views: Tensor,
    states: Tensor,
    strength: float,
    reader: FilmRegression | None = None,
    *,
    trust: float = 1.0,
    recall: float = 0.0,
    scale: float = 1.0,
    wording: Tensor | None = None,
    gain: float = 1.0,
) -> None:
    """Set the linear map of the patches, the view embedding and the projectors so that the mean over a film's patches
    is the ridge regression of the report's state on the film's mean features.

    Features are standardised within their view; the penalty is ``strength`` times the squared norm of the
    coefficients. The mean state is taken off both modalities (and given back to the logits by the head's bias), so
    that a cosine compares how studies differ from the mean.

    With the ``reader`` of the trunk features are divided by their spread over all films that trained it: channels that
    tell sources apart hardly vary within one, and would get a large weight if they were standardised there. The
    reader's logits, times ``trust``, are added as the smallest states from which the head reads them. Of its estimate
    of the state, times ``recall``, the part that the head does not read is added: it differs between reports that name
    the same findings.

    Args:
        features: (N, C) mean over the patch grid, one row a film. views: (N,) into ``VIEWS``.
        states: (N, D) of the reports, in text mode.
        strength: > 0. scale: scale of a film's state against a report's, in joint mode.
        wording: (D, K) orthonormal directions of the reports' wording (``solve_wording``), in which a film's state is
            multiplied by ``gain``: the regression predicts little of wording, and too small.

    Raises:
        ValueError: when fusion and joint space differ in width.
    """
    width = model.architecture.width
    if states.shape[1] != width:
        raise ValueError(f"a closed form needs width {width} to be the dimension {states.shape[1]}")
    features, states = features.double(), states.double()
    average = states.mean(0)
    centres = torch.stack([features[views == v].mean(0) if (views == v).any() else features.mean(0)
                           for v in range(len(VIEWS))])  # fmt: skip
    spread = (features - centres[views]).square().mean(0).sqrt() if reader is None else reader.spread.double()
    spread = spread.where(spread > 0.01 * spread.max(), torch.inf)  # channels that are almost constant are left out
    x = (features - centres[views]) / spread
    gram = x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ (states - average)).T / spread  # (D, C)
    offsets = -centres @ weight.T  # (views, D)
    if reader is not None:
        head = model.head.weight.double()
        lift = torch.linalg.pinv(head)  # (D, L)
        unread = torch.eye(width, dtype=head.dtype) - lift @ head  # (D, D)
        for share, spoken, offset in (
            (trust * lift, reader.weight.double(), reader.bias.double()),
            (recall * unread, reader.state.double(), reader.state_bias.double()),
        ):
            mean = (features @ spoken.T + offset[views]).mean(0)
            weight, offsets = weight + share @ spoken, offsets + (offset - mean) @ share.T
    gains = torch.eye(width)
    if wording is not None:
        gains += (gain - 1) * wording @ wording.T
    encoder = model.image_encoder.to_width
    for parameter, value in (
        (encoder.weight, _STATE_SCALE * weight),
        (encoder.bias, torch.zeros(width)),
        (model.view_embedding.weight, _STATE_SCALE * offsets),
        (model.image_projector.weight, gains * scale / _STATE_SCALE),
        (model.image_projector.bias, torch.zeros(width)),
        (model.image_gate.weight, torch.zeros_like(model.image_gate.weight)),
        (model.image_gate.bias, torch.zeros_like(model.image_gate.bias)),
        (model.head.bias, model.head.bias + model.head.weight @ average.to(model.head.bias)),
        (model.text_projector.bias, model.text_projector.bias - average.to(model.head.bias)),
    ):
        parameter.copy_(value)
