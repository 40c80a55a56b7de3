"""The average film, patch by patch: what every film shows is no evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lingula.study import VIEWS, View
from lingula_lab.model.study_model import StudyModel, collate


@torch.no_grad()
def average_shares(
    model: StudyModel, films: npt.NDArray[np.uint8], views: Sequence[View], *, batch: int = 16
) -> npt.NDArray[np.float32]:
    """Mean share of each patch in each label's logit over films, each read alone in image mode.

    Args:
        films: (N, S, S) uint8 display values, letterboxed to the model's input. views: N views.

    Returns:
        (views, L, P) float32 in the order of ``VIEWS``; a view without films has the mean over all.
    """
    preprocessing = model.architecture.preprocessing
    sums, counts = torch.zeros(len(VIEWS), model.architecture.labels, model.patches), torch.zeros(len(VIEWS))
    for start in range(0, len(films), batch):
        shown = views[start : start + batch]
        pixels = preprocessing.normalised(films[start : start + batch].astype(np.float32) / np.float32(255))
        tensors = collate(
            [[(film, view)] for film, view in zip(pixels, shown, strict=True)],
            [None] * len(shown),
            size=preprocessing.size,
            pad=0,
        )
        fused = model.fuse(model.encode(tensors).only("image")).fused
        shares: Tensor = model.contributions(fused)[:, 1 : 1 + model.patches] @ model.head.weight.T  # (B, P, L)
        sums.index_add_(0, tensors.views, shares.transpose(1, 2))
        counts.index_add_(0, tensors.views, torch.ones(len(shown)))
    everywhere = sums.sum(0) / counts.sum().clamp(min=1)
    means = torch.where(counts[:, None, None] > 0, sums / counts.clamp(min=1)[:, None, None], everywhere)
    return means.numpy().astype(np.float32)
