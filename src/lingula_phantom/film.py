"""From tissue to film: point masses onto a grid, attenuation, scatter, quantum noise, log display.

Lengths are centimetres of water unless said otherwise. Images are (rows, columns) float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.floating[Any]]  # float32 in practice

MU = 0.17  # 1/cm, water at about 120 kVp
SCATTER = 0.3  # scattered share behind an anti-scatter grid


class Points(NamedTuple):
    """Projected point masses of equal shape: positions in cm, masses in cm³ of water."""

    x: Array
    y: Array
    mass: Array


@dataclass(frozen=True)
class Grid:
    """The detector in patient coordinates: pixel (row, column) sees the ray at ``(left, top) + pitch * (column, row)``.

    Attributes:
        left, top: position of the first pixel's centre, cm.
        pitch: pixel spacing, cm.
    """

    left: float
    top: float
    pitch: float
    rows: int
    columns: int

    @cached_property
    def x(self) -> Array:
        """(1, columns), cm."""
        return (self.left + self.pitch * np.arange(self.columns, dtype=np.float32))[None, :]

    @cached_property
    def y(self) -> Array:
        """(rows, 1), cm."""
        return (self.top + self.pitch * np.arange(self.rows, dtype=np.float32))[:, None]

    def crop(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """Rows and columns of a rectangle in cm; an empty slice where that is off the film."""
        rows, columns = (
            slice(max(0, int((low - start) / self.pitch)), max(0, int((high - start) / self.pitch) + 2))
            for low, high, start in ((top, bottom, self.top), (left, right, self.left))
        )
        return rows, columns

    def around(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        return self.crop(x - reach, x + reach, y - reach, y + reach)

    def empty(self) -> Array:
        return np.zeros((self.rows, self.columns), np.float32)

    def deposit(self, *clouds: Points) -> Array:
        """Project point masses: their line integrals in cm, (rows, columns).

        Points off the film collect in the outermost pixels, which the margin around a film discards.
        """
        total = np.zeros(self.rows * self.columns)
        scale = np.float32(1 / self.pitch)
        for x, y, mass in clouds:
            column = np.asarray((x - np.float32(self.left - self.pitch / 2)) * scale).astype(np.int32)
            row = np.asarray((y - np.float32(self.top - self.pitch / 2)) * scale).astype(np.int32)
            np.clip(column, 0, self.columns - 1, out=column)
            np.clip(row, 0, self.rows - 1, out=row)
            row *= self.columns
            row += column
            total += np.bincount(row.ravel(), mass.ravel(), total.size)
        return binomial((total / self.pitch**2).reshape(self.rows, self.columns).astype(np.float32))


def step(distance: Array, softness: float) -> Array:
    """0 below, 1 above, a smooth edge ``softness`` wide around distance 0."""
    t = np.asarray(distance, np.float32) * np.float32(1 / softness)
    t = np.clip(t + np.float32(0.5), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def dome(distance: Array) -> Array:
    """Depth of a round body of unit depth across ``distance`` (unit radius): sqrt(1 - distance²), 0 outside."""
    return np.asarray(np.sqrt(np.maximum(1 - distance * distance, 0)), np.float32)


def binomial(image: Array) -> Array:
    """Blur by [1 2 1] / 4 both ways; borders lose a little."""
    out = image * 0.5
    out[1:] += image[:-1] * 0.25
    out[:-1] += image[1:] * 0.25
    both = out * 0.5
    both[:, 1:] += out[:, :-1] * 0.25
    both[:, :-1] += out[:, 1:] * 0.25
    return both


def lowpass(image: Array, pixels: int) -> Array:
    """The slow part of an image: means over about ``pixels``, interpolated back."""
    small = np.asarray(Image.fromarray(image).reduce(max(1, pixels // 2)))
    small = binomial(binomial(np.pad(small, 4, mode="edge")))[3:-3, 3:-3]
    smooth = Image.fromarray(np.ascontiguousarray(small))
    box = (1, 1, small.shape[1] - 1, small.shape[0] - 1)
    return np.asarray(smooth.resize(image.shape[::-1], Image.Resampling.BICUBIC, box))


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Array:
    """Band-limited noise, about unit variance, ``cells`` knots along the longer side."""
    rows, columns = (max(2, round(cells * side / max(shape))) for side in shape)
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(Image.fromarray(knots).resize(shape[::-1], Image.Resampling.BICUBIC))


def rotate(image: Array, degrees: float, margin: int) -> Array:
    """Turn clockwise about the centre and cut ``margin`` pixels from every side."""
    rows, columns = image.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = (columns - 1) / 2, (rows - 1) / 2
    left, top = margin - cx, margin - cy
    affine = (cos, sin, cos * left + sin * top + cx, -sin, cos, cos * top - sin * left + cy)
    size = (columns - 2 * margin, rows - 2 * margin)
    turned = Image.fromarray(image).transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(turned)


def expose(water: Array, rng: np.random.Generator, quanta: float, pitch: float) -> Array:
    """Measured attenuation ``-ln(I / I0)`` behind ``water`` cm: Beer-Lambert, scatter, detector noise.

    Args:
        quanta: photons a pixel in the open beam; fewer, noisier.
    """
    signal = np.exp(-MU * np.maximum(water, 0), dtype=np.float32)
    signal += SCATTER * lowpass(signal, round(2.0 / pitch))
    signal = np.maximum(signal, 1e-4)
    noise = binomial(rng.standard_normal(signal.shape, dtype=np.float32))
    signal += noise * np.sqrt(signal / quanta)
    return np.asarray(-np.log(np.maximum(signal, 1e-3)), np.float32)


def develop(attenuation: Array, contrast: float, pitch: float) -> Array:
    """Display values in [0, 1], dense tissue bright, as a CR reader makes them.

    Slow variation is compressed so that lung and mediastinum both show, edges are lifted, and a sigmoid stands in for
    the film's characteristic curve.
    """
    slow, middle = lowpass(attenuation, round(2.2 / pitch)), lowpass(attenuation, max(2, round(0.35 / pitch)))
    value = attenuation - 0.4 * slow + 0.5 * (attenuation - middle)
    rows, columns = value.shape
    centre = (slice(rows // 6, -rows // 4, 4), slice(columns // 6, -columns // 6, 4))
    body = value[centre][attenuation[centre] > 0.55]
    dark, bright = (float(level) for level in np.percentile(body, (8, 96)))
    scaled = (value - dark) * (contrast / (bright - dark)) + 0.27
    over = np.maximum(scaled - 0.7, 0)
    return np.asarray(np.clip(np.minimum(scaled, 0.7) + over / (1 + over / 0.3), 0, 1), np.float32)


def mark(image: Array, pitch: float, corner: tuple[float, float]) -> None:
    """Put a lead "L" on the film, its upper left at ``corner`` (x, y) cm from the film's own corner."""
    bars: Sequence[tuple[float, float, float, float]] = ((0, 0, 0.32, 1.7), (0, 1.4, 1.05, 1.7))
    for x0, y0, x1, y1 in bars:
        (left, right), (top, bottom) = (
            (round((at + a) / pitch), round((at + b) / pitch))
            for at, a, b in ((corner[0], x0, x1), (corner[1], y0, y1))
        )
        image[top:bottom, left:right] = 0.97
