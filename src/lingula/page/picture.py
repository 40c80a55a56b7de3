"""Radiographs and evidence maps as small PNG data URIs.

Colours are chosen for colour-blind readers: a viridis-like sequence for saliency (>= 0) and blue (against) - white -
orange (for) for signed attributions. A map's alpha is proportional to its magnitude, so that no evidence is no colour.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Map = npt.NDArray[np.float32]

FILM_SIDES = (1024, 896, 768, 640, 512, 384)  # long side in pixels, largest that fits the page's weight is taken
CASE_SIDES = (384, 320, 256, 192)
OVERLAY_SIDES = (256, 192, 128, 96, 64)

_SATURATION = 99.5  # percentile of |map| at which the colour is full: one hot pixel must not hide the rest
_ZERO = 128  # palette entry of 0 in the diverging table

_SEQUENTIAL = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
_DIVERGING = ("#0b4f9e", "#3f8fd6", "#a9d1f2", "#ffffff", "#ffcf99", "#f28a1c", "#c65500")


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a picture as a file of a kind that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def grey(pixels: Map) -> Image.Image:
    """8-bit grey of display values in [0, 1]; what lies outside is clipped."""
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def film_png(pixels: Map, side: int) -> bytes:
    """A radiograph (rows, columns) in [0, 1] as 8-bit grey PNG, its long side at most ``side`` pixels."""
    small = shrink(np.nan_to_num(pixels), side, Image.Resampling.LANCZOS)
    return _png(grey(small))


def thumbnail_jpeg(pixels: npt.NDArray[np.uint8], side: int) -> bytes:
    """A film (rows, columns) as a small JPEG for a wall of films, its long side at most ``side`` pixels."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return saved(picture, "JPEG", quality=80, optimize=True)


def overlay_png(values: Map, side: int, *, scale: float, signed: bool) -> bytes:
    """A map (rows, columns) as indexed PNG with alpha; ``scale`` is the magnitude of full colour.

    Zero is fully transparent. Negative values of an unsigned map count as zero.
    """
    unit = shrink(values, side) / scale if scale > 0 else np.zeros((1, 1), np.float32)
    entries = np.rint(_ZERO + np.clip(unit, -1, 1) * (255 - _ZERO) if signed else np.clip(unit, 0, 1) * 255)
    return _indexed(entries.astype(np.uint8), signed)


def legend_png(*, signed: bool) -> bytes:
    """The colour table as a strip, lowest value left, full colour without alpha."""
    entries = np.arange(1 if signed else 0, 256, dtype=np.uint8)
    return _png(Image.fromarray(colour_table(signed)[entries, :3][None]))


def colour_table(signed: bool) -> npt.NDArray[np.uint8]:
    """(256, 4) RGBA. Unsigned: 0 to full. Signed: entry 128 is zero, below it evidence against, above it for."""
    anchors = np.array([_rgb(colour) for colour in (_DIVERGING if signed else _SEQUENTIAL)])  # (anchors, 3)
    entries = np.arange(256.0)
    position = np.clip((entries - 1) / 254 if signed else entries / 255, 0, 1)
    alpha = np.minimum(np.abs(entries - _ZERO) / (255 - _ZERO), 1) if signed else entries / 255
    stops = np.linspace(0, 1, len(anchors))
    columns = [np.interp(position, stops, anchors[:, channel]) for channel in range(3)]
    return np.stack([*columns, alpha * 255], axis=1).round().astype(np.uint8)


def display_scale(maps: Sequence[Map]) -> float:
    """Magnitude of full colour, common to all films of one explanation; 0 where every map is zero."""
    if not maps:
        return 0.0
    magnitude = np.concatenate([np.abs(values).ravel() for values in maps])
    return float(np.percentile(magnitude, _SATURATION)) or float(magnitude.max())


def shrink(pixels: Map, side: int, method: Image.Resampling = Image.Resampling.BOX) -> Map:
    """``pixels`` resampled so that the long side is at most ``side``; never enlarged. BOX keeps the mean."""
    rows, columns = pixels.shape
    factor = side / max(rows, columns)
    if factor >= 1:
        return pixels
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    return np.asarray(Image.fromarray(np.asarray(pixels, np.float32)).resize(size, method), np.float32)


def fit(encode: Callable[[int], bytes], sides: Sequence[int], budget: float) -> bytes:
    """``encode(side)`` for the first side whose bytes stay within ``budget``, or for the last one."""
    for side in sides[:-1]:
        if len(png := encode(side)) <= budget:
            return png
    return encode(sides[-1])


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _indexed(entries: npt.NDArray[np.uint8], signed: bool) -> bytes:
    table = colour_table(signed)
    image = Image.fromarray(entries).convert("L")
    image.putpalette(table[:, :3].tobytes())
    return _png(image, transparency=table[:, 3].tobytes())


def _png(image: Image.Image, transparency: bytes | None = None) -> bytes:
    options = {} if transparency is None else {"transparency": transparency}
    return saved(image, "PNG", compress_level=9, **options)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
