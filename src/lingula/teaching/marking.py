"""The marking task: a box or point that was drawn, against the teacher's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lingula.library.record import StoredRadiograph
from lingula.teaching.sets import Drawing

NEAR = 0.05
"""A point that is asked for is hit within so much of the film's longer side."""
_SPACINGS = ("ImagerPixelSpacing", "PixelSpacing")


@dataclass(frozen=True, slots=True)
class FilmScale:
    """A film's size in pixels, and the side of a pixel in millimetres at the detector; None where it is unknown."""

    rows: int
    columns: int
    spacing: float | None = None

    @classmethod
    def of(cls, film: StoredRadiograph) -> FilmScale:
        return cls(film.rows, film.columns, spacing_of(dict(film.attributes)))


@dataclass(frozen=True, slots=True)
class MarkResult:
    """What became of one of the teacher's marks.

    Attributes:
        target, drawn: the teacher's mark, and the one drawn nearest to it; None where none was drawn on its film.
        hit: whether the middle of what was drawn lies in the teacher's box, or what was drawn lies at the point.
        overlap: intersection over union, [0, 1]; 0 where either is a point.
        distance: between the two middles, in ``unit``: millimetres, or percent of the film's longer side.
    """

    target: Drawing
    drawn: Drawing | None
    hit: bool
    overlap: float
    distance: float | None
    unit: Literal["mm", "%"]


def spacing_of(attributes: dict[str, str]) -> float | None:
    """The side of a square pixel in millimetres, as a film's facts tell; None where they do not."""
    for keyword in _SPACINGS:  # between rows, then between columns, which a film made square keeps
        last = attributes.get(keyword, "").strip("[]").replace("\\", ",").split(",")[-1].strip()
        try:
            value = float(last)
        except ValueError:
            continue
        if 0.01 <= value <= 10:
            return value
    return None


def judge_marks(
    drawn: Sequence[Drawing], targets: Sequence[Drawing], films: Sequence[FilmScale]
) -> tuple[MarkResult, ...]:
    """Each of the teacher's marks with the drawn one that fits it best: by hit, overlap, then distance."""
    results = []
    for target in targets:
        film = films[target.film]
        tried = [_compared(each, target, film) for each in drawn if each.film == target.film]
        none = MarkResult(target, None, False, 0.0, None, "mm" if film.spacing else "%")
        results.append(max(tried, key=lambda r: (r.hit, r.overlap, -(r.distance or 0.0)), default=none))
    return tuple(results)


def _compared(drawn: Drawing, target: Drawing, film: FilmScale) -> MarkResult:
    one, other = _pixels(drawn, film), _pixels(target, film)
    gap = math.dist(_middle(one), _middle(other))
    longer = max(film.rows, film.columns)
    if target.shape == "box":
        hit = _inside(_middle(one), other)
    else:
        hit = _inside(_middle(other), one) if drawn.shape == "box" else gap <= NEAR * longer
    if film.spacing:
        return MarkResult(target, drawn, hit, _overlap(one, other), round(gap * film.spacing, 1), "mm")
    return MarkResult(target, drawn, hit, _overlap(one, other), round(100 * gap / longer, 1), "%")


_Edges = tuple[float, float, float, float]


def _pixels(mark: Drawing, film: FilmScale) -> _Edges:
    left, top, right, bottom = mark.target
    return left * film.columns, top * film.rows, right * film.columns, bottom * film.rows


def _middle(edges: _Edges) -> tuple[float, float]:
    return (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2


def _inside(point: tuple[float, float], edges: _Edges) -> bool:
    return edges[0] <= point[0] <= edges[2] and edges[1] <= point[1] <= edges[3]


def _overlap(one: _Edges, other: _Edges) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    both = sum((e[2] - e[0]) * (e[3] - e[1]) for e in (one, other)) - shared
    return round(shared / both, 4) if both > 0 else 0.0
