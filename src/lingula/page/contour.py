"""Outlines of a map's strongest areas as SVG paths (marching squares: Lorensen and Cline 1987, in the plane)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lingula.page.picture import Map, shrink

_COARSE, _FINE = 32, 96  # long side: averaged to the first (speckle goes), enlarged to the second (corners go)
_SHORTEST = 12  # crossings; a loop of fewer is a speck

# Cell corners in bits: top left 8, top right 4, bottom right 2, bottom left 1. Each segment runs from one side of the
# cell to another with the inside on its left, so that every crossing ends one segment and starts the next.
_SEGMENTS = {
    1: ("BL",), 2: ("RB",), 3: ("RL",), 4: ("TR",), 5: ("TR", "BL"), 6: ("TB",), 7: ("TL",), 8: ("LT",),
    9: ("BT",), 10: ("LT", "RB"), 11: ("RT",), 12: ("LR",), 13: ("BR",), 14: ("LB",),
}  # fmt: skip

_Crossing = tuple[str, int, int]  # a grid edge: "h" from (row, column) to the right, "v" from it down


def outline(values: Map, share: float, width: float, height: float) -> str:
    """The ``loops`` as one SVG path; empty where there is none."""
    found = loops(values, share, width, height)
    return "".join("M" + " ".join(f"{x:.0f} {y:.0f}" for x, y in loop) + "Z" for loop in found)


def loops(values: Map, share: float, width: float, height: float) -> list[list[tuple[float, float]]]:
    """Closed lines round the strongest ``share`` of the area (or all that is positive, if less), width x height units.

    Signed maps: the evidence for the label counts. None for a map without positive or without differing values.
    """
    grid = _smooth(np.maximum(values, 0))
    top = float(grid.max())
    if top <= 0 or top - float(grid.min()) < 1e-6 * top:
        return []
    level = max(float(np.quantile(grid, 1 - share)), 0.02 * top)
    rows, columns = grid.shape
    found = _loops(np.pad(grid, 1, constant_values=0.0), min(level, 0.999 * top))
    limits, scale = (columns - 1, rows - 1), (width / columns, height / rows)

    def placed(point: tuple[float, float]) -> tuple[float, float]:
        x, y = ((min(max(at - 1, 0), high) + 0.5) * by for at, high, by in zip(point, limits, scale, strict=True))
        return x, y

    return [[placed(point) for point in loop] for loop in found if len(loop) >= _SHORTEST]


def _smooth(values: Map) -> Map:
    coarse = shrink(values.astype(np.float32), _COARSE)
    factor = _FINE / max(coarse.shape)
    size = (max(2, round(coarse.shape[1] * factor)), max(2, round(coarse.shape[0] * factor)))
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.float32)


def _loops(grid: Map, level: float) -> list[list[tuple[float, float]]]:
    """Closed lines of ``level`` as (x, y) points; the border of ``grid`` must lie below it."""
    inside = (grid > level).astype(np.int8)
    kinds = inside[:-1, :-1] * 8 + inside[:-1, 1:] * 4 + inside[1:, 1:] * 2 + inside[1:, :-1]
    following: dict[_Crossing, _Crossing] = {}
    for row, column in np.argwhere((kinds > 0) & (kinds < 15)).tolist():
        sides: dict[str, _Crossing] = {
            "T": ("h", row, column), "B": ("h", row + 1, column), "L": ("v", row, column), "R": ("v", row, column + 1),
        }  # fmt: skip
        for segment in _SEGMENTS[int(kinds[row, column])]:
            following[sides[segment[0]]] = sides[segment[1]]
    found = []
    while following:
        first, at = following.popitem()
        loop = [first]
        while at != first:
            loop.append(at)
            at = following.pop(at)
        found.append([_point(grid, level, *crossing) for crossing in loop])
    return found


def _point(grid: Map, level: float, kind: str, row: int, column: int) -> tuple[float, float]:
    here = float(grid[row, column])
    there = float(grid[row, column + 1] if kind == "h" else grid[row + 1, column])
    part = (level - here) / (there - here)
    return (column + part, float(row)) if kind == "h" else (float(column), row + part)
