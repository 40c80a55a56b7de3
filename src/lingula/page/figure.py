"""Evidence as one PNG: each film next to its maps, with names, units and a colour scale; light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingula.page.contour import loops
from lingula.page.evidence import OUTLINES, name_of
from lingula.page.methods import method
from lingula.page.picture import Map, colour_table, display_scale, grey, saved, shrink
from lingula.study import DISCLAIMER, Explanation, Study

Theme = Literal["light", "dark"]
_SHEET = {
    "light": ((255, 255, 255), (28, 30, 33), (96, 100, 106)),
    "dark": ((18, 19, 21), (236, 238, 240), (160, 165, 172)),
}
_LINES = (((255, 213, 74), 3), ((233, 238, 242), 2))  # colour and width for each of OUTLINES
_GAP, _HEAD, _FOOT = 16, 60, 64
_FINEST = 112  # long side of a map as drawn: means over areas, so that speckle of single pixels goes


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a figure: a film, what lies over it, and the words above and below.

    ``scale`` is the magnitude of full colour; 0 where the map says nothing.
    """

    film: Map
    values: Map | None
    signed: bool
    scale: float
    title: str
    subtitle: str
    unit: str


def evidence_png(
    study: Study,
    explanations: Sequence[Explanation],
    names: Mapping[str, str],
    *,
    side: int = 420,
    theme: Theme = "light",
    opacity: float = 0.75,
    contour: bool = False,
) -> bytes:
    """A row for each film: the film alone, then one map a method.

    Args:
        side: long side of each picture, pixels. opacity: of full colour, (0, 1]. contour: lines round the strongest
            5 % and 20 % of the area instead of colours.
    """
    rows = []
    for number, film in enumerate(study.radiographs):
        row = [Panel(film.pixels, None, False, 0, film.image_id, film.view, "")]
        for e in (e for e in explanations if e.maps):
            about = method(e.method)
            unit = about.unit + (" per pixel" if e.method == "integrated_gradients" else "")
            label = name_of(e.label, names)
            maps = [shrink(values, _FINEST) for values in e.maps]
            row.append(Panel(film.pixels, maps[number], e.signed, display_scale(maps), about.name, label, unit))
        rows.append(row)
    return figure_png(rows, side=side, theme=theme, opacity=opacity, contour=contour)


def figure_png(
    rows: Sequence[Sequence[Panel]], *, side: int, theme: Theme = "light", opacity: float = 0.75, contour: bool = False
) -> bytes:
    """Panels in rows as one PNG."""
    sheet, ink, soft = _SHEET[theme]
    drawn_as = _contoured if contour else partial(_overlaid, opacity=opacity)
    pictures = [[drawn_as(panel, side) for panel in row] for row in rows]
    width = max(sum(side + _GAP for _ in row) for row in rows) + _GAP
    heights = [max(picture.height for picture in row) + _HEAD + _FOOT for row in pictures]
    canvas = Image.new("RGB", (width, sum(heights) + 28), sheet)
    draw, large, small = ImageDraw.Draw(canvas), ImageFont.load_default(15), ImageFont.load_default(12)
    top = 0
    for row, drawn, height in zip(rows, pictures, heights, strict=True):
        for column, (panel, picture) in enumerate(zip(row, drawn, strict=True)):
            left = _GAP + column * (side + _GAP)
            draw.text((left, top + 14), _cut(panel.title, side, large), ink, large)
            draw.text((left, top + 36), _cut(panel.subtitle, side, small), soft, small)
            canvas.paste(picture, (left, top + _HEAD))
            below = top + _HEAD + picture.height + 8
            if panel.values is not None and panel.scale <= 0:
                draw.text((left, below), "Nothing on this film spoke for it.", soft, small)
            elif contour and panel.values is not None:
                _keys(canvas, draw, left, below, side, soft, small)
            else:
                _legend(canvas, draw, panel, left, below, side, soft, small)
        top += height
    draw.text((_GAP, top), DISCLAIMER, soft, small)
    return saved(canvas, "PNG", optimize=True)


def _film(panel: Panel, side: int) -> Image.Image:
    rows, columns = panel.film.shape
    factor = side / max(rows, columns)
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    return grey(shrink(panel.film, side)).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def _overlaid(panel: Panel, side: int, opacity: float) -> Image.Image:
    picture = _film(panel, side)
    if panel.values is None or panel.scale <= 0:
        return picture
    small = Image.fromarray(shrink(np.asarray(panel.values, np.float32), side) / np.float32(panel.scale))
    unit = np.clip(np.asarray(small.resize(picture.size, Image.Resampling.BILINEAR)), -1, 1)
    entries = np.rint(128 + unit * 127 if panel.signed else np.maximum(unit, 0) * 255).astype(int)
    colours = colour_table(panel.signed)[entries]
    alpha = Image.fromarray((colours[..., 3] * opacity).astype(np.uint8))
    picture.paste(Image.fromarray(np.ascontiguousarray(colours[..., :3])), (0, 0), alpha)
    return picture


def _contoured(panel: Panel, side: int) -> Image.Image:
    """The film with lines round the strongest areas, drawn three times as large and shrunk: smooth at any size."""
    picture = _film(panel, side)
    if panel.values is None:
        return picture
    width, height = (3 * edge for edge in picture.size)
    sheet = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(sheet)
    for share, (colour, thick) in reversed(tuple(zip(OUTLINES, _LINES, strict=True))):
        for loop in loops(np.asarray(panel.values, np.float32), share, width, height):
            closed = [*loop, *loop[:2]]
            draw.line(closed, (0, 0, 0, 170), 3 * thick + 8, "curve")
            draw.line(closed, (*colour, 255), 3 * thick, "curve")
    lines = sheet.resize(picture.size, Image.Resampling.LANCZOS)
    picture.paste(lines, (0, 0), lines)
    return picture


def _keys(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, side: int, soft: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:  # fmt: skip
    for row, (share, (colour, thick)) in enumerate(zip(OUTLINES, _LINES, strict=True)):
        y = top + 10 + 18 * row
        draw.line([(left, y), (left + 28, y)], (0, 0, 0), thick + 2)
        draw.line([(left, y), (left + 28, y)], colour, thick)
        draw.text((left + 38, y - 8), _cut(f"strongest {share:.0%} of the area", side - 38, font), soft, font)


def _legend(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int, side: int,
    soft: tuple[int, int, int], font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:  # fmt: skip
    if panel.values is None:
        draw.text((left, top), panel.unit, soft, font)
        return
    strip = colour_table(panel.signed)[np.arange(1 if panel.signed else 0, 256), :3][None]
    canvas.paste(Image.fromarray(np.ascontiguousarray(strip)).resize((side, 8)), (left, top))
    ends = (f"-{panel.scale:.2g} against", f"for +{panel.scale:.2g}") if panel.signed else ("0", f"{panel.scale:.2g}")
    draw.text((left, top + 12), ends[0], soft, font)
    draw.text((left + side - draw.textlength(ends[1], font), top + 12), ends[1], soft, font)
    draw.text((left, top + 28), _cut(panel.unit, side, font), soft, font)


def _cut(text: str, side: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text as far as it fits; what a font cannot draw is replaced."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    while text and font.getlength(text) > side:
        text = text[:-2].rstrip() + "…"
        if len(text) < 3:
            break
    return text
