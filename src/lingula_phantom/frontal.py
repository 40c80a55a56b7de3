"""The frontal projection of a patient: how much water lies on every ray."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lingula_phantom.anatomy import Patient, ribs, shoulders, vessels
from lingula_phantom.film import Array, Grid, clouds, dome, step


class Chest(NamedTuple):
    """What the findings are drawn into, all (rows, columns) in cm.

    Attributes:
        solid: soft tissue and bone, as if the lungs were filled.
        air: depth of aerated lung on the ray.
        vessels: pulmonary vessels, as water.
    """

    solid: Array
    air: Array
    vessels: Array

    def water(self, lung_density: float) -> Array:
        return self.solid - (1 - lung_density) * self.air + self.vessels


def frontal(patient: Patient, grid: Grid, rng: np.random.Generator) -> Chest:
    """Project the patient back to front, the patient's left to the right."""
    texture, tree_rng, gas_rng = rng.spawn(3)
    cavity = _cavity(patient, grid)
    air = cavity * np.clip(1 - _mediastinum(patient, grid) / patient.depth, 0, 1)
    air *= 1 + 0.05 * clouds(texture, cavity.shape, 18)
    tree = grid.deposit(*vessels(patient, tree_rng, grid.pitch, 0)) * np.clip(air / 4, 0, 1)
    tree += 0.018 * patient.vessels * air * clouds(texture, cavity.shape, round(7 / grid.pitch))  # too fine to draw
    solid = _body(patient, grid)
    long, short = round(18 / grid.pitch), round(8 / grid.pitch)
    solid += grid.deposit(
        ribs(patient, long).project(0, grid.pitch, 22), shoulders(patient, short).project(0, grid.pitch, 36)
    )
    _spine(patient, grid, solid)
    _scapulae(patient, grid, solid)
    _airways(patient, grid, solid)
    gas(patient, grid, gas_rng, solid)
    return Chest(solid, air, tree)


def _cavity(patient: Patient, grid: Grid) -> Array:
    """Depth of the space inside the ribs and above the diaphragm, mediastinum included."""
    out = grid.empty()
    here = grid.crop(-patient.width - 0.2, patient.width + 0.2, -1.5, patient.dome_left + 8)
    x, y = grid.x[:, here[1]], grid.y[here[0]]
    depth = patient.depth * dome(1 - np.clip(y / 13, 0, 1)) * dome(x / patient.side_wall(y))
    depth *= step(y - 0.3 * np.clip(np.abs(x) - 5.2, -2.7, 0) ** 2, 1.4)
    below = patient.dome(x) - y
    # the dome hides most of the lung; the posterior recess reaches lower
    out[here] = depth * (0.78 * step(below, 0.22) + 0.22 * step(below + 1.6, 3.2))
    return out


def _body(patient: Patient, grid: Grid) -> Array:
    """Depth of the filled body: trunk, neck, shoulders and arms, breasts."""
    x, y = grid.x, grid.y
    flank = patient.width + 0.5 + 0.9 * patient.wall
    out = flank + (27 - flank) / (1 + np.exp((y - 6.2 + 0.25 * patient.wall) / 1.1))
    top = -7.5 + 6.8 * np.clip((np.abs(x) - 5.0) / 12.5, 0, 1.3) ** 0.75
    trunk = (patient.depth + 1.6 * patient.wall) * dome(x / out) * np.sqrt(np.clip((y - top) / 13, 0, 1))
    neck = 9.5 * dome(x / (5.2 + 0.07 * np.maximum(y + 9, 0) ** 2)) * step(4 - y, 12)
    body = np.sqrt(trunk * trunk + neck * neck)
    for sign in (-1, 1) if patient.breast else ():
        cx, cy, radius = sign * 0.62 * patient.width, 16.2 + 2 * patient.breast, 5.6 + 1.6 * patient.breast
        here = grid.around(cx, cy, radius)
        dx, dy = grid.x[:, here[1]] - cx, grid.y[here[0]] - cy
        body[here] += 2.8 * patient.breast * dome(np.hypot(dx, dy) / radius) * step(dy + 1, radius * 1.6)
    return body


