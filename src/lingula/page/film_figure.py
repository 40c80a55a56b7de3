"""A figure for a slide, PNG or PDF: one film or two, undistorted, what is said of them, where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingula.page.picture import Map, grey, saved, shrink
from lingula.study import DISCLAIMER, View

HEIGHT = 1200
"""Pixels of a film's height; a wider film is as wide as this."""
_EDGE, _GAP, _LINE = 48, 24, 34
_INK, _SOFT = (21, 25, 29), (86, 97, 107)
_DPI = 150


@dataclass(frozen=True, slots=True, eq=False)
class FigureFilm:
    """A film of a figure: pixels (rows, columns) in [0, 1] with square pixels, whose it is, which view."""

    pixels: Map = field(repr=False)
    title: str
    view: View


@dataclass(frozen=True, slots=True, eq=False)
class FilmSheet:
    """Films side by side at one height, the words below, the credit at the end."""

    films: tuple[FigureFilm, ...]
    words: str
    credit: str


def figure_png(figure: FilmSheet) -> bytes:
    """The figure as PNG."""
    return saved(_drawn(figure), "PNG", dpi=(_DPI, _DPI))


def figure_pdf(figure: FilmSheet) -> bytes:
    """The figure as a PDF of one page, in its own size."""
    return saved(_drawn(figure), "PDF", resolution=_DPI, title="lingula", producer="lingula")


def _drawn(figure: FilmSheet) -> Image.Image:
    pictures = [_film(film.pixels) for film in figure.films]
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    large, small = ImageFont.load_default(28), ImageFont.load_default(20)
    sheet_width = max(width, 900) + 2 * _EDGE
    lines = [(line, large, _INK) for line in _wrapped(figure.words, large, sheet_width - 2 * _EDGE)]
    lines += [
        (line, small, _SOFT) for line in _wrapped(f"{figure.credit} · {DISCLAIMER}", small, sheet_width - 2 * _EDGE)
    ]
    tallest = max(picture.height for picture in pictures)
    sheet = Image.new("RGB", (sheet_width, tallest + (len(lines) + 2) * _LINE + 2 * _EDGE), "white")
    draw, left = ImageDraw.Draw(sheet), (sheet_width - width) // 2
    for film, picture in zip(figure.films, pictures, strict=True):
        sheet.paste(picture, (left, _EDGE))
        title = f"{film.title}, {film.view}" if film.view != "unknown" else film.title
        draw.text((left, _EDGE + picture.height + 8), _printable(title), _SOFT, small)
        left += picture.width + _GAP
    top = _EDGE + tallest + 2 * _LINE
    for line, font, ink in lines:
        draw.text((_EDGE, top), line, ink, font)
        top += _LINE
    return sheet


def _film(pixels: Map) -> Image.Image:
    """8-bit grey, no larger than it is, its proportions kept to a pixel."""
    small = shrink(np.nan_to_num(pixels), HEIGHT, Image.Resampling.LANCZOS)
    rows, columns = pixels.shape
    factor = HEIGHT / max(rows, columns)
    return grey(small).resize((max(1, round(columns * factor)), max(1, round(rows * factor))), Image.Resampling.BICUBIC)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in _printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _printable(text: str) -> str:
    """What the font can draw."""
    known = text.replace("–", "-").replace("−", "-").replace("’", "'")
    return "".join(char if char.isprintable() and ord(char) < 256 else "?" for char in known)
