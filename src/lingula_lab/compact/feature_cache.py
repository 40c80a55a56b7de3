"""Features of a frozen trunk, computed once: training what lies above them then costs a hundredth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingula_lab.data.study_set import StudySet
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.augment import augment, draws

_GROUP = 16
"""Films whose features are computed together."""


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
        films = [(int(film), copies) for row in train for film in data.films_of(row)]
        films += [(int(film), 1) for row in validation for film in data.films_of(row)]
        self._grids: dict[int, Tensor] = {}
        for start in range(0, len(films), _GROUP):
            group = films[start : start + _GROUP]
            most = max(copies for _, copies in group)
            versions = _versions(data, [film for film, _ in group], most, generator)
            grids = [_features(model, version) for version in versions]
            for place, (film, copies) in enumerate(group):
                self._grids[film] = torch.stack([version[place] for version in grids[:copies]])
            progress(start + len(group), len(films))

    def plain(self, films: Sequence[int]) -> Tensor:
        """(N, C, grid, grid) of the films as they are."""
        return torch.stack([self._grids[film][0] for film in films]).float()

    def draw(self, films: Sequence[int], generator: torch.Generator) -> Tensor:
        """(N, C, grid, grid), each film in a copy chosen by chance."""
        copies = [self._grids[film] for film in films]
        picks = [int(torch.randint(len(copy), (), generator=generator)) for copy in copies]
        return torch.stack([copy[pick] for copy, pick in zip(copies, picks, strict=True)]).float()


def pooled_features(model: StudyModel, data: StudySet, films: Sequence[int], *, copies: int, seed: int) -> Tensor:
    """(copies, N, C): means over the feature grid of films as they are and of ``copies - 1`` augmented versions."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(0, len(films), _GROUP):
        versions = _versions(data, films[start : start + _GROUP], copies, generator)
        found.append(torch.stack([_features(model, version).float().mean((2, 3)) for version in versions]))
    return torch.cat(found, 1)


def _versions(data: StudySet, films: Sequence[int], copies: int, generator: torch.Generator) -> list[Tensor]:
    """Films (N, 1, S, S) in [0, 1] as they are, and ``copies - 1`` times augmented."""
    pixels = torch.from_numpy(data.films[list(films)])[:, None].float() / 255
    return [pixels, *(augment(pixels, pixels.shape[-1], draws(len(pixels), generator)) for _ in range(copies - 1))]


@torch.no_grad()
def _features(model: StudyModel, films: Tensor) -> Tensor:
    """films (N, 1, S, S) in [0, 1] to (N, C, grid, grid) in half precision, on the CPU."""
    pixels = model.architecture.preprocessing.normalised(films)
    encoder = model.image_encoder
    was_training = encoder.training
    try:  # as deployed: without dropout, and leaving running statistics alone
        encoder.eval()
        return encoder.features(pixels.to(next(model.parameters()).device)).half().cpu()
    finally:
        encoder.train(was_training)