def _mediastinum(patient: Patient, grid: Grid) -> Array:
    """Depth of heart, great vessels and paraspinal tissue."""
    h, a, low = patient.heart, patient.aorta, patient.dome_left - 22.3
    w = patient.width / 13.6
    v, stretch = patient.vessels, (patient.aorta - 1) * 2.2
    total = grid.empty()  # of squared depths: overlapping organs join smoothly
    here = grid.crop(-7.5, 8.5, grid.top, grid.top + grid.rows * grid.pitch)
    x, y = grid.x[:, here[1]], grid.y
    half = 2.5 * w + 0.35 * np.cos((y - 1) / 2.6) * (y < 9) + 0.5 * np.exp(-((y - 11) ** 2) / 14)
    edge = 1.7 * w + 1.45 * a + 1.5 * stretch * np.exp(-((y - 9.5) ** 2) / 18) - 0.05 * np.maximum(y - 8, 0)
    total[here] = (8.5 * dome((x - 0.8 * patient.spine_x(y)) / half) * (1 - 0.6 * step(y - 12.5, 5))) ** 2
    total[here] += 25 * np.maximum(1 - ((x - edge + 1.5) / 1.5) ** 2, 0) * step(y - 7, 2)  # descending aorta
    ellipses = (  # centre, half axes, turn in degrees, depth
        (1.9 * w * h, 17.9 + low, 8.0 * w * h, 5.5 * w * h, 40, 12),  # ventricles
        (-1.5 * w * h, 17.4 + low, 3.3 * w * h, 5.8 * h, 4, 9.5),  # right atrium
        (0.6 * w, 12.6 + 0.7 * low, 3.6 * w, 4.5, -10, 8),
        (1.0, 22.8 + low, 6.8 * w * h, 3.8, 3, 9),
        (2.0 * w + 0.6 * stretch, 6.5 - 0.5 * stretch, 1.9 * a, 2.0 * a, 0, 8),  # aortic arch
        (2.2 * w, 10.6 + 0.5 * low, 2.0 * w, 2.7, 20, 8),  # pulmonary trunk
        (-1.7 * w - 0.7 * stretch, 9.0, 1.7 * a, 4.2, -4, 7),  # ascending aorta, superior vena cava
        (-3.5 * w, 10.9 + 0.3 * low, 1.15 * v, 2.4 * v, 22, 2.4),  # hila
        (3.9 * w, 10.2 + 0.3 * low, 1.25 * v, 1.9 * v, -25, 2.4),
    )  # fmt: skip
    for cx, cy, rx, ry, turn, depth in ellipses:
        here = grid.around(cx, cy, max(rx, ry))
        total[here] += depth**2 * ellipse(grid, here, cx, cy, rx, ry, turn)
    return np.sqrt(total)


