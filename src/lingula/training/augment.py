"""Anatomically sane augmentation: small turns, zooms and shifts, exposure; never a flip (the heart lies left)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(films: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """films (N, 1, S, S) in [0, 1] to (N, 1, size, size) in [0, 1]: +-10 degrees, zoom 0.88-1.12, shift +-6 %, gamma
    0.7-1.4, contrast +-15 %, brightness +-0.08."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(len(films), generator=generator) * (high - low) + low

    angle, zoom = uniform(-10, 10) * math.pi / 180, uniform(0.88, 1.12)
    stretch = uniform(0.94, 1.06)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    across = torch.stack([cos * stretch, -sin, uniform(-0.12, 0.12)], 1)
    down = torch.stack([sin, cos / stretch, uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [len(films), 1, size, size], align_corners=False)
    scale = films.shape[-1] / size
    if scale > 1.2:
        films = F.interpolate(films, (size, size), mode="bilinear", antialias=True, align_corners=False)
    films = F.grid_sample(films, grid, align_corners=False)
    gamma, gain, lift = (uniform(*r)[:, None, None, None] for r in ((-0.36, 0.34), (0.85, 1.15), (-0.08, 0.08)))
    return ((films.clamp(0, 1) ** gamma.exp() - 0.5) * gain + 0.5 + lift).clamp(0, 1)
