"""Stored values to display values: Modality LUT, VOI LUT or window, polarity, square pixels (PS3.3 C.11, PS3.4 N.2).

Everything but the last step works on *levels*, the distinct stored values, of which there are at most 65,536 for the
usual 16 bits; the picture itself is touched twice, to count its levels and to look each pixel up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import Notice

Floats = npt.NDArray[np.float64]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
BAD_WINDOW = Notice("bad_window", "The window in the header is of no use here; the picture's own range is shown.")
CUT = 0.005  # share of pixels beyond either end of a percentile window
_LEAST_CONTRAST = 0.3  # of the display range, between the ends of a percentile window
_MOST_LOST = 0.9  # share of pixels that a window may show as black, or as white
BAD_MODALITY = Notice("bad_rescale", "The Modality LUT in the header is unusable; stored values are shown as they are.")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A look-up table of the Modality LUT or VOI LUT module (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes:
        first: input value mapped to the first entry; values below it get the first entry, above the table the last.
        entries: (N,) output values.
        bits: bits of an entry.
    """

    first: int
    entries: Floats
    bits: int

    def apply(self, values: Floats) -> Floats:
        row = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        found: Floats = self.entries[row.astype(np.int64)]
        return found


@dataclass(frozen=True, slots=True)
class Window:
    """WindowCenter and WindowWidth with their VOILUTFunction (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    def apply(self, values: Floats) -> Floats:
        """Output in [0, 1].

        LINEAR: (x - (c - 0.5)) / (w - 1) + 0.5;
        LINEAR_EXACT: (x - c) / w + 0.5; SIGMOID: 1 / (1 + exp(4 (c - x) / w)).
        """
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(np.clip(-4 * (values - self.center) / self.width, -700, 700)))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """How a header wants its stored values shown.

    Attributes:
        modality: Modality LUT Sequence; used instead of ``slope`` and ``intercept``.
        slope, intercept: RescaleSlope and RescaleIntercept.
        voi: VOI LUT Sequence; used instead of ``window``.
        window: the first window; None asks for a percentile window.
        inverted: MONOCHROME1 or PresentationLUTShape INVERSE: the lowest output is the brightest.
        padding: lowest and highest stored value of PixelPaddingValue/PixelPaddingRangeLimit; shown black.
        aspect: height of a pixel over its width.
    """

    modality: Lut | None = None
    slope: float = 1.0
    intercept: float = 0.0
    voi: Lut | None = None
    window: Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None
    aspect: float = 1.0


def display(
    stored: npt.NDArray[np.integer[Any]], rendering: Rendering
) -> tuple[npt.NDArray[np.float32], tuple[Notice, ...]]:
    """Apply a rendering.

    Args:
        stored: (rows, columns) stored values, right-justified and sign extended.

    Returns:
        (rows, columns) float32 in [0, 1], dense tissue bright, not yet square; and the notices bad_window (a window
        that shows nothing of the picture, replaced by a percentile window) and blank_image.
    """
    levels, counts, index = _levels(stored)
    padded = np.zeros(len(levels), dtype=bool)
    if rendering.padding is not None:
        low, high = rendering.padding
        padded = (levels >= low) & (levels <= high)
        if counts[~padded].sum() == 0:
            padded[:] = False
    values = rendering.modality.apply(levels) if rendering.modality else levels * rendering.slope + rendering.intercept
    seen = np.where(padded, 0, counts)
    odd: tuple[Notice, ...] = ()
    if rendering.modality and _is_flat(values, seen) and not _is_flat(levels, seen):
        values, odd = levels, (BAD_MODALITY,)
    table, notices = _values_of_interest(values, seen, rendering)
    notices = odd + notices
    if rendering.inverted:
        table = 1 - table
    if any(notice.code == "blank_image" for notice in notices):
        table = np.zeros_like(table)
    table[padded] = 0
    return table.astype(np.float32)[index], notices


def _values_of_interest(
    values: Floats, counts: npt.NDArray[np.int64], rendering: Rendering
) -> tuple[Floats, tuple[Notice, ...]]:
    """VOI LUT, window or percentile window of the levels' values: (K,) in [0, 1]."""
    dark, bright = _percentiles(values, counts)
    if dark == bright:
        return np.zeros_like(values), (Notice("blank_image", "The picture is blank."),)
    by_percentile = np.clip((values - dark) / (bright - dark), 0, 1)
    if rendering.voi is not None:
        table = np.clip(rendering.voi.apply(values) / (2.0**rendering.voi.bits - 1), 0, 1)
    elif rendering.window is not None:
        table = rendering.window.apply(values)
    else:
        return by_percentile, ()
    return (
        (by_percentile, (BAD_WINDOW,)) if _hides(table, by_percentile, values, (dark, bright), counts) else (table, ())
    )


