"""Text burned into a picture: found by Tesseract (a program of its own), covered, and looked for again."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.errors import InputError

Grey = npt.NDArray[np.uint8]
ROUNDS = 4
"""Most times a picture is looked at."""
SIDE = 1600
"""Long side at which a picture is read; smaller ones are enlarged to it, at most ``_MOST`` times."""
_MOST = 3
_SURE, _PLAIN = 30.0, 60.0
"""Confidence (0 to 100) from which a word counts; from which one of two characters does."""
_SECONDS = 60.0
_FAINT, _EDGES = 25.0, 0.02
"""Of 255, between ink and ground, below which a word is none; share of a word's steps that are as sharp as letters."""
_CONTRAST = 50.0
"""Of 255, between ink and ground, from which a line is followed beyond its words."""
_STROKE, _FAINT_STROKE = 0.008, 25
"""Of the long side, what is wider is no stroke of a letter; of 255, from which a stroke differs from its ground."""
_MARGIN = 0.25
"""Of a word's height, added on every side."""
_STRIP = 0.16
"""Share of the picture's height in which a border is read by itself, enlarged: headers and footers of a film."""


@dataclass(frozen=True, slots=True)
class TextBox:
    """Where text stands, in pixels of the picture; end exclusive."""

    top: int
    left: int
    bottom: int
    right: int


def has_reader() -> bool:
    """Whether Tesseract is installed here."""
    return shutil.which("tesseract") is not None


def require_reader() -> None:
    """Raise ``InputError`` ``text_reader_missing`` where Tesseract is not installed."""
    if not has_reader():
        raise _missing()


def _missing() -> InputError:
    hint = "Install the package tesseract-ocr, or leave the pixels as they are (--no-pixels, --burned-in keep)."
    return InputError("text_reader_missing", "Tesseract, which finds text in pictures, is not here.", hint)


def find_text(picture: Grey) -> tuple[TextBox, ...]:
    """Words in an (H, W) picture, dark on bright and bright on dark.

    Raises:
        InputError: ``text_reader_missing`` where Tesseract is not installed, ``decode_timeout``.
    """
    height = len(picture)
    strip = max(32, round(_STRIP * height))
    hats = _hats(picture)
    read = [(0, shown) for shown in (picture, 255 - picture)]
    if height > 2 * strip:
        read += [
            (top, _flat(hat[top:bottom]))
            for hat in hats.values() for top, bottom in ((0, strip), (height - strip, height))
        ]  # fmt: skip
    found: list[TextBox] = []
    for top, shown in read:
        words = [replace(box, top=box.top + top, bottom=box.bottom + top) for box in _read(shown, _scale(shown.shape))]
        for box in words:
            if _is_written(picture, box):
                at_border = height <= 2 * strip or box.bottom <= strip or box.top >= height - strip
                found.append(_grown(_line(picture, hats, box) if at_border else box, picture.shape))
    return tuple(dict.fromkeys(found))


def _hats(picture: Grey) -> dict[bool, Grey]:
    """How far each pixel is from the ground that thin strokes stand on, where they are brighter and where darker: top
    hats of a picture, which no shading and no step of the ground tells."""
    side = max(9, round(_STROKE * max(picture.shape)))
    lowest, highest = (partial(_extreme, side=side, of=of) for of in (np.minimum, np.maximum))
    return {True: picture - highest(lowest(picture)), False: lowest(highest(picture)) - picture}


