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


def disturb(films: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Of films (N, 1, S, S) in [0, 1] this share with what other machines, screens and hands leave on them: another
    tone curve, blur, noise, covered borders, and bright or dark marks. Each disturbed film has each by even chance."""
    count, size = len(films), films.shape[-1]
    chance = torch.rand(count, 5, generator=generator)
    amount = torch.rand(count, 12, generator=generator)
    told = (torch.rand(count, 1, generator=generator) < share) & (chance < 0.5)
    noise = torch.randn(films.shape, generator=generator).to(films.device)
    changed = []
    for film, at, on, grain in zip(films, amount.tolist(), told.tolist(), noise, strict=True):
        if on[0]:  # an S curve: more contrast in the middle, less in shadows and lights
            steepness, middle = 2 + 6 * at[0], 0.3 + 0.4 * at[1]
            low, high = (1 / (1 + math.exp(-steepness * (end - middle))) for end in (0, 1))
            film = (torch.sigmoid(steepness * (film - middle)) - low) / (high - low)
        if on[1]:
            small = int(size * (0.35 + 0.5 * at[2]))
            reduced = F.interpolate(film[None], (small, small), mode="bilinear", antialias=True, align_corners=False)
            film = F.interpolate(reduced, (size, size), mode="bilinear", align_corners=False)[0]
        if on[2]:
            film = film + 0.05 * at[3] * grain
        if on[3]:
            border, value, turns = int(size * 0.12 * at[4]), float(at[5] > 0.7), int(at[6] * 4)
            turned = film.rot90(turns, (1, 2))  # a copy
            turned[:, :border] = value
            film = turned.rot90(-turns, (1, 2))
        if on[4]:
            film = film.clone()
            top, left = int(at[7] * 0.9 * size), int(at[8] * 0.9 * size)
            high, wide = 1 + int(at[9] * 0.12 * size), 1 + int(at[10] * 0.2 * size)
            film[:, top : top + high, left : left + wide] = float(at[11] > 0.3)
        changed.append(film.clamp(0, 1))
    return torch.stack(changed)
