"""Where lungs and heart lie on an average upright frontal film: a geometric estimate, no segmentation.

Ellipses in fractions of the film's width and height, set by eye on drawn films; arms, neck and margins are outside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LUNGS = ((0.29, 0.44, 0.19, 0.34), (0.71, 0.44, 0.19, 0.34))
HEART = ((0.55, 0.64, 0.19, 0.17),)
"""Ellipses as (x, y, half width, half height); image left is the patient's right."""


def field(rows: int, columns: int, ellipses: tuple[tuple[float, float, float, float], ...]) -> npt.NDArray[np.bool_]:
    """(rows, columns), True inside any of the ellipses."""
    y, x = (np.arange(rows)[:, None] + 0.5) / rows, (np.arange(columns)[None] + 0.5) / columns
    inside = [((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1 for cx, cy, rx, ry in ellipses]
    return np.asarray(np.logical_or.reduce(inside), bool)


def mass_inside(values: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> float:
    """Share of a map's positive part that falls inside; NaN for a map without any."""
    positive = np.maximum(values, 0)
    total = float(positive.sum())
    return float(positive[inside].sum()) / total if total > 0 else float("nan")