def _hides(
    table: Floats, by_percentile: Floats, values: Floats, ends: tuple[float, float], counts: npt.NDArray[np.int64]
) -> bool:
    """Whether a window or VOI LUT leaves too little contrast, or nearly all pixels black or white.

    So it is with a window of 16 bits over values of 12, or the other way round. A film most of which is black or white
    in its own range is not meant.
    """
    low, high = (table[int(np.argmin(np.abs(values - end)))] for end in ends)
    if abs(high - low) < _LEAST_CONTRAST:
        return True
    total = counts.sum()
    for lost, own in ((table < 1 / 255, by_percentile < 1 / 8), (table > 254 / 255, by_percentile > 7 / 8)):
        if counts[lost].sum() > _MOST_LOST * total and counts[own].sum() < _MOST_LOST / 2 * total:
            return True
    return False


def _is_flat(values: Floats, counts: npt.NDArray[np.int64]) -> bool:
    met = values[counts > 0]
    return not len(met) or bool(met.min() == met.max())


def _levels(
    stored: npt.NDArray[np.integer[Any]],
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.integer[Any]]]:
    """Levels in ascending order (K,), pixels at each (K,), and each pixel's row in them (rows, columns)."""
    low, high = int(stored.min()), int(stored.max())
    if high - low >= 1 << 16:
        found, index, counts = np.unique(stored, return_inverse=True, return_counts=True)
        return found.astype(np.float64), counts, index.reshape(stored.shape)
    unsigned = stored.view(np.dtype(f"u{stored.itemsize}")) if stored.dtype.kind == "i" else stored
    lowest = unsigned.dtype.type(low % (1 << 8 * stored.itemsize))
    index = (unsigned - lowest).astype(np.uint16)  # modular: stored - low, whatever the sign
    flat = index.ravel()
    counts = np.zeros(high - low + 1, dtype=np.int64)
    for at in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[at : at + _CHUNK], minlength=len(counts))
    return np.arange(low, high + 1, dtype=np.float64), counts, index


def _percentiles(values: Floats, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The values that cut off ``CUT`` of the pixels at either end; mirrored values give mirrored cuts.

    A picture whose bulk is one value is stretched between its extremes instead.
    """
    order = np.argsort(values, kind="stable")
    order = order[counts[order] > 0]
    share = CUT * counts.sum()
    dark = values[order[np.searchsorted(np.cumsum(counts[order]), share, side="right")]]
    downwards = order[::-1]
    bright = values[downwards[np.searchsorted(np.cumsum(counts[downwards]), share, side="right")]]
    if dark == bright:
        dark, bright = values[order[0]], values[order[-1]]
    return float(dark), float(bright)


def square(pixels: npt.NDArray[np.float32], aspect: float, most: int) -> npt.NDArray[np.float32]:
    """Resample to square pixels, enlarging the coarser axis (PS3.3 10.7.1.3 and C.7.6.3.1.7).

    Args:
        aspect: height of a pixel over its width; within 1 % of one, or beyond 1:4, the picture is returned as it is.
        most: pixels the result may have; beyond, the finer axis is reduced instead.
    """
    if abs(aspect - 1) < 0.01 or not 0.25 <= aspect <= 4:
        return pixels
    from PIL import Image

    rows, columns = pixels.shape
    size = (columns, round(rows * aspect)) if aspect > 1 else (round(columns / aspect), rows)
    if size[0] * size[1] > most:
        size = (max(round(columns / aspect), 1), rows) if aspect > 1 else (columns, max(round(rows * aspect), 1))
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized, dtype=np.float32), 0, 1)
