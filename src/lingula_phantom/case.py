"""A phantom study: a patient, what is found, and its radiographs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np

from lingula_phantom import film, findings, lesions
from lingula_phantom.anatomy import Patient
from lingula_phantom.film import Array, Grid
from lingula_phantom.findings import KINDS, PhantomFinding
from lingula_phantom.frontal import frontal
from lingula_phantom.lateral import lateral

Box = tuple[int, int, int, int]

LONG_SIDE, SHORT_SIDE = 43.0, 35.0  # cm, the common cassette
MIDDLE = 12.0  # y of the film's centre, cm
MARGIN = 0.03  # of the long side, drawn but cut off after turning


@dataclass(frozen=True, slots=True)
class PhantomCase:
    """One study.

    Attributes:
        number: study number in the collection.
        patient: as healthy; ``shaped`` is the patient with the findings.
        findings: none for a normal study.
    """

    number: int
    patient: Patient
    findings: tuple[PhantomFinding, ...] = ()

    @property
    def shaped(self) -> Patient:
        return reduce(findings.reshape, self.findings, self.patient)

    @property
    def terms(self) -> tuple[str, ...]:
        """MeSH coding, ``("normal",)`` where there is nothing to find."""
        return tuple(dict.fromkeys(term for finding in self.findings for term in finding.terms())) or ("normal",)

    def boxes(self, finding: PhantomFinding, long_side: int = 512) -> tuple[Box, ...]:
        """Bounding boxes (x, y, width, height) of a finding in the pixels of ``draw_frontal``.

        One a side; none for findings that are nowhere in particular (inflation, spine, aorta).
        """
        grid, margin = _grid(self.patient, long_side, self.patient.landscape)
        rows, columns = grid.rows - 2 * margin, grid.columns - 2 * margin
        cos, sin = (f(math.radians(self.patient.tilt)) for f in (math.cos, math.sin))
        found = []
        for left, top, right, bottom in lesions.extents(finding, self.shaped):
            x = [(at - grid.left) / grid.pitch - (grid.columns - 1) / 2 for at in (left, right)]
            y = [(at - grid.top) / grid.pitch - (grid.rows - 1) / 2 for at in (top, bottom)]
            turned = [(cos * a - sin * b, sin * a + cos * b) for a in x for b in y]
            low, high = np.min(turned, axis=0), np.max(turned, axis=0)
            x0, x1 = (int(np.clip(at + (columns - 1) / 2, 0, columns)) for at in (low[0], high[0] + 1))
            y0, y1 = (int(np.clip(at + (rows - 1) / 2, 0, rows)) for at in (low[1], high[1] + 1))
            found.append((x0, y0, x1 - x0, y1 - y0))
        return tuple(found)


def sample_case(number: int, rng: np.random.Generator, primary: str | None) -> PhantomCase:
    """A patient with ``primary`` and, at times, one or two more findings; a normal study for None."""
    if primary is None:
        return PhantomCase(number, Patient.sample(rng))
    kinds = [primary]
    while len(kinds) < 3 and rng.random() < 0.35:
        other = list(KINDS)[rng.integers(len(KINDS))]
        if not any(other == kind or other in KINDS[kind].excludes or kind in KINDS[other].excludes for kind in kinds):
            kinds.append(other)
    ages = (max(KINDS[kind].ages[0] for kind in kinds), 88)
    return PhantomCase(number, Patient.sample(rng, ages), tuple(findings.sample(kind, rng) for kind in kinds))


def draw_frontal(case: PhantomCase, rng: np.random.Generator, long_side: int = 512) -> Array:
    """The frontal radiograph: (rows, columns) float32 in [0, 1], dense tissue bright.

    With equal generators, cases that differ in findings alone differ in nothing else: same patient, vessels, noise.
    """
    return _draw(case, rng, long_side, "frontal")


def draw_lateral(case: PhantomCase, rng: np.random.Generator, long_side: int = 512) -> Array:
    """The lateral radiograph, the patient looking left; see ``draw_frontal``."""
    return _draw(case, rng, long_side, "lateral")


def _draw(case: PhantomCase, rng: np.random.Generator, long_side: int, view: lesions.View) -> Array:
    patient = case.shaped
    grid, margin = _grid(patient, long_side, patient.landscape and view == "frontal")
    anatomy_rng, noise_rng = rng.spawn(2)
    chest = (frontal if view == "frontal" else lateral)(patient, grid, anatomy_rng)
    for finding in case.findings:
        lesions.draw(finding, patient, grid, chest, view)
    water = film.rotate(chest.water(patient.lung_density), patient.tilt, margin)
    image = film.develop(film.expose(water, noise_rng, patient.quanta, grid.pitch), patient.contrast, grid.pitch)
    film.mark(image, grid.pitch, (image.shape[1] * grid.pitch - 4.0, 1.5))
    return image


def _grid(patient: Patient, long_side: int, landscape: bool) -> tuple[Grid, int]:
    """The film with its margin, and the margin in pixels."""
    pitch, margin = LONG_SIDE / long_side / patient.scale, round(MARGIN * long_side)
    short = round(long_side * SHORT_SIDE / LONG_SIDE)
    rows, columns = (short, long_side) if landscape else (long_side, short)
    left, top = -pitch * (columns - 1) / 2 + patient.shift_x, MIDDLE - pitch * (rows - 1) / 2 + patient.shift_y
    return Grid(left - margin * pitch, top - margin * pitch, pitch, rows + 2 * margin, columns + 2 * margin), margin