def ellipse(grid: Grid, here: tuple[slice, slice], cx: float, cy: float, rx: float, ry: float, turn: float) -> Array:
    """1 - r² inside a turned ellipse (degrees, clockwise), 0 outside; its square root is an ellipsoid's depth."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    dx, dy = grid.x[:, here[1]] - cx, grid.y[here[0]] - cy
    return np.maximum(1 - ((dx * cos + dy * sin) / rx) ** 2 - ((dy * cos - dx * sin) / ry) ** 2, 0)


def _airways(patient: Patient, grid: Grid, solid: Array) -> None:
    """Take the air of the trachea and the main bronchi out; the left bronchus is longer and flatter."""
    here = grid.crop(-5, 6, -12, 13)
    y = grid.y[here[0]]
    x = grid.x[:, here[1]] - 0.8 * patient.spine_x(y) + 0.2
    carina = 8.4
    air = 1.5 * dome(x / (0.85 + 0.04 * np.cos(y * 8))) * step(carina + 0.4 - y, 0.9)
    for slope, bore, run in ((-0.62, 0.65, 3.0), (1.05, 0.6, 3.6)):
        off = (x - slope * (y - carina + 0.5)) / (bore * math.hypot(1, slope))
        air = np.maximum(air, 0.8 * dome(off) * (step(y - carina, 0.6) * step(carina + 0.7 * run - y, run)))
    solid[here] -= air


def _scapulae(patient: Patient, grid: Grid, solid: Array) -> None:
    """Add the blades: thin triangles with soft edges."""
    here = grid.crop(-18, 18, 1.4, 15)
    side, y = np.abs(grid.x[:, here[1]]) / (patient.width / 13.6), grid.y[here[0]]
    medial, lateral = side - (9.4 + 0.34 * (y - 2.4)), (15.7 - 0.26 * (y - 4.4)) - side
    solid[here] += 0.7 * patient.bone * step(np.minimum(medial, lateral), 0.7) * step(y - 2.2, 1.5)


def _spine(patient: Patient, grid: Grid, solid: Array) -> None:
    """Add vertebral bodies with end plates, pedicles, spinous and transverse processes, osteophytes."""
    reach = 4.5 + abs(patient.scoliosis)
    here = grid.crop(-reach, reach, -6, grid.top + grid.rows * grid.pitch)
    y = grid.y[here[0]]
    dx = grid.x[:, here[1]] - patient.spine_x(y)
    side = np.abs(dx)
    height = patient.vertebra * (1 + 0.012 * (y - 10) / 2.3)
    level = (y + 0.9) / height
    phase = level - np.floor(level)  # 0 top end plate, 0.86 bottom end plate, then the disc
    body = step(phase - 0.04, 0.06) * step(0.86 - phase, 0.06)
    plate = np.exp(-(((phase - 0.07) / 0.035) ** 2)) + np.exp(-(((phase - 0.83) / 0.035) ** 2))
    half = 1.5 + 0.018 * np.maximum(y, 0) + 0.22 * (2 * phase - 0.9) ** 2 * body
    rim, worn = side - half, patient.osteophytes
    bone = step(-rim, 0.2) * (0.35 + 0.35 * body + (0.4 + 0.6 * worn) * plate)
    bone += 0.35 * np.exp(-((rim / 0.12) ** 2)) * body
    pedicle = np.hypot((side - 0.95) / 0.3, (phase - 0.3) * height / 0.45)
    spinous = np.hypot(dx / 0.24, (phase - 0.62) * height / 0.62)
    bone += 0.5 * np.exp(-(((pedicle - 1) / 0.35) ** 2)) + 0.55 * np.exp(-(((spinous - 0.9) / 0.4) ** 2))
    bone += 0.32 * np.exp(-(((phase - 0.3) * height / 0.42) ** 2)) * step(side - 1.2, 0.4) * step(3.0 - side, 0.5)
    if worn:
        bump = np.exp(-(((phase - 0.95) / 0.16) ** 2)) + np.exp(-(((phase + 0.05) / 0.16) ** 2))
        bone += 3.2 * step(half + 1.0 * worn * bump - side, 0.2) * step(rim + 0.1, 0.2) * (bump * step(y - 6, 4))
    solid[here] += 0.8 * patient.bone * bone * step(y + 5, 6)


def gas(patient: Patient, grid: Grid, rng: np.random.Generator, solid: Array, shift: float = 0.0) -> None:
    """Take out the stomach bubble under the left dome and a few loops of bowel, all ``shift`` cm along x."""
    blobs = [(rng.uniform(4.5, 7.5), patient.dome_left + rng.uniform(1.8, 2.6), rng.uniform(1.4, 3.0),
              rng.uniform(0.7, 1.3), rng.uniform(1.5, 4.0))]  # fmt: skip
    for _ in range(5):
        cx, drop, rx, ry, depth = (
            rng.uniform(*bounds) for bounds in ((-2, 10), (4, 8), (0.6, 1.5), (0.6, 1.5), (1, 2.5))
        )
        blobs.append((cx, float(patient.dome(np.asarray(cx))) + drop, rx, ry, depth))
    for cx, cy, rx, ry, depth in blobs:
        cx += shift
        here = grid.around(cx, cy, 1.4 * max(rx, ry) + 0.3)
        if solid[here].size:
            wobble = clouds(rng, solid[here].shape, 5)
            r = np.hypot((grid.x[:, here[1]] - cx) / rx, (grid.y[here[0]] - cy) / ry)
            solid[here] -= depth * step(1 - r + 0.25 * wobble, 0.8)