def _extreme(picture: Grey, side: int, of: np.ufunc) -> Grey:
    """The least or the greatest value in the square of a side around each pixel."""
    for _ in range(2):  # rows, then columns
        wide = np.pad(picture, ((side // 2, side - 1 - side // 2), (0, 0)), "edge")
        picture = reduce(of, [wide[at : at + len(picture)] for at in range(side)]).T
    return picture


def _flat(hat: Grey) -> Grey:
    """Strokes, however faint, dark on white."""
    return np.asarray(255 - np.minimum(hat.astype(np.uint16) * (255 // _FAINT_STROKE), 255), np.uint8)


def cover_text(
    pixels: npt.NDArray[np.generic], shown: Callable[[npt.NDArray[np.generic]], Grey]
) -> tuple[npt.NDArray[np.generic], tuple[TextBox, ...], bool]:
    """Cover words until none is found any more.

    Args:
        pixels: (H, W) or (H, W, samples) stored values; they are left as they are.
        shown: the picture they make.

    Returns:
        The values with every word covered, where the words were, and whether none is found any more.
    """
    covered = np.array(pixels)
    boxes: list[TextBox] = []
    for _ in range(ROUNDS):
        found = find_text(shown(covered))
        if not found:
            return covered, tuple(boxes), True
        for box in found:
            part = covered[box.top : box.bottom, box.left : box.right]
            part[...] = _around(covered, box)
        boxes += found
    return covered, tuple(boxes), not find_text(shown(covered))


def _around(pixels: npt.NDArray[np.generic], box: TextBox) -> npt.NDArray[np.generic]:
    """The middle value of the frame around a box: no edge that would be read again."""
    top, left = max(0, box.top - 3), max(0, box.left - 3)
    outer = pixels[top : box.bottom + 3, left : box.right + 3]
    rim = np.ones(outer.shape[:2], bool)
    rim[box.top - top : box.bottom - top, box.left - left : box.right - left] = False
    values = outer[rim] if rim.any() else outer.reshape(-1, *outer.shape[2:])
    return np.asarray(np.median(values.astype(np.float64), axis=0)).astype(pixels.dtype)


def _scale(shape: tuple[int, ...]) -> float:
    return float(min(_MOST, max(SIDE / max(shape), 1600 / max(shape) if max(shape) > 2400 else 1.0)))


def _levels(picture: Grey, box: TextBox) -> tuple[float, float]:
    """Ink and ground of a box: the extreme further from its middle value, and that value."""
    inside = picture[box.top : box.bottom, box.left : box.right]
    low, ground, high = (float(value) for value in np.percentile(inside, [1, 50, 99]))
    return (high if high - ground > ground - low else low), ground


def _is_written(picture: Grey, box: TextBox) -> bool:
    """Whether a box has the sharp edges of letters; anatomy that was read as some has soft ones."""
    ink, ground = _levels(picture, box)
    inside = picture[box.top : box.bottom, box.left : box.right].astype(np.float32)
    if abs(ink - ground) < _FAINT or min(inside.shape) < 3:
        return False
    steps = np.abs(np.diff(inside, axis=1))
    return bool((steps > 0.35 * abs(ink - ground)).mean() > _EDGES)


def _line(picture: Grey, hats: dict[bool, Grey], box: TextBox) -> TextBox:
    """The box of a word, as high as its strokes, and drawn out along its line over whatever has strokes like it: words
    that were not read. Only at the borders: elsewhere ribs and lines of the chest have such strokes, too."""
    height = box.bottom - box.top
    level, ground = _levels(picture, box)
    if abs(level - ground) < _CONTRAST:
        return box
    hat = hats[level > ground][box.top : box.bottom]
    ink = hat >= max(_FAINT_STROKE, 0.25 * float(np.percentile(hat[:, box.left : box.right], 98)))
    share = ink.mean(0)
    columns = np.flatnonzero((share > 0.1) & (share < 0.9))
    left, right = box.left, box.right
    for column in columns[columns < left][::-1]:
        if left - column > 1.5 * height:
            break
        left = int(column)
    for column in columns[columns >= right]:
        if column - right > 1.5 * height:
            break
        right = int(column) + 1
    rows = np.flatnonzero(ink[:, left:right].any(1))
    return TextBox(box.top + int(rows[0]), left, box.top + int(rows[-1]) + 1, right) if len(rows) else box


def _grown(box: TextBox, shape: tuple[int, ...]) -> TextBox:
    margin = max(2, round(_MARGIN * (box.bottom - box.top)))
    return TextBox(
        max(0, box.top - margin), max(0, box.left - margin),
        min(shape[0], box.bottom + margin), min(shape[1], box.right + margin),
    )  # fmt: skip


def _read(picture: Grey, scale: float) -> list[TextBox]:
    image = Image.fromarray(picture)
    if scale != 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    sent = io.BytesIO()
    image.save(sent, "PNG", compress_level=1)
    command = ["tesseract", "stdin", "stdout", "--psm", "11", "--dpi", "150", "tsv"]
    try:
        done = subprocess.run(
            command, input=sent.getvalue(), capture_output=True, timeout=_SECONDS, check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )  # fmt: skip
    except FileNotFoundError:
        raise _missing() from None
    except subprocess.TimeoutExpired:
        raise InputError("decode_timeout", "finding text in the picture took too long.") from None
    rows = csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [box for row in rows if (box := _word(row, picture.shape, scale)) is not None]


def _word(row: dict[str, str], shape: tuple[int, ...], scale: float) -> TextBox | None:
    """A word that may tell something; None for noise: marks, single characters, what is as large as the chest."""
    try:
        sure, left, top, width, height = (float(row[key]) for key in ("conf", "left", "top", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return None
    letters = sum(character.isalnum() for character in row.get("text") or "")
    if letters < 2 or sure < (_PLAIN if letters == 2 else _SURE):
        return None
    left, top, right, bottom = (value / scale for value in (left, top, left + width, top + height))
    if bottom - top > max(0.12 * shape[0], 40) or bottom - top < 4:
        return None
    return TextBox(int(top), int(left), int(bottom) + 1, int(right) + 1)
