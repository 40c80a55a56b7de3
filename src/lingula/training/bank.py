"""Features of a frozen trunk, computed once: training what lies above them then costs a hundredth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingula.models.study_model import StudyModel
from lingula.training.augment import augment
from lingula.training.data import StudySet


class FeatureBank:
    """Feature grids of films, (copies, C, grid, grid) in half precision each; copy 0 is the film as it is.

    Args:
        train, validation: rows of the study set; only training films get ``copies - 1`` augmented versions.
    """

    def __init__(
        self,
        model: StudyModel,
        data: StudySet,
        train: np.ndarray[Any, Any],
        validation: np.ndarray[Any, Any],
        *,
        copies: int,
        seed: int,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        rows = [(row, copies) for row in train] + [(row, 1) for row in validation]
        self._grids: dict[int, Tensor] = {}
        for done, (row, versions) in enumerate(rows, 1):
            for film in data.films_of(row):
                pixels = torch.from_numpy(np.array(data.films[film]))[None, None].float() / 255
                self._grids[int(film)] = self._features(model, pixels, versions, generator)
            progress(done, len(rows))

    @staticmethod
    @torch.no_grad()
    def _features(model: StudyModel, pixels: Tensor, versions: int, generator: torch.Generator) -> Tensor:
        preprocessing = model.architecture.preprocessing
        others = [augment(pixels, pixels.shape[-1], generator) for _ in range(versions - 1)]
        stack = (torch.cat([pixels, *others]) - preprocessing.mean) / preprocessing.std
        device = next(model.parameters()).device
        return model.image_encoder.features(stack.to(device)).half().cpu()

    def plain(self, films: Sequence[int]) -> Tensor:
        """(N, C, grid, grid) of the films as they are."""
        return torch.stack([self._grids[film][0] for film in films]).float()

    def draw(self, films: Sequence[int], generator: torch.Generator) -> Tensor:
        """(N, C, grid, grid), each film in a copy chosen by chance."""
        copies = [self._grids[film] for film in films]
        picks = [int(torch.randint(len(copy), (), generator=generator)) for copy in copies]
        return torch.stack([copy[pick] for copy, pick in zip(copies, picks, strict=True)]).float()
