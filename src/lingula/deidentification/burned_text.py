"""Text burned into a picture: found by Tesseract (a program of its own), covered, and looked for again."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    parts = [(0, height)]
    if height > 2 * strip:
        parts += [(0, strip), (height - strip, height)]
    found: list[TextBox] = []
    for top, bottom in parts:
        part = picture[top:bottom]
        for shown in (part, 255 - part):
            words = [
                replace(box, top=box.top + top, bottom=box.bottom + top) for box in _read(shown, _scale(part.shape))
            ]
            found += [_grown(_line(picture, box), picture.shape) for box in words if _is_written(picture, box)]
    return tuple(dict.fromkeys(found))


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


def _line(picture: Grey, box: TextBox) -> TextBox:
    """The box of a word drawn out, along its line, over whatever has the same ink: words that were not read."""
    height = box.bottom - box.top
    level, ground = _levels(picture, box)
    if abs(level - ground) < _CONTRAST:
        return box
    ink = np.abs(picture[box.top : box.bottom].astype(np.float32) - level) < 0.15 * abs(level - ground)
    columns = np.flatnonzero(ink.any(0) & (ink.mean(0) < 0.9))
    left, right = box.left, box.right
    for column in columns[columns < left][::-1]:
        if left - column > 1.5 * height:
            break
        left = int(column)
    for column in columns[columns >= right]:
        if column - right > 1.5 * height:
            break
        right = int(column) + 1
    return replace(box, left=left, right=right)


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
