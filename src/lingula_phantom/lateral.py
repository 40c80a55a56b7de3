"""The lateral projection of a patient, who looks to the left: sternum left, spine right."""

from __future__ import annotations

import math

import numpy as np

from lingula_phantom.anatomy import Patient, ribs, vessels
from lingula_phantom.film import Array, Grid, clouds, dome, step
from lingula_phantom.frontal import Chest, ellipse, gas


def lateral(patient: Patient, grid: Grid, rng: np.random.Generator) -> Chest:
    """Project the patient side to side; ``grid.x`` counts backwards from the middle of the chest (-z)."""
    texture, tree_rng, gas_rng = rng.spawn(3)
    cavity = _cavity(patient, grid)
    air = cavity * np.clip(1 - _mediastinum(patient, grid) / (2 * patient.width), 0, 1)
    air *= 1 + 0.05 * clouds(texture, cavity.shape, 16)
    tree = grid.deposit(*vessels(patient, tree_rng, grid.pitch, 2)) * np.clip(air / 6, 0, 1)
    tree += 0.014 * patient.vessels * air * clouds(texture, cavity.shape, round(7 / grid.pitch))
    solid = _body(patient, grid)
    solid += 0.5 * grid.deposit(ribs(patient, round(18 / grid.pitch)).project(2, grid.pitch, 14))
    _spine(patient, grid, solid)
    _sternum(patient, grid, solid)
    _trachea(grid, solid)
    gas(patient, grid, gas_rng, solid, -8.0)
    return Chest(solid, air, tree)


def _cavity(patient: Patient, grid: Grid) -> Array:
    """Width of the lung space on the ray, both sides together."""
    out = grid.empty()
    here = grid.crop(-patient.depth, patient.depth, -1.5, patient.dome_left + 12)
    y = grid.y[here[0]]
    back = grid.x[:, here[1]] - patient.lean(y)
    width = 2 * patient.side_wall(y) * np.sqrt(dome(back / patient.half_depth(y)))
    width *= step(y - 0.1 * np.clip(back - 1.5, -6, 6) ** 2, 1.6)
    right, left = (step(floor(top, patient, back) - y, 0.25) for top in (patient.dome_right, patient.dome_left))
    out[here] = width * (0.5 * right + 0.5 * left)
    return out


def floor(top: float, patient: Patient, back: Array) -> Array:
    """y of a diaphragm dome: high in front, falling into the posterior recess."""
    from_top = back + 2.0
    return np.asarray(top + patient.dome_curve * np.where(from_top > 0, 0.068, 0.03) * from_top**2, np.float32)


def _body(patient: Patient, grid: Grid) -> Array:
    """Width of the filled body: trunk, raised arms and shoulders above it, breasts in front."""
    y = grid.y
    back, deep = grid.x - patient.lean(np.minimum(y, 24)), patient.half_depth(np.minimum(y, 17))
    front = -deep - 1.4 - patient.wall - 15 * step(-2.5 - y, 15) - 0.03 * np.maximum(y - 18, 0) * patient.wall
    front -= 5.5 * patient.breast * np.exp(-(((y - 18.5) / 4.5) ** 2))
    rear = deep + 2.8 + 0.8 * patient.wall - 4 * step(-1.5 - y, 10)
    across = (back - (front + rear) / 2) / ((rear - front) / 2)
    width = 2 * (patient.width + 0.9 * patient.wall) * dome(across) * (0.75 + 0.25 * step(y - 3, 8))
    return np.asarray(width + 8 * step(1.2 - y - 0.3 * back, 7) * dome(across), np.float32)


