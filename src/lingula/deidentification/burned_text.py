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
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from lingula.errors import InputError

Grey = npt.NDArray[np.uint8]
ROUNDS = 4
"""Most times a picture is looked at."""
SIDE = 1600
"""Long side at which a picture is read; smaller ones are enlarged to it, at most ``_MOST`` times."""
_MOST = 3
_SURE = {2: 85.0, 3: 60.0}
_ELSE_SURE, _CERTAIN = 30.0, 75.0
"""Confidence (0 to 100) from which a word of so many characters counts; a longer one; a faint one."""
_SECONDS = 60.0
_STROKE, _INK, _FAINT_INK = 0.008, 40, 20
"""Of the long side, what is wider is no stroke of a letter; of 255, by how much strokes of words stand out from their
ground, and those of faint words, which have to be read with certainty."""
_EDGES = 0.05, 0.02
"""Share of a word's steps that are as sharp as letters; of a faint word's."""
_FAINTEST, _NOISE = 10, 4
"""Of 255, from which something is a stroke on even ground; of the noise around it, elsewhere."""
_DENSE, _SPECKS = 0.08, 0.05
"""Share of strokes in a line of words; below which what lies around is no word but specks."""
_MARGIN = 0.25
"""Of a word's height, added on every side."""
_STRIP = 0.16
"""Share of a picture's width in which a side is read for words that are turned."""


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
    """Words in an (H, W) picture, dark on bright and bright on dark; upright ones, and at its sides turned ones.

    Raises:
        InputError: ``text_reader_missing`` where Tesseract is not installed, ``decode_timeout``.
    """
    hats = _hats(picture)
    shown = _Shown(picture, hats, {is_bright: _strokes(hat) for is_bright, hat in hats.items()})
    found: list[TextBox] = []
    for turns in (0, 1, 3):
        turned = shown.turned(turns)
        found += [_turned_back(box, turns, picture.shape) for box in _words(turned, is_upright=turns == 0)]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture, its top hats and strokes by whether they are brighter than their ground; (H, W) each."""

    picture: Grey
    hats: dict[bool, Grey]
    strokes: dict[bool, Grey]

    def turned(self, turns: int) -> _Shown:
        """Turned by as many quarters, against the clock."""
        hats, strokes = (
            {key: np.rot90(each, turns) for key, each in of.items()} for of in (self.hats, self.strokes)
        )  # fmt: skip
        return _Shown(np.rot90(self.picture, turns), hats, strokes)


def _turned_back(box: TextBox, turns: int, shape: tuple[int, ...]) -> TextBox:
    """Where a box of a picture that was turned lies in the picture of this shape."""
    height, width = shape
    if turns == 1:
        return TextBox(box.left, width - box.bottom, box.right, width - box.top)
    if turns == 3:
        return TextBox(height - box.right, box.top, height - box.left, box.bottom)
    return box


def _words(shown: _Shown, *, is_upright: bool) -> list[TextBox]:
    """Words with their margins: of a whole upright picture; of the upper and lower border of one that is turned."""
    height = len(shown.picture)
    strip = min(height, max(32, round(_STRIP * height)))
    parts = [(0, height)] if is_upright else [(0, strip), (height - strip, height)]
    read = [(top, 255 - each[top:bottom]) for each in shown.strokes.values() for top, bottom in parts]
    if is_upright:
        read.append((0, shown.picture))
    found = []
    for top, part in read:
        for word in _read(part, _scale(part.shape)):
            box = replace(word.box, top=word.box.top + top, bottom=word.box.bottom + top)
            is_bright = _is_bright(shown.picture, box)
            if _is_written(shown.picture, shown.hats[is_bright], replace(word, box=box)):
                found.append(_grown(_line(shown.strokes[is_bright], box), shown.picture.shape))
    return found


def _hats(picture: Grey) -> dict[bool, Grey]:
    """How far each pixel is from the ground that thin strokes stand on, where they are brighter and where darker: top
    hats of a picture, which no shading and no step of the ground tells."""
    side = max(9, round(_STROKE * max(picture.shape))) | 1  # odd: an opening is nowhere brighter than its picture
    lowest, highest = (partial(_extreme, side=side, of=of) for of in (np.minimum, np.maximum))
    return {True: picture - highest(lowest(picture)), False: lowest(highest(picture)) - picture}


def _extreme(picture: Grey, side: int, of: np.ufunc) -> Grey:
    """The least or the greatest value in the square of an odd side around each pixel."""
    for _ in range(2):  # rows, then columns
        wide = np.pad(picture, ((side // 2, side // 2), (0, 0)), "edge")
        picture = reduce(of, [wide[at : at + len(picture)] for at in range(side)]).T
    return picture


def _strokes(hat: Grey) -> Grey:
    """(H, W), 255 where a hat stands out from the noise around it as strokes do, however faint; less where it does
    less, 0 where only specks do."""
    side = max(8, max(hat.shape) // 64)
    wide = np.pad(hat, [(0, -length % side) for length in hat.shape], "edge")
    rows, columns = (length // side for length in wide.shape)
    cells = np.median(wide.reshape(rows, side, columns, side), axis=(1, 3))  # (rows, columns)
    around = sliding_window_view(np.pad(cells, 2, "edge"), (5, 5))  # (rows, columns, 5, 5)
    noise = np.median(around, axis=(2, 3)).astype(np.float32)
    smooth = Image.fromarray(noise).resize(wide.shape[::-1], Image.Resampling.BILINEAR)
    least = np.maximum(_NOISE * np.asarray(smooth)[: hat.shape[0], : hat.shape[1]], _FAINTEST)
    strokes: Grey = np.minimum(255 * (hat / least), 255).astype(np.uint8)
    strokes[_share_around(strokes == 255, side) <= _SPECKS] = 0
    return strokes


def _share_around(ink: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.float32]:
    """The share of ink in the square of this side around each pixel."""
    sums = ink.astype(np.float32)
    for _ in range(2):  # rows, then columns
        wide = np.pad(sums, ((side // 2 + 1, (side - 1) // 2), (0, 0)))
        total = wide.cumsum(0, dtype=np.float32)
        sums = (total[side:] - total[:-side]).T
    return sums / np.float32(side * side)


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


def _is_bright(picture: Grey, box: TextBox) -> bool:
    """Whether ink is brighter than its ground: the extreme of a box further from its middle value is ink."""
    low, ground, high = np.percentile(picture[box.top : box.bottom, box.left : box.right], [1, 50, 99])
    return bool(high - ground > ground - low)


def _is_written(picture: Grey, hat: Grey, word: _Word) -> bool:
    """Whether a word has strokes with the sharp edges of letters; anatomy that was read as one has neither."""
    part = slice(word.box.top, word.box.bottom), slice(word.box.left, word.box.right)
    inside = picture[part].astype(np.float32)
    if min(inside.shape) < 3:
        return False
    low, ground, high = np.percentile(inside, [1, 50, 99])
    sharp = float((np.abs(np.diff(inside, axis=1)) > 0.35 * max(high - ground, ground - low, 1)).mean())
    most, peak = np.percentile(hat[part], [90, 98])
    is_certain = word.confidence >= _CERTAIN and word.letters > 2
    return bool((most >= _INK and sharp > _EDGES[0]) or (is_certain and peak >= _FAINT_INK and sharp > _EDGES[1]))


def _line(strokes: Grey, box: TextBox) -> TextBox:
    """The box of a word, as high as its strokes, and drawn out along its line over whatever has strokes like it: words
    that were not read."""
    height = box.bottom - box.top
    ink = strokes[box.top : box.bottom] == 255
    dense = np.convolve(ink.mean(0), np.full(height, 1 / height), "same") > _DENSE
    columns = np.flatnonzero(dense & ink.any(0))
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


@dataclass(frozen=True, slots=True)
class _Word:
    box: TextBox
    confidence: float
    letters: int


def _read(picture: Grey, scale: float) -> list[_Word]:
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
    return [word for row in rows if (word := _word(row, picture.shape, scale)) is not None]


def _word(row: dict[str, str], shape: tuple[int, ...], scale: float) -> _Word | None:
    """A word that may tell something; None for noise: marks, single characters, what is as large as the chest."""
    try:
        sure, left, top, width, height = (float(row[key]) for key in ("conf", "left", "top", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return None
    letters = sum(character.isalnum() for character in row.get("text") or "")
    if letters < 2 or sure < _SURE.get(letters, _ELSE_SURE):
        return None
    left, top, right, bottom = (value / scale for value in (left, top, left + width, top + height))
    if bottom - top > max(0.12 * shape[0], 40) or bottom - top < 4:
        return None
    return _Word(TextBox(int(top), int(left), int(bottom) + 1, int(right) + 1), sure, letters)
