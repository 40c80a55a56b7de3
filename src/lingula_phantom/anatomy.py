"""The patient in three dimensions: body measures, lung outline, bones as tubes, pulmonary vessels as trees.

Coordinates are centimetres: x to the patient's left (right in a frontal image), y down from the lung apex, z forward
from the middle of the chest. Shapes are drawn to look like a chest, not to measure one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lingula_phantom.film import Array, Points


@dataclass(frozen=True, slots=True)
class Break:
    """A healed rib fracture: side -1 (right) or 1 (left), rib number, angle along the rib in radians."""

    side: int
    rib: int
    angle: float


@dataclass(frozen=True, slots=True)
class Patient:
    """Who was imaged, and how; findings that change a shape change these numbers.

    Attributes:
        width, depth: inner half width and depth of the chest, cm.
        wall: soft tissue outside the ribs, cm.
        dome_right, dome_left: y of the tops of the diaphragm.
        dome_curve: how far the domes fall to the sides, 1 normal, near 0 flat.
        heart, aorta: size against an average one. vessels: calibre of the pulmonary vessels, likewise.
        lung_density: tissue share of the lung.
        scoliosis: sideways amplitude of the thoracic spine, cm, positive to the patient's left.
        osteophytes: 0 to 1.
        tilt, scale, shift_x, shift_y: position on the film: degrees, magnification, cm.
        quanta, contrast: exposure and film.
    """

    age: int
    female: bool
    width: float = 13.6
    depth: float = 18.0
    wall: float = 2.2
    breast: float = 0.0
    dome_right: float = 21.5
    dome_left: float = 22.5
    dome_curve: float = 1.0
    heart: float = 1.0
    aorta: float = 1.0
    vessels: float = 1.0
    lung_density: float = 0.2
    scoliosis: float = 0.0
    osteophytes: float = 0.0
    breaks: tuple[Break, ...] = ()
    bone: float = 1.0
    landscape: bool = False
    tilt: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    quanta: float = 2.5e4
    contrast: float = 0.7

    @classmethod
    def sample(cls, rng: np.random.Generator, ages: tuple[int, int] = (18, 88)) -> Patient:
        female, age = bool(rng.random() < 0.5), int(rng.integers(*ages))
        size = rng.normal(0.965 if female else 1.03, 0.03)
        dome = float(rng.normal(21.3, 0.9) * size)
        wall = float(np.clip(rng.gamma(6, 0.42), 1.2, 5))
        return cls(
            age=age, female=female,
            width=float(13.5 * size * rng.normal(1, 0.02)), depth=float(17.5 * size * rng.normal(1, 0.04)), wall=wall,
            breast=float(rng.uniform(0.5, 1.0) * (0.6 + wall / 5)) if female else 0.0,
            dome_right=dome, dome_left=dome + float(rng.uniform(0.4, 1.6)), dome_curve=float(rng.uniform(0.8, 1.15)),
            heart=float(rng.normal(0.93, 0.03)), aorta=float(rng.normal(0.82 + age / 300, 0.04)),
            vessels=float(rng.normal(1.0, 0.06)), lung_density=float(rng.normal(0.2, 0.015)),
            scoliosis=float(rng.normal(0, 0.12)), bone=float(rng.normal(1.15 - age / 260, 0.06)),
            landscape=bool(rng.random() < 0.35), tilt=float(np.clip(rng.normal(0, 0.9), -2.2, 2.2)),
            scale=float(rng.normal(1.05, 0.035)), shift_x=float(rng.normal(0, 0.5)), shift_y=float(rng.normal(0, 0.7)),
            quanta=float(rng.uniform(1.2e4, 4e4)), contrast=float(rng.normal(0.7, 0.05)),
        )  # fmt: skip

    def side_wall(self, y: Array) -> Array:
        """Half width of the chest inside the ribs at height y."""
        up = 1 - np.clip(y / 15.5, -0.2, 1)
        return np.asarray(5.0 + (self.width - 5.0) * np.sqrt(np.maximum(1 - up * up, 0)), np.float32)

    def dome(self, x: Array) -> Array:
        """y of the diaphragm's upper edge at x, frontal."""
        top = self.dome_right + (self.dome_left - self.dome_right) * (0.5 + 0.5 * np.tanh(x / 1.5))
        out = np.abs(x) - np.where(x < 0, 0.42, 0.5) * self.width
        fall = np.where(out > 0, 0.06, 0.022) * out * out + 0.00006 * np.maximum(out, 0) ** 5
        return np.asarray(top + self.dome_curve * fall, np.float32)

    def half_depth(self, y: Array) -> Array:
        """Half the depth of the chest inside the ribs at height y."""
        return np.asarray(0.5 * self.depth * (0.55 + 0.47 * np.sin(np.pi / 2 * np.clip(y / 17, -0.5, 1.3))), np.float32)

    def lean(self, y: Array) -> Array:
        """How far behind the origin the middle of the chest lies at height y."""
        return np.asarray(1.5 - 0.15 * y, np.float32)

    def spine_x(self, y: Array) -> Array:
        return np.asarray(self.scoliosis * np.sin(np.pi * np.clip((y + 1) / 26, 0, 1.2)), np.float32)

    @property
    def vertebra(self) -> float:
        """Height of a thoracic vertebra with its disc, cm."""
        return 2.32 * (0.5 * (self.dome_right + 21.3)) / 21.3


