"""Plots as inline SVG: no library, no script; colours come from the style sheet, so both themes fit."""

from __future__ import annotations

import math
from html import escape

from lingula_lab.measures.table import Bars, Plot

SIDE, LEFT, BOTTOM, PAD = 220, 34, 30, 8
"""Of a plot, in user units: side of the square, room for the axes' words, room at the other edges."""
ROW, NAME, WIDTH = 26, 290, 760
"""Of a bar chart: height of a row, room for the names, whole width."""


def draw(plot: Plot | Bars) -> str:
    """The plot as an ``<svg>`` element."""
    return _curves(plot) if isinstance(plot, Plot) else _bars(plot)


def _curves(plot: Plot) -> str:
    ends = [max((point[axis] for line in plot.lines for point in line.points), default=1.0) for axis in (0, 1)]
    right = _round_up(max(ends)) if plot.zoom else 1.0
    top = right if plot.diagonal else _round_up(ends[1])
    width, height = SIDE - LEFT - PAD, SIDE - BOTTOM - PAD

    def at(x: float, y: float) -> str:
        return f"{LEFT + x / right * width:.1f},{PAD + (1 - y / top) * height:.1f}"

    parts = [f'<rect class="frame" x="{LEFT}" y="{PAD}" width="{width}" height="{height}"/>']
    if plot.diagonal:
        parts.append(f'<polyline class="chance" points="{at(0, 0)} {at(right, top)}"/>')
    for number, line in enumerate(plot.lines):
        points = " ".join(at(x, min(y, top)) for x, y in line.points)
        parts.append(
            f'<polyline class="curve c{number}" points="{points}"><title>{escape(line.name)}</title></polyline>'
        )
    for value in (0, 0.5, 1):
        x, y = at(value * right, 0).split(",")[0], at(0, value * top).split(",")[1]
        parts.append(
            f'<text class="number" x="{x}" y="{SIDE - BOTTOM + 12}" text-anchor="middle">{value * right:g}</text>'
        )
        parts.append(f'<text class="number" x="{LEFT - 4}" y="{y}" dy="3" text-anchor="end">{value * top:g}</text>')
    middle = f"{PAD + height / 2:.1f}"
    parts.append(f'<text class="axis" x="{LEFT + width / 2:.1f}" y="{SIDE - 4}" text-anchor="middle">{plot.x}</text>')
    parts.append(
        f'<text class="axis" x="9" y="{middle}" text-anchor="middle" transform="rotate(-90 9 {middle})">{plot.y}</text>'
    )
    label = escape(f"{plot.title}: {plot.y} against {plot.x}")
    return f'<svg class="plot" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _bars(plot: Bars) -> str:
    """A row a name: a dot where the figure is, a line for its interval, a tick where chance is."""
    highest = max((v for _, f in plot.figures for v in (f.value, f.high) if not math.isnan(v)), default=1.0)
    top, height = _round_up(highest), ROW * len(plot.figures) + BOTTOM
    width = WIDTH - NAME - 70

    def at(value: float) -> str:
        return f"{NAME + min(value, top) / top * width:.1f}"

    parts = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        x = at(value * top)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{height - BOTTOM + 4}"/>')
        parts.append(f'<text class="number" x="{x}" y="{height - 12}" text-anchor="middle">{value * top:g}</text>')
    for row, (name, figure) in enumerate(plot.figures):
        y = row * ROW + ROW / 2
        parts.append(f'<text class="name" x="{NAME - 10}" y="{y}" dy="4" text-anchor="end">{escape(name)}</text>')
        if row < len(plot.chance) and not math.isnan(plot.chance[row]):
            x = at(plot.chance[row])
            parts.append(f'<line class="chance" x1="{x}" x2="{x}" y1="{y - 9}" y2="{y + 9}"/>')
        if math.isnan(figure.value):
            continue
        if not math.isnan(figure.low):
            parts.append(f'<line class="whisker" x1="{at(figure.low)}" x2="{at(figure.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{at(figure.value)}" cy="{y}" r="4.5"/>')
        parts.append(f'<text class="value" x="{WIDTH}" y="{y}" dy="4" text-anchor="end">{figure.value:.3f}</text>')
    label = escape(f"{plot.title}, {plot.x}")
    return f'<svg class="bars" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _round_up(value: float) -> float:
    """The next of 0.1, 0.2, 0.4, 0.6, 0.8, 1 (or whole number) that holds the value."""
    return next((step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if value <= step + 1e-9), float(math.ceil(value)))