def _mediastinum(patient: Patient, grid: Grid) -> Array:
    """Width of heart, great vessels and hila on the ray."""
    h, a, low = patient.heart, patient.aorta, patient.dome_left - 22.3
    d, v, stretch = patient.depth / 17.5, patient.vessels, (patient.aorta - 1) * 1.6
    total = grid.empty()
    total[:] = (4.5 * dome((grid.x + 0.5) / (7.0 * d)) * step(grid.y + 1, 3)) ** 2
    ellipses = (
        (-4.2 * d, 18.0 + low, 7.0 * d * h, 5.6 * h, 38, 13),  # heart
        (-1.0 * d, 15.4 + low, 3.2 * d * h, 4.4 * h, -15, 8),  # left atrium
        (-5.6 * d, 22.5 + low, 5.0, 3.0, 10, 9),
        (0.6 + 0.3 * stretch, 6.6 - stretch, 3.4 * a, 1.9 * a, -12, 7),  # aortic arch
        (-2.6 - stretch, 9.5, 1.8 * a, 4.4, 18, 6),  # ascending aorta
        (0.6, 11.0 + 0.3 * low, 2.5 * v, 1.8 * v, 10, 7),  # hila
        (1.2, 12.3 + 0.3 * low, 1.4 * v, 2.6 * v, -10, 4),
    )  # fmt: skip
    for cx, cy, rx, ry, turn, width in ellipses:
        here = grid.around(cx, cy, max(rx, ry))
        total[here] += (width * ellipse(grid, here, cx, cy, rx, ry, turn)) ** 2
    run = 3.6 + 0.8 * stretch * np.sin(grid.y / 4) + 0.06 * grid.y
    total += (3.2 * a) ** 2 * np.maximum(1 - ((grid.x - run) / (1.3 * a)) ** 2, 0) * step(grid.y - 7, 2)
    return np.sqrt(total)


def _spine(patient: Patient, grid: Grid, solid: Array) -> None:
    """Add vertebral bodies, their end plates and the arches behind them."""
    here = grid.crop(0, 14, -5, grid.top + grid.rows * grid.pitch)
    y = grid.y[here[0]]
    off = grid.x[:, here[1]] - patient.lean(y) - (patient.half_depth(y) - 3.3)
    height = patient.vertebra * (1 + 0.012 * (y - 10) / 2.3)
    level = (y + 0.9 + 0.12 * off) / height
    phase = level - np.floor(level)
    body = step(phase - 0.04, 0.07) * step(0.84 - phase, 0.07)
    plate = np.exp(-(((phase - 0.07) / 0.04) ** 2)) + np.exp(-(((phase - 0.81) / 0.04) ** 2))
    half = 1.45 + 0.02 * np.maximum(y, 0) + 0.2 * (2 * phase - 0.9) ** 2 * body
    rim, worn = np.abs(off) - half, patient.osteophytes
    bone = (
        step(-rim, 0.25) * (0.5 + 0.5 * body + (0.7 + 0.7 * worn) * plate) + 0.5 * np.exp(-((rim / 0.13) ** 2)) * body
    )
    bone += (
        0.5 * step(off - half, 0.4) * step(half + 2.4 - off, 1.4) * (0.6 + 0.4 * np.cos(2 * math.pi * (phase - 0.2)))
    )
    if worn:
        bump = np.exp(-(((phase - 0.94) / 0.15) ** 2)) + np.exp(-(((phase + 0.06) / 0.15) ** 2))
        bone += 2 * step(half + 0.9 * worn * bump + off, 0.2) * step(-half - off + 0.1, 0.2) * bump * step(y - 6, 4)
    solid[here] += 1.8 * patient.bone * bone * step(y + 2, 6)


def _sternum(patient: Patient, grid: Grid, solid: Array) -> None:
    here = grid.crop(-14, 0, 2, 21)
    y = grid.y[here[0]]
    off = grid.x[:, here[1]] - patient.lean(y) + patient.half_depth(y) + 0.75
    plate = step(0.5 - np.abs(off), 0.2) * 0.8 + 1.0 * np.exp(-(((np.abs(off) - 0.45) / 0.12) ** 2))
    joint = 1 - 0.7 * np.exp(-(((y - 7.2) / 0.2) ** 2))
    solid[here] += 1.6 * patient.bone * plate * joint * step(y - 3, 1) * step(19 - y, 1.5)


def _trachea(grid: Grid, solid: Array) -> None:
    here = grid.crop(-3, 4, -9, 12)
    y = grid.y[here[0]]
    off = grid.x[:, here[1]] - (-0.6 + 0.16 * y)
    solid[here] -= 2.2 * dome(off / 0.95) * step(10.5 - y, 2.5)
    ring = np.hypot(off - 0.1, y - 11.2) / 0.55
    solid[here] -= 1.6 * step(1 - ring, 0.4)
