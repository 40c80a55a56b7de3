"""Findings drawn into the chest: filling the lung takes its air away, metal adds to the solid. And where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from lingula_phantom.anatomy import Patient, ribs, smooth
from lingula_phantom.film import Array, Grid, Points, clouds, step
from lingula_phantom.findings import PhantomFinding
from lingula_phantom.frontal import Chest, ellipse
from lingula_phantom.lateral import floor

View = Literal["frontal", "lateral"]
Extent = tuple[float, float, float, float]  # left, top, right, bottom, cm


def draw(finding: PhantomFinding, patient: Patient, grid: Grid, chest: Chest, view: View) -> None:
    """Change ``chest`` in place.

    Args:
        patient: reshaped by all findings of the study.
    """
    for sign in finding.signs:
        x, y, z = finding.place(patient, sign)
        at = (x if view == "frontal" else -z, y)
        match finding.kind:
            case "airspace_disease" | "opacity":
                _patch(finding, grid, chest, at, 1.0 if view == "frontal" else 0.6)
            case "nodule" | "granuloma":
                _ball(finding, grid, chest, at)
            case "atelectasis":
                _bands(finding, grid, chest, at)
            case "effusion":
                _fluid(finding, patient, grid, chest, view, sign)
            case "pneumothorax" if view == "frontal":
                _free_air(finding, patient, grid, chest, sign)
            case "pacemaker" | "catheter":
                bars = (_wire(*line, grid.pitch, view) for line in _device(finding, patient, sign))
                chest.solid[:] += grid.deposit(*bars)


def extents(finding: PhantomFinding, patient: Patient) -> Iterator[Extent]:
    """Frontal extents, one a side; none for findings that are nowhere in particular."""
    if finding.kind == "cardiomegaly":
        size = patient.width / 13.6 * patient.heart
        yield -4.8 * size, 12.0, 9.0 * size, patient.dome_left + 0.5
    for sign in finding.signs:
        x, y, _ = finding.place(patient, sign)
        match finding.kind:
            case "airspace_disease" | "opacity":
                rx, ry = _patch_size(finding)
                yield x - rx, y - ry, x + rx, y + ry
            case "nodule" | "granuloma":
                radius = _radius(finding)
                yield x - radius, y - radius, x + radius, y + radius
            case "atelectasis":
                yield x - 3.4, y - 1.8, x + 3.4, y + 1.8
            case "effusion":
                wall = sign * patient.width
                inner, outer = sorted((0.35 * wall, wall))
                yield inner, _angle(patient, sign) - _height(finding), outer, _angle(patient, sign)
            case "pneumothorax":
                inner, outer = sorted((sign * 3.0, sign * patient.width))
                yield inner, 0.3, outer, 9.0 + 2.5 * finding.severity
            case "rib_fracture":
                rows = ribs(patient, 200).centre.reshape(2, 11, 200, 3)[(sign + 1) // 2]
                broken = np.array([rows[gap.rib, round(199 * (gap.angle - 0.2) / 1.95)] for gap in patient.breaks])
                (left, top), (right, bottom) = broken[:, :2].min(0) - 1.3, broken[:, :2].max(0) + 1.3
                yield float(left), float(top), float(right), float(bottom)
            case "pacemaker" | "catheter":
                housing, radius, _ = _device(finding, patient, sign)[0]  # without its leads
                (left, top), (right, bottom) = housing[:, :2].min(0) - radius, housing[:, :2].max(0) + radius
                yield float(left), float(top), float(right), float(bottom)
            case _:
                pass


def _patch_size(finding: PhantomFinding) -> tuple[float, float]:
    rng = np.random.default_rng(finding.seed)
    size = 2.2 + 0.75 * finding.severity
    return size * rng.uniform(0.9, 1.25), size * rng.uniform(0.75, 1.05)


def _patch(finding: PhantomFinding, grid: Grid, chest: Chest, at: tuple[float, float], strength: float) -> None:
    """Fluffy filling of the airspaces, or a fainter haze for an opacity."""
    rng = np.random.default_rng(finding.seed)
    rx, ry = _patch_size(finding)
    here = grid.around(*at, 1.5 * max(rx, ry))
    if not chest.air[here].size:
        return
    fluff = clouds(rng, chest.air[here].shape, 9) + 0.6 * clouds(rng, chest.air[here].shape, 22)
    r = np.hypot((grid.x[:, here[1]] - at[0]) / rx, (grid.y[here[0]] - at[1]) / ry)
    shape = step(0.85 - r + 0.16 * fluff, 0.9) * (1 + 0.1 * fluff)
    share = strength * (0.3, 0.38, 0.46)[finding.severity] * (1 if finding.kind == "airspace_disease" else 0.62)
    chest.air[here] *= 1 - np.clip(share * shape, 0, 0.9)


def _radius(finding: PhantomFinding) -> float:
    low, high = ((0.65, 0.8), (0.85, 1.1), (1.15, 1.5))[finding.severity]
    if finding.kind == "granuloma":
        low, high = 0.26 + 0.05 * finding.severity, 0.34 + 0.05 * finding.severity
    return float(np.random.default_rng(finding.seed).uniform(low, high))


def _ball(finding: PhantomFinding, grid: Grid, chest: Chest, at: tuple[float, float]) -> None:
    """A round nodule of soft tissue, or a small one of calcium."""
    radius = _radius(finding)
    here = grid.around(*at, radius)
    depth = 2 * radius * np.sqrt(ellipse(grid, here, *at, radius, radius, 0))
    chest.solid[here] += depth * (5.0 if finding.kind == "granuloma" else 1.5)


def _bands(finding: PhantomFinding, grid: Grid, chest: Chest, at: tuple[float, float]) -> None:
    """Subsegmental atelectasis: two to four thin plates near the base, seen edge on."""
    rng = np.random.default_rng(finding.seed)
    here = grid.around(*at, 4)
    x, y = grid.x[:, here[1]] - at[0], grid.y[here[0]] - at[1]
    for _ in range(2 + finding.severity):
        slope, bend, shift, half = (
            rng.uniform(-0.25, 0.25),
            rng.uniform(-0.02, 0.02),
            rng.uniform(-1.1, 1.1),
            rng.uniform(1.6, 2.8),
        )
        off = (y - shift - slope * x - bend * x * x) / rng.uniform(0.13, 0.22)
        chest.air[here] -= np.minimum(chest.air[here], 2.6 * np.exp(-off * off) * step(half - np.abs(x), 1.5))
    chest.air[here] *= 1 - 0.1 * np.exp(-((x / 2.8) ** 2) - (y / 1.6) ** 2)


def _angle(patient: Patient, sign: int) -> float:
    """y of the costophrenic angle."""
    return float(patient.dome(np.asarray(0.98 * sign * patient.width)))


def _height(finding: PhantomFinding) -> float:
    """How far an effusion reaches above the angle at the side wall, cm."""
    return (4.5, 7.5, 11.5)[finding.severity]


def _fluid(finding: PhantomFinding, patient: Patient, grid: Grid, chest: Chest, view: View, sign: int) -> None:
    """A free effusion with its meniscus, rising to the side wall (frontal) or to the back (lateral)."""
    if view == "frontal":
        out, floor_y, share = sign * grid.x / patient.width, _angle(patient, sign), step(sign * grid.x - 0.8, 1.6)
    else:
        top = patient.dome_left if sign > 0 else patient.dome_right
        behind = patient.half_depth(np.asarray(top + 2)) + patient.lean(np.asarray(top + 2))
        out, floor_y, share = grid.x / behind, float(floor(top, patient, behind)) - 0.5, np.asarray(0.5)
    climb = 0.25 + 0.75 * np.clip(out, 0, 1) ** 3.5
    chest.air[:] *= 1 - 0.97 * share * step(grid.y - (floor_y - _height(finding) * climb), 1.1)


def _free_air(finding: PhantomFinding, patient: Patient, grid: Grid, chest: Chest, sign: int) -> None:
    """Air round the collapsed lung: no vessels, darker, and the thin line of the visceral pleura."""
    gap = (1.6, 2.6, 4.0)[finding.severity]
    x, y = sign * grid.x, grid.y
    inner = patient.side_wall(np.maximum(y - 1.1 * gap, 0)) - gap * np.clip((24 - y) / 20, 0, 1)
    inside = np.minimum(inner - x, 0.8 * (y - 0.9 * gap - 0.25 * np.clip(5.2 - x, 0, 2.7) ** 2))  # cm within the pleura
    outside = step(-inside, 0.12) * (x > 1.5) * step(18 - y, 6)
    chest.vessels[:] *= 1 - outside
    chest.solid[:] -= (patient.lung_density + 0.03) * chest.air * outside
    line = np.exp(-((inside / 0.11) ** 2)) * step(chest.air, 4) * (x > 2.2) * step(17 - y, 5)
    chest.solid[:] += 0.9 * line


Line = tuple[Array, float, float]  # knots (n, 3), radius in cm, weight in cm of water per cm


def _device(finding: PhantomFinding, patient: Patient, sign: int) -> list[Line]:
    """A pacemaker with two leads, or a central venous catheter with its port; the housing comes first."""
    low, h = patient.dome_left - 22.3, patient.heart
    if finding.kind == "catheter":
        path = [(sign * 8.4, 5.2, 8), (sign * 7.6, 1.5, 6), (sign * 3.6, 1.4, 3), (-1.6, 4.4, 2), (-2.4, 9.5, 1)]
        hub = [(sign * 8.4 - 0.4, 5.2, 8), (sign * 8.4 + 0.4, 5.2, 8)]
        return [(np.array(hub, np.float32), 0.75, 5), (np.array(path, np.float32), 0.11, 9)]
    case = [(sign * 9.3 - 0.3, 4.9, 8), (sign * 9.3 + 0.3, 4.9, 8)]
    leads = [
        [(sign * 8.2, 4.4, 8), (sign * 9.6, 1.8, 6), (sign * 4.8, 1.5, 4), (-1.8, 4.6, 2), (-2.6, 11, 1), *end]
        for end in (
            [(-3.2 * h, 17.5 + low, 2), (-0.8, 15.5 + low, 4), (-1.6, 14.0 + low, 5)],
            [(-3.0 * h, 19.5 + low, 2), (0.8, 20.8 + low, 4), (4.6 * h, 20.4 + low, 6)],
        )
    ]
    return [(np.array(case, np.float32), 2.0, 12), *((np.array(lead, np.float32), 0.1, 12) for lead in leads)]


def _wire(knots: Array, radius: float, weight: float, pitch: float, view: View) -> Points:
    """A solid round bar along a smooth curve through the knots."""
    length = float(np.linalg.norm(np.diff(knots, axis=0), axis=1).sum())
    n = int(12 * (length + radius) * max(radius, pitch) / pitch**2)
    s, share, turn = (np.arange(n)[None, :] * np.array([[0.8191725], [0.6710436], [0.5497005]])) % 1  # evenly spread
    x, y, z = (smooth(s, knots[:, c].astype(np.float64)) for c in range(3))
    reach, turn = radius * np.sqrt(share), 2 * np.pi * turn
    across = x + reach * np.cos(turn) if view == "frontal" else -z + 0.2 * reach * np.cos(turn)
    volume = (length + radius) * 2 * radius * min(1.0, 2 * radius)
    return Points(across, y + reach * np.sin(turn), np.full(n, weight * volume / n))