class Tubes(NamedTuple):
    """Hollow bent bones of one kind: n stations along each of k bones.

    Attributes:
        centre: (k, n, 3). radial: (k, n, 3) unit vectors across the flat side.
        broad, flat: (k, n) half diameters along and across the flat side.
        cortex: (k, n) mass of the shell, cm³ of water per cm².
    """

    centre: Array
    radial: Array
    broad: Array
    flat: Array
    cortex: Array

    def project(self, horizontal: int, pitch: float, density: float) -> Points:
        """About ``density`` points round every station, more on a finer film.

        Args:
            horizontal: the coordinate across the film: 0 frontal, 2 lateral (then -z).
        """
        around = round(density * max(1, 0.084 / pitch))
        tangent = np.diff(self.centre, axis=1)
        length = np.linalg.norm(tangent, axis=2)
        radial, broad, flat = self.radial[:, :-1], self.broad[:, :-1], self.flat[:, :-1]
        normal = np.cross(tangent / np.maximum(length, 1e-6)[..., None], radial)
        i, j = np.arange(length.shape[1], dtype=np.float32)[:, None], np.arange(around, dtype=np.float32)[None, :]
        angle = 2 * np.pi * (j / around + 0.618 * i)
        inside = np.where(np.arange(around) % 4 == 3, np.sqrt((j * 0.3819 + i * 0.7549) % 1), 1)  # spongy bone
        cos, sin = (np.asarray(inside * f(angle), np.float32) for f in (np.cos, np.sin))
        along = (j * 0.618) % 1
        mass = self.cortex[:, :-1] * np.pi * (broad + flat) * length / around
        x, y = (
            self.centre[:, :-1, None, c] + tangent[:, :, None, c] * along
            + (broad * normal[..., c])[..., None] * cos + (flat * radial[..., c])[..., None] * sin
            for c in (horizontal, 1)
        )  # fmt: skip
        return Points(-x if horizontal == 2 else x, y, np.broadcast_to(mass[..., None], x.shape))


def ribs(patient: Patient, stations: int, sides: tuple[int, ...] = (-1, 1)) -> Tubes:
    """Eleven pairs: from the spine back and down around the side wall, then forward and down to the cartilage."""
    k = np.arange(11, dtype=np.float32)[None, :, None]
    s = np.linspace(0, 1, stations, dtype=np.float32)[None, None, :]
    side = np.array(sides, dtype=np.float32)[:, None, None]
    last = np.array([2.5, 2.4, 2.35, 2.3, 2.25, 2.2, 2.1, 2.0, 1.85, 1.55, 1.25], np.float32)[None, :, None]
    angle = 0.2 + s * (last - 0.2)
    drop = np.array([1.5, 2.2, 2.8, 3.3, 3.7, 4.0, 4.2, 4.4, 4.6, 4.6, 4.4], np.float32)[None, :, None]
    top = -0.3 + k * patient.vertebra
    y = top + drop * (1 - np.cos(angle)) - 0.5 * np.sin(2 * angle) * (k > 1)
    bulge = np.zeros_like(side * y)
    for gap in patient.breaks:
        here = (side == gap.side) & (k == gap.rib)
        y = np.where(here, y + 0.55 / (1 + np.exp(-(angle - gap.angle) * 60)), y)
        bulge = bulge + here * np.exp(-(((angle - gap.angle) / 0.07) ** 2))
    wall = patient.side_wall(y) + 0.12
    x = side * np.maximum(wall * np.sin(angle), 1.4) + 0.5 * patient.spine_x(y) * (1 - s)
    z = -(patient.half_depth(y) + 0.2) * np.cos(angle) - patient.lean(y)
    radial = np.stack(np.broadcast_arrays(side * np.sin(angle), 0 * y, -np.cos(angle)), -1)
    broad = (0.56 + 0.12 * np.sin(angle * 1.2)) * (1 + 0.55 * bulge) + 0 * y
    flat = 0.33 + 0.25 * bulge + 0 * y
    cortex = (
        0.38 * patient.bone * (1 - 0.62 * np.clip((angle - 1.45) / 0.7, 0, 1)) + 0 * bulge
    )  # thinner towards the cartilage
    shape = (len(sides) * 11, stations)
    centre = np.stack(np.broadcast_arrays(x, y, z), -1).reshape(*shape, 3).astype(np.float32)
    return Tubes(centre, radial.reshape(*shape, 3).astype(np.float32), broad.reshape(shape).astype(np.float32),
                 flat.reshape(shape).astype(np.float32), cortex.reshape(shape))  # fmt: skip


