"""From a radiograph to the model's input and back: the one preprocessing of training, evaluation and serving.

``to_input`` leaves wide borders of one value out, brings grey levels to a common range by quantiles, resizes with the
aspect kept and pads to a square;
``to_radiograph`` carries a map on the input back to the radiograph's own pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.study import Radiograph

Array = npt.NDArray[np.float32]
_Display = TypeVar("_Display", bound=Any)
_ROWS = 64
BORDER = 0.05
"""Share of a film from which borders of one value are left out."""
_FLAT = 2.5 / 255  # what compression leaves of a flat border
_LEAST_CONTENT = 16  # pixels of a side


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become input; travels in the checkpoint.

    Attributes:
        size: side of the square input, pixels.
        tail: fraction of darkest and of brightest pixels that may saturate. The same on both sides, so that a film and
            its inverse stay inverses. None leaves grey levels as they are displayed.
        resample: how pixels are resized, with antialias.
        pad_first: pad to a square and then resize, as some published encoders do; their borders differ by a hair.
        mean, std: of the display values in [0, 1]; the input is ``(x - mean) / std``.
    """

    size: int = 224
    tail: float | None = 0.005
    mean: float = 0.5
    std: float = 0.25
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    pad_first: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def display(self) -> tuple[object, ...]:
        """What decides the display values: all but mean and std."""
        return self.size, self.tail, self.resample, self.pad_first

    def normalised(self, display: _Display) -> _Display:
        """Display values in [0, 1], of any shape, as the model reads them."""
        normalised: _Display = (display - self.mean) / self.std
        return normalised


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a film lies in the square input: rows ``top:top+height``, columns ``left:left+width``.

    What lies there are the film's rows ``first_row:first_row+rows`` and columns ``first_column:first_column+columns``:
    all of it, but for wide borders of one value.
    """

    top: int
    left: int
    height: int
    width: int
    rows: int
    columns: int
    first_row: int = 0
    first_column: int = 0

    @classmethod
    def fit(cls, rows: int, columns: int, size: int, first_row: int = 0, first_column: int = 0) -> Letterbox:
        """Keep the aspect, fill the longer side, centre the shorter one (the odd pixel goes below / right)."""
        scale = size / max(rows, columns)
        height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
        place = (size - height) // 2, (size - width) // 2, height, width
        return cls(*place, rows, columns, first_row, first_column)

    @classmethod
    def of(cls, film: Array, size: int) -> Letterbox:
        """Of a film (rows, columns) without its borders."""
        top, left, bottom, right = content_box(film)
        return cls.fit(bottom - top, right - left, size, top, left)

    def to_input(self, row: float, column: float) -> tuple[float, float]:
        """(down, across) on the input of an edge between pixels of the film."""
        return (
            self.top + (row - self.first_row) * self.height / self.rows,
            self.left + (column - self.first_column) * self.width / self.columns,
        )

    def to_film(self, down: float, across: float) -> tuple[float, float]:
        """(row, column) on the film of an edge between pixels of the input."""
        return (
            self.first_row + (down - self.top) * self.rows / self.height,
            self.first_column + (across - self.left) * self.columns / self.width,
        )


def content_box(film: Array) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a film without borders of one value each: bars, a frame, a letterbox.

    Borders that take less than ``BORDER`` of the film stay, as films that were learnt from have them: 1 in 100 of
    Open-i has more. A film without any is told by its four edges.
    """
    top, left, bottom, right = 0, 0, *film.shape
    while True:
        inside = film[top:bottom, left:right]
        above, below = _border(inside), _border(inside[::-1])
        before, behind = _border(inside.T), _border(inside.T[::-1])
        if above == len(inside) or not (above or below or before or behind):
            break
        top, bottom, left, right = top + above, bottom - below, left + before, right - behind
        if min(bottom - top, right - left) < _LEAST_CONTENT:
            return 0, 0, *film.shape
    share = (bottom - top) * (right - left) / film.size
    return (top, left, bottom, right) if share < 1 - BORDER else (0, 0, *film.shape)


def _border(film: Array) -> int:
    """Rows from the first on that are of one value, the same in all of them."""
    level, count = float(film[0, 0]), 0
    while count < len(film) and np.abs(film[count, :: max(1, film.shape[1] // 64)] - level).max() <= _FLAT:
        if np.abs(film[count] - level).max() > _FLAT:
            break
        count += 1
    return count


def stretch(pixels: Array, tail: float) -> Array:
    """Map the ``tail`` and ``1 - tail`` quantiles to 0 and 1, clipped. A flat image becomes 0.5 throughout."""
    sample = pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)]
    low, high = np.quantile(sample, (tail, 1 - tail)).astype(np.float32)
    if high - low < 1e-6:
        return np.full_like(pixels, 0.5)
    stretched = np.empty_like(pixels)
    for top in range(0, len(pixels), _ROWS):  # a few rows at a time: they stay in the cache
        rows = np.clip(pixels[top : top + _ROWS], low, high, out=stretched[top : top + _ROWS])
        rows -= low
        rows /= high - low
    return stretched


def resize(image: Array, rows: int, columns: int, resample: str = "bilinear") -> Array:
    """Antialiased resize in floating point, (H, W) in [0, 1] to (rows, columns)."""
    if image.shape == (rows, columns):
        return image
    picture = Image.fromarray(image).resize((columns, rows), Image.Resampling[resample.upper()])
    resized = np.asarray(picture, np.float32)
    return resized if resample == "bilinear" else resized.clip(0, 1)  # bicubic overshoots


def to_input(radiograph: Radiograph, preprocessing: Preprocessing) -> Array:
    """The model's input for one radiograph: (size, size) float32, padding black, normalised by mean and std."""
    size, how = preprocessing.size, preprocessing.resample
    box = Letterbox.of(radiograph.pixels, size)
    rows, columns = box.rows, box.columns
    inside = radiograph.pixels[box.first_row : box.first_row + rows, box.first_column : box.first_column + columns]
    film = inside if preprocessing.tail is None else stretch(inside, preprocessing.tail)
    if preprocessing.pad_first:
        square = resize(
            _padded(film, Letterbox.fit(rows, columns, max(rows, columns)), max(rows, columns)), size, size, how
        )
    else:
        square = _padded(resize(film, box.height, box.width, how), box, size)
    return preprocessing.normalised(square)


def _padded(film: Array, box: Letterbox, size: int) -> Array:
    square = np.zeros((size, size), np.float32)
    square[box.top : box.top + box.height, box.left : box.left + box.width] = film
    return square


def to_radiograph(input_map: Array, film: Array, size: int) -> Array:
    """A map over the square input in the radiograph's own pixels, (rows, columns): padding cut, 0 in its borders.

    Args:
        input_map: (m, m), at the input's resolution or coarser, such as a patch grid.
        film: (rows, columns) pixels of the radiograph. size: side of the input, pixels.
    """
    box, side = Letterbox.of(film, size), input_map.shape[0]
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    picture = Image.fromarray(np.ascontiguousarray(input_map, np.float32))
    cut = tuple(edge * side / size for edge in edges)
    inside = np.array(picture.resize((box.columns, box.rows), Image.Resampling.BILINEAR, box=cut), np.float32)
    if inside.shape == film.shape:
        return inside
    whole = np.zeros(film.shape, np.float32)
    whole[box.first_row : box.first_row + box.rows, box.first_column : box.first_column + box.columns] = inside
    return whole
