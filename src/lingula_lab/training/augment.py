"""Anatomically sane augmentation: small turns, zooms and shifts, exposure; never a flip (the heart lies left)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_RANGES = (
    (-10, 10),
    (0.88, 1.12),
    (0.94, 1.06),
    (-0.12, 0.12),
    (-0.12, 0.12),
    (-0.36, 0.34),
    (0.85, 1.15),
    (-0.08, 0.08),
)
"""Degrees, zoom, stretch, shift across and down (half the side is 1), logarithm of gamma, contrast, brightness."""


def draws(films: int, generator: torch.Generator) -> Tensor:
    """How each of these films is to be changed, by chance: (N, 8) in [0, 1)."""
    return torch.rand(len(_RANGES), films, generator=generator).T


def augment(films: Tensor, size: int, drawn: Tensor) -> Tensor:
    """films (N, 1, S, S) in [0, 1] to (N, 1, size, size) in [0, 1]: +-10 degrees, zoom 0.88-1.12, shift +-6 %, gamma
    0.7-1.4, contrast +-15 %, brightness +-0.08, as ``draws`` says."""
    values = (row * (high - low) + low for row, (low, high) in zip(drawn.to(films.device).T, _RANGES, strict=True))
    angle, zoom, stretch, right, below, gamma, gain, lift = values
    angle = angle * math.pi / 180
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    across, down = torch.stack([cos * stretch, -sin, right], 1), torch.stack([sin, cos / stretch, below], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [len(films), 1, size, size], align_corners=False)
    scale = films.shape[-1] / size
    if scale > 1.2:
        films = F.interpolate(films, (size, size), mode="bilinear", antialias=True, align_corners=False)
    films = F.grid_sample(films, grid, align_corners=False)
    gamma, gain, lift = (value[:, None, None, None] for value in (gamma, gain, lift))
    exposed: Tensor = (films.clamp(0, 1) ** gamma.exp() - 0.5) * gain + 0.5 + lift
    return exposed.clamp(0, 1)
