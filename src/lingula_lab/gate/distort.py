"""What can happen to a picture before it is asked about: slight changes, photographs of screens, pages, turns, cuts.

Every function takes display values (rows, columns) float32 in [0, 1] and a generator, and returns such values.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float32]
Random = np.random.Generator


def mild(film: Array, random: Random) -> Array:
    """What changes nothing that matters: a few degrees, a trimmed edge, fewer pixels, blur, JPEG, exposure, borders and
    markers."""
    rows, columns = film.shape
    picture = _picture(film).rotate(random.uniform(-6, 6), Image.Resampling.BICUBIC, fillcolor=0)
    left, top, right, below = random.uniform(0, 0.05, 4)
    box = (int(left * columns), int(top * rows), int(columns * (1 - right)), int(rows * (1 - below)))
    picture = picture.crop(box)
    if random.random() < 0.4:
        scale = random.uniform(0.5, 1)
        picture = picture.resize((max(60, int(picture.width * scale)), max(60, int(picture.height * scale))))
    if random.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.2)))
    if random.random() < 0.5:
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=int(random.integers(25, 95)))
        picture = Image.open(packed)
    values = _values(picture) ** np.exp(random.uniform(-0.4, 0.4))
    values = (values - 0.5) * random.uniform(0.75, 1.2) + 0.5 + random.uniform(-0.08, 0.08)
    if random.random() < 0.35:
        widths = [(int(a), int(b)) for a, b in random.integers(0, 25, (2, 2))]
        values = np.pad(values, widths, constant_values=float(random.choice([0, 0, 1])))
    if random.random() < 0.3:
        picture = _picture(values)
        words = ["R", "L", "PORTABLE", "AP ERECT", "12:41", "PA"]
        _write(picture, random, [str(random.choice(words)) for _ in range(random.integers(1, 4))], (0, 220, 255))
        values = _values(picture)
    return _clipped(values)


def washed(film: Array, random: Random) -> Array:
    """Far too dark or too light."""
    return _clipped(film ** np.exp(random.choice([-1, 1]) * random.uniform(0.8, 1.6)) * random.uniform(0.3, 1))


def squashed(film: Array, random: Random) -> Array:
    """A third to four fifths longer one way."""
    scale, picture = random.uniform(1.35, 1.8), _picture(film)
    wide = random.random() < 0.5
    size = (int(picture.width * scale), picture.height) if wide else (picture.width, int(picture.height * scale))
    return _values(picture.resize(size))


def screen(film: Array, random: Random) -> Array:
    """A photograph of a screen: askew, a bezel, uneven light, moiré, a reflection, noise."""
    picture = _picture(film)
    width, height = int(picture.width * 1.5), int(picture.height * 1.35)
    photograph = Image.new("L", (width, height), int(random.integers(10, 140)))
    x, y = (int((a - b) * random.uniform(0.3, 0.7)) for a, b in ((width, picture.width), (height, picture.height)))
    bezel = int(random.integers(3, 14))
    frame = (x - bezel, y - bezel, x + picture.width + bezel, y + picture.height + bezel)
    ImageDraw.Draw(photograph).rectangle(frame, fill=int(random.integers(0, 40)))
    photograph.paste(picture, (x, y))
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    askew = np.abs(corners - random.uniform(0, 0.09, (4, 2))) * [width, height]
    photograph = photograph.transform(
        (width, height), Image.Transform.QUAD, tuple(map(float, askew.ravel())), Image.Resampling.BICUBIC
    ).rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=40)
    down, across = np.mgrid[0:height, 0:width] / max(width, height)
    angle, stripes = random.uniform(0, 2 * np.pi), random.uniform(60, 300)
    light = 0.55 + 0.45 * (np.cos(angle) * across + np.sin(angle) * down + 0.7).clip(0, 1.3)
    moire = 0.04 * np.sin((across * np.cos(3 * angle) + down * np.sin(3 * angle)) * stripes)
    at_x, at_y = random.uniform(0.2, 0.8, 2)
    spot = np.exp(-((across - at_x) ** 2 + (down - at_y) ** 2) / random.uniform(0.003, 0.03))
    noise = random.normal(0, 0.02, light.shape)
    return _clipped(_values(photograph) * light + moire + random.uniform(0, 0.6) * spot + noise)


def nested(film: Array, random: Random) -> Array:
    """A figure on a page, with words."""
    picture = _picture(film)
    width, height = int(picture.width * random.uniform(1.6, 2.6)), int(picture.height * random.uniform(1.3, 2))
    page = Image.new("L", (width, height), int(random.choice([255, 255, 0, 128])))
    page.paste(
        picture,
        (int(random.uniform(0, width - picture.width)), int(random.uniform(0, height - picture.height))),
    )
    _write(page, random, ["Figure 1. lorem ipsum dolor"] * int(random.integers(0, 12)), (0, 255))
    return _values(page)


def turned(film: Array, random: Random) -> Array:
    return np.rot90(film, int(random.integers(1, 4))).copy()


def inverted(film: Array, random: Random) -> Array:
    return _clipped(1 - film)


def cropped(film: Array, random: Random) -> Array:
    """A tenth to a third of the film."""
    rows, columns = film.shape
    side = random.uniform(0.3, 0.6)
    top, left = random.uniform(0, 1 - side, 2)
    box = slice(int(top * rows), int((top + side) * rows)), slice(int(left * columns), int((left + side) * columns))
    return film[box].copy()


def blurred(film: Array, random: Random) -> Array:
    return _values(_picture(film).filter(ImageFilter.GaussianBlur(random.uniform(4, 9))))


READABLE: tuple[Callable[[Array, Random], Array], ...] = (mild, washed, squashed, screen, nested)
"""A chest film so changed is one still."""
UNREADABLE: tuple[Callable[[Array, Random], Array], ...] = (turned, inverted, cropped, blurred)
"""So changed it may be called either way: no film that can be answered for."""


def noise(count: int, random: Random) -> Iterator[tuple[str, Array]]:
    """Kind and values of pictures that show nothing: noise, gradients, text, shapes."""
    kinds = tuple(_NOTHING)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        rows, columns = (int(side) for side in random.integers(120, 400, 2))
        values = _NOTHING[kind](rows, columns, random)
        yield kind, _clipped(1 - values if random.random() < 0.3 else values)


def _white(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    return random.random((rows, columns))


def _smooth(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    coarse = random.random((int(random.integers(3, 12)), int(random.integers(3, 12))))
    return _values(_picture(coarse).resize((columns, rows), Image.Resampling.BICUBIC))


def _pink(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)) + 1 / rows
    spectrum = np.fft.fft2(random.normal(size=(rows, columns))) / frequency ** random.uniform(0.7, 2)
    return _spread(np.fft.ifft2(spectrum).real)


def _gradient(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    angle = random.uniform(0, 2 * np.pi)
    down, across = np.mgrid[0:rows, 0:columns]
    return _spread(np.cos(angle) * across / columns + np.sin(angle) * down / rows)


def _blank(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    return np.asarray(random.random() + random.normal(0, 0.01, (rows, columns)))


def _text(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    page = Image.new("L", (columns, rows), int(random.choice([255, 240])))
    draw, letters = ImageDraw.Draw(page), list("abcdefghij klmn opq rst")
    for row in range(5, rows, 14):
        draw.text((5, row), "".join(random.choice(letters, int(columns / 6 * random.uniform(0.3, 1)))), fill=0)
    return _values(page)


def _shapes(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    page = Image.new("L", (columns, rows), int(random.integers(0, 256)))
    draw = ImageDraw.Draw(page)
    for _ in range(random.integers(1, 13)):
        box = np.sort(random.uniform(0, 1, (2, 2)), 0) * [columns, rows]
        shape = draw.rectangle if random.random() < 0.5 else draw.ellipse
        shape(tuple(map(float, box.ravel())), fill=int(random.integers(0, 256)))
    return _values(page.filter(ImageFilter.GaussianBlur(random.uniform(0, 6)))) + random.normal(
        0, 0.02, (rows, columns)
    )


def _bars(rows: int, columns: int, random: Random) -> npt.NDArray[np.floating]:
    down, across = np.mgrid[0:rows, 0:columns]
    wave = np.sin(across * random.uniform(0.02, 0.3) + down * random.uniform(0, 0.2))
    return np.asarray(wave > random.uniform(-0.5, 0.5), np.float32)


_NOTHING: dict[str, Callable[[int, int, Random], npt.NDArray[np.floating]]] = {
    "white": _white, "smooth": _smooth, "pink": _pink, "gradient": _gradient, "blank": _blank, "text": _text,
    "shapes": _shapes, "bars": _bars,
}  # fmt: skip


def _picture(values: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8))


def _values(picture: Image.Image) -> Array:
    return np.asarray(picture.convert("L"), np.float32) / np.float32(255)


def _clipped(values: npt.NDArray[np.floating]) -> Array:
    return np.asarray(values.clip(0, 1), np.float32)


def _spread(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray((values - values.min()) / np.ptp(values))


def _write(picture: Image.Image, random: Random, words: list[str], greys: tuple[int, ...]) -> None:
    draw = ImageDraw.Draw(picture)
    for word in words:
        at = (random.uniform(0, 0.85) * picture.width, random.uniform(0, 0.95) * picture.height)
        draw.text(at, word, fill=int(random.choice(greys)))
