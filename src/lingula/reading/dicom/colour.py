"""Grey of a picture in three channels: equal channels, a tint over grey, a coloured stamp on a grey film."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice

TOLERANCE = 2
"""Of 255: what a JPEG's colour transform leaves between the channels of a grey picture."""
CONVERTED = Notice("rgb_converted", "A colour picture with equal channels was read as grey.")
IGNORED = Notice("colour_ignored", "The picture has a tint or a coloured mark; its grey was read.")
_COLOURED = 24 / 255  # from the tint of pixels as bright
_MOST_COLOURED = 0.1  # share of the picture
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
YBR_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)  # PS3.3 C.7.6.3.1.2
_BINS = 16
Integers = npt.NDArray[np.integer[Any]]


def grey_of(rgb: Integers, bits: int = 8) -> tuple[Integers, tuple[Notice, ...]]:
    """One channel of a picture whose colour says nothing.

    Args:
        rgb: (rows, columns, 3) unsigned values. bits: of a value.

    Returns:
        (rows, columns) of the same dtype, and rgb_converted or colour_ignored.

    Raises:
        InputError: unsupported_photometric where a large part of the picture has colours of its own.
    """
    tolerance = TOLERANCE << max(bits - 8, 0)
    away = max(int(_distance(rgb[..., channel], rgb[..., 0]).max()) for channel in (1, 2))
    if away <= tolerance:
        return np.ascontiguousarray(rgb[..., 1]), (CONVERTED,)
    if coloured_share(rgb, bits) > _MOST_COLOURED:
        raise InputError("unsupported_photometric", "a colour picture; radiographs are grey")
    grey = np.empty(rgb.shape[:2], rgb.dtype)
    for top in range(0, len(rgb), 64):  # a few rows at a time: in float they are four times as large
        grey[top : top + 64] = np.rint(rgb[top : top + 64].astype(np.float32) @ _LUMA)
    return grey, (IGNORED,)


def coloured_share(rgb: Integers, bits: int = 8) -> float:
    """Share of the picture whose colour is not that of a tint: one hue that depends on brightness alone.

    Pixels are looked at on a grid of at most 256 x 256.
    """
    rows, columns = (max(1, side // 256) for side in rgb.shape[:2])
    pixels = rgb[::rows, ::columns].reshape(-1, 3).astype(np.float32) / ((1 << bits) - 1)
    luma, chroma = pixels @ _LUMA, pixels[:, ::2] - pixels[:, 1:2]
    of_bin = np.minimum((luma * _BINS).astype(int), _BINS - 1)
    tints = np.zeros((_BINS, 2), np.float32)
    counts = np.bincount(of_bin, minlength=_BINS)
    for each in np.flatnonzero(counts):
        tints[each] = np.median(chroma[of_bin == each], axis=0)
    hue = (tints * counts[:, None]).sum(0)
    other_hue = (tints @ hue) < 0.5 * np.linalg.norm(tints, axis=1) * np.linalg.norm(hue)
    tints[other_hue & (np.abs(tints).max(1) > _COLOURED)] = 0
    return float((np.abs(chroma - tints[of_bin]).max(1) > _COLOURED).mean())


def _distance(one: Integers, other: Integers) -> Integers:
    """|one - other| of unsigned integers, without a wider copy of both."""
    return np.maximum(one, other) - np.minimum(one, other)