def shoulders(patient: Patient, stations: int) -> Tubes:
    """Clavicles, the borders and spines of the scapulae, and the upper arms, both sides."""
    wide = patient.width / 13.6
    lines = (  # points (x, y), half diameters at the ends
        ([(2.0, 3.4), (5.0, 2.6), (9.0, 0.2), (13.0, -1.6), (16.8, -1.3)], 0.78, 0.5),
        ([(9.6, 2.6), (10.9, 6.0), (12.3, 10.0), (13.2, 13.4)], 0.17, 0.16),
        ([(13.2, 13.4), (14.4, 10.0), (15.0, 7.0), (15.7, 4.6)], 0.16, 0.4),
        ([(9.8, 3.0), (13.0, 1.2), (16.0, -0.6), (18.2, -0.9)], 0.2, 0.5),
        ([(17.0, 0.6), (18.4, 2.0), (21.0, 3.6), (27.0, 6.0)], 2.3, 1.0),
    )  # fmt: skip
    s = np.linspace(0, 1, stations)
    centre, broad = [], []
    for points, first, last in lines:
        x, y = (smooth(s, np.array(points)[:, c]) for c in (0, 1))
        for side in (-1, 1):
            centre.append(np.stack([side * wide * x, y, np.zeros_like(x)], -1))
            ends = np.sqrt(1 - (1 - np.clip(np.minimum(s, 1 - s) / min(0.3, 0.14 * first), 0, 1)) ** 2)
            broad.append((first + (last - first) * s**0.6) * ends)
    radial = np.zeros((len(centre), stations, 3), np.float32)
    radial[..., 2] = 1
    half = np.array(broad, np.float32)
    return Tubes(np.array(centre, np.float32), radial, half, half, np.full_like(half, 0.4 * patient.bone))


def smooth(s: npt.NDArray[np.float64], knots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A smooth curve near the knots (uniform in s): their Bézier curve drawn halfway to the polyline."""
    straight = np.interp(s, np.linspace(0, 1, len(knots)), knots)
    degree, bezier = len(knots) - 1, np.zeros_like(s)
    choose = 1.0
    for i, knot in enumerate(knots):
        bezier += choose * s**i * (1 - s) ** (degree - i) * knot
        choose = choose * (degree - i) / (i + 1)
    return 0.35 * straight + 0.65 * bezier


GENERATIONS = 7
LOBAR = np.array([(5.5, 1, 0), (9, 4, 3), (11, 8, -3), (11.5, 13, 3), (10.5, 18, -4), (8, 20, 2), (5.5, 20, -4),
                  (7.5, 3, -3), (10, 11, -1)], np.float32)  # where the first branches head for  # fmt: skip
CALIBRE = np.array([0.26, 0.24, 0.25, 0.27, 0.36, 0.34, 0.33, 0.2, 0.25], np.float32)


def vessels(patient: Patient, rng: np.random.Generator, pitch: float, horizontal: int) -> list[Points]:
    """Arteries of both lungs: trees that fork from the hila towards the pleura, each child thinner and shorter."""
    scale = np.array([1, patient.dome_right / 21.3, 1], np.float32)
    right, left = np.array([-3.3, 11.0, 0], np.float32) * scale, np.array([3.3, 10.2, 0], np.float32) * scale
    heading = np.concatenate([LOBAR * (-1, 1, 1) * scale - right, LOBAR * scale - left]).astype(np.float32)
    start = np.repeat([right, left], len(LOBAR), axis=0) + 0.25 * rng.standard_normal(heading.shape, np.float32)
    radius = np.tile(CALIBRE, 2) * np.float32(patient.vessels)
    length = 0.25 * np.linalg.norm(heading, axis=1)
    found = []
    for generation in range(GENERATIONS):
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        bend, spread, twist = rng.standard_normal((3, *heading.shape), np.float32)
        dense = 3.5 if generation < 3 else 1.4
        n = max(8, int(dense * length.mean() * max(2 * radius.mean(), pitch) / pitch**2))
        u = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / n
        disc = rng.random((2, len(start), n), np.float32) - np.float32(0.5)
        along, arc, width = heading * length[:, None], 0.4 * bend * length[:, None], 1.7 * radius[:, None]
        x, y = (
            start[:, c, None] + along[:, c, None] * u + arc[:, c, None] * (u * (1 - u)) + off * width
            for c, off in zip((horizontal, 1), disc, strict=True)
        )
        mass = 1.5 * np.pi * radius**2 * length / n
        found.append(Points(-x if horizontal == 2 else x, y, np.broadcast_to(mass[:, None], x.shape)))
        spread *= (0.3, 0.5)[generation > 1]
        start = np.tile(start + along, (2, 1))
        heading = np.concatenate([heading + 0.5 * spread, heading - 1.15 * spread + 0.2 * twist])
        length = np.concatenate([length * 0.88, length * 0.74])
        radius = np.concatenate([radius * 0.84, radius * 0.66])
    return found
