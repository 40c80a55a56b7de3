"""Augmentation keeps the heart on its side, the range and the shape."""

from __future__ import annotations

import torch

from lingula_lab.training.augment import augment, disturb, draws


def _drawn(films: int, seed: int) -> torch.Tensor:
    return draws(films, torch.Generator().manual_seed(seed))


def test_never_flips() -> None:
    """Four corner marks of different brightness stay in their quadrants, in every one of 200 draws."""
    levels = (0.95, 0.75, 0.55, 0.35)
    film = torch.zeros(1, 1, 64, 64)
    for level, (row, column) in zip(levels, ((16, 16), (16, 44), (44, 16), (44, 44)), strict=True):
        film[..., row : row + 8, column : column + 8] = level
    moved = augment(film.expand(200, -1, -1, -1), 64, _drawn(200, 0))
    quadrants = moved.unflatten(2, (2, 32)).unflatten(4, (2, 32)).amax((1, 3, 5)).flatten(1)  # (200, 4)
    assert (quadrants.diff(dim=1) < 0).all()


def test_range_shape_and_variety() -> None:
    films = torch.rand(16, 1, 96, 96)
    for size in (96, 64, 90):
        moved = augment(films, size, _drawn(16, 1))
        assert moved.shape == (16, 1, size, size)
        assert moved.min() >= 0
        assert moved.max() <= 1
    same = augment(films[:1].expand(16, -1, -1, -1), 64, _drawn(16, 1))
    assert (same[1:] - same[0]).abs().amax((1, 2, 3)).min() > 0.05
    again = augment(films[:1].expand(16, -1, -1, -1), 64, _drawn(16, 1))
    assert torch.equal(same, again)


def test_shrinking_does_not_alias() -> None:
    """Stripes one pixel wide, seen at half the size, are even grey, not moire."""
    stripes = torch.zeros(4, 1, 256, 256)
    stripes[..., ::2] = 1
    inner = augment(stripes, 128, _drawn(4, 2))[..., 40:-40, 40:-40]
    assert inner.std((1, 2, 3)).max() < 0.05


def test_a_share_is_disturbed_and_stays_in_range() -> None:
    films = torch.rand(400, 1, 48, 48, generator=torch.Generator().manual_seed(3))
    changed = disturb(films, 0.5, torch.Generator().manual_seed(4))
    touched = (changed != films).flatten(1).any(1).float().mean()
    assert 0.4 < float(touched) < 0.56  # of the disturbed, 31 of 32 have at least one change
    assert changed.shape == films.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert torch.equal(disturb(films, 0.0, torch.Generator().manual_seed(4)), films)
    assert torch.equal(disturb(films, 0.5, torch.Generator().manual_seed(4)), changed)


def test_a_tone_curve_keeps_the_order_of_greys() -> None:
    """A ramp that is disturbed by a curve alone still rises from black to white."""
    ramp = torch.linspace(0, 1, 64)[None, None, None].expand(300, 1, 64, -1)
    changed = disturb(ramp, 1.0, torch.Generator().manual_seed(0))[:, 0, 0]
    smooth = changed[(changed.diff(dim=1) >= 0).all(1) & (changed[:, 0] == 0) & (changed[:, -1] == 1)]
    bent = (smooth - ramp[0, 0, 0]).abs().amax(1)
    assert (bent > 0.02).sum() > 10
