"""What a phantom study shows: kinds of findings, their MeSH terms, how they change the patient's shape.

A finding is planted at a place given by side and zone; the same finding has the same terms, the same place in both
projections and the same bounding boxes. MeSH terms are written as the Open-i coders write them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lingula_phantom.anatomy import Break, Patient

Side = Literal["", "left", "right", "bilateral"]

DEGREES = ("mild", "moderate", "severe")
SIZES = ("small", "moderate", "large")
ZONES = {"upper lobe": (0.6, 0.3), "middle lobe": (0.5, 0.72), "lingula": (0.55, 0.74), "lower lobe": (0.62, 0.83),
         "base": (0.6, 0.9), "apex": (0.48, 0.13)}  # share of the half width, of the height above the dome  # fmt: skip
DEPTHS = {"middle lobe": 4.0, "lingula": 5.0, "lower lobe": -4.0, "base": -2.0}  # z, cm; others in the middle


@dataclass(frozen=True, slots=True)
class PhantomFinding:
    """One thing to see.

    Attributes:
        kind: one of ``KINDS``.
        side: empty where a side means nothing.
        zone: key of ``ZONES``, or empty.
        severity: 0 mild or small, 1 moderate, 2 severe or large.
        seed: of its shape and exact place.
    """

    kind: str
    side: Side = ""
    zone: str = ""
    severity: int = 1
    seed: int = 0

    @property
    def signs(self) -> tuple[int, ...]:
        """-1 for the patient's right (image left), 1 for the left."""
        return {"": (), "left": (1,), "right": (-1,), "bilateral": (-1, 1)}[self.side]

    def terms(self) -> tuple[str, ...]:
        """MeSH terms with qualifiers."""
        words = {"side": self.side, "size": SIZES[self.severity], "degree": DEGREES[self.severity], "zone": self.zone}
        found = tuple(term.format(**words) for term in KINDS[self.kind].terms)
        return tuple(term.replace("/lingula/left", "/lingula") for term in found)

    def place(self, patient: Patient, sign: int) -> tuple[float, float, float]:
        """(x, y, z) of its middle, cm."""
        rng = np.random.default_rng((self.seed, sign + 1))
        across, down = ZONES[self.zone or "lower lobe"]
        dome = patient.dome_left if sign > 0 else patient.dome_right
        y = dome * (down + rng.uniform(-0.03, 0.03))
        x = sign * float(patient.side_wall(np.asarray(y))) * (across + rng.uniform(-0.06, 0.06))
        return x, y, DEPTHS.get(self.zone, 0.0) + rng.uniform(-1, 1)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a finding is coded and where it can be.

    Attributes:
        terms: patterns of MeSH terms. sides, zones: to draw from. ages: of patients who have it.
        excludes: kinds that cannot come with it.
    """

    terms: tuple[str, ...]
    sides: tuple[Side, ...] = ("",)
    zones: tuple[str, ...] = ("",)
    ages: tuple[int, int] = (18, 88)
    excludes: tuple[str, ...] = ()


_ONE: tuple[Side, ...] = ("left", "right")
_ANY: tuple[Side, ...] = ("left", "right", "bilateral")
_LOBES = ("upper lobe", "lower lobe", "middle lobe")  # "middle lobe" of a left lung is its lingula

KINDS = {
    "cardiomegaly": Kind(("Cardiomegaly/{degree}",), ages=(40, 88), excludes=("hyperinflation",)),
    "effusion": Kind(("Pleural Effusion/{side}/{size}",), _ANY, excludes=("elevated_diaphragm",)),
    "pneumothorax": Kind(("Pneumothorax/apex/{side}/{size}",), _ONE),
    "airspace_disease": Kind(("Airspace Disease/lung/{zone}/{side}",), _ONE, (*_LOBES, "base"), excludes=("opacity",)),
    "opacity": Kind(("Opacity/lung/{zone}/{side}/{degree}",), _ONE, (*_LOBES, "base")),
    "nodule": Kind(("Nodule/lung/{zone}/{side}",), _ONE, _LOBES, (40, 88)),
    "granuloma": Kind(("Calcified Granuloma/lung/{zone}/{side}",), _ONE, _LOBES),
    "atelectasis": Kind(("Pulmonary Atelectasis/base/{side}/{degree}",), _ANY, ("base",)),
    "hyperinflation": Kind(
        ("Lung/hyperdistention/{degree}", "Emphysema/{degree}", "Diaphragm/bilateral/flattened"), ages=(50, 88),
        excludes=("hypoinflation", "elevated_diaphragm"),
    ),
    "hypoinflation": Kind(("Lung/hypoinflation/{degree}",)),
    "elevated_diaphragm": Kind(("Diaphragm/{side}/elevated",), _ONE),
    "congestion": Kind(("Pulmonary Congestion/{degree}",), ages=(50, 88), excludes=("hyperinflation",)),
    "tortuous_aorta": Kind(("Aorta/tortuous/{degree}",), ages=(55, 88)),
    "scoliosis": Kind(("Scoliosis/thoracic vertebrae/{side}/{degree}",), _ONE),
    "degenerative_spine": Kind(("Thoracic Vertebrae/degenerative/{degree}",), ages=(50, 88)),
    "rib_fracture": Kind(("Fractures, Bone/ribs/{side}/healed",), _ONE),
    "pacemaker": Kind(("Implanted Medical Device/{side}",), _ONE, ages=(55, 88)),
    "catheter": Kind(("Catheters, Indwelling/{side}",), _ONE),
}  # fmt: skip


def sample(kind: str, rng: np.random.Generator) -> PhantomFinding:
    rules = KINDS[kind]
    side, zone = rules.sides[rng.integers(len(rules.sides))], rules.zones[rng.integers(len(rules.zones))]
    if zone == "middle lobe" and side == "left":
        zone = "lingula"
    return PhantomFinding(kind, side, zone, int(rng.choice(3, p=(0.4, 0.4, 0.2))), int(rng.integers(2**31)))


def reshape(patient: Patient, finding: PhantomFinding) -> Patient:
    """The patient with what the finding changes of heart, aorta, lungs, diaphragm, spine and ribs."""
    s = finding.severity
    match finding.kind:
        case "cardiomegaly":
            return replace(patient, heart=patient.heart * (1.24, 1.4, 1.56)[s])
        case "hyperinflation":
            rise, depth = 1.5 + 0.5 * s, patient.depth * (1.1 + 0.05 * s)
            return replace(patient, dome_right=patient.dome_right + rise, dome_left=patient.dome_left + rise - 0.2,
                           dome_curve=0.4 - 0.12 * s, width=patient.width * 1.02, depth=depth,
                           heart=patient.heart * 0.87, lung_density=0.15 - 0.02 * s, vessels=0.85)  # fmt: skip
        case "hypoinflation":
            drop = 2.6 + 0.9 * s
            return replace(patient, dome_right=patient.dome_right - drop, dome_left=patient.dome_left - drop,
                           vessels=patient.vessels * 1.12, lung_density=patient.lung_density + 0.04)  # fmt: skip
        case "elevated_diaphragm":
            return replace(
                patient, **{f"dome_{finding.side}": getattr(patient, f"dome_{finding.side}") - 3.0 - 0.8 * s}
            )
        case "congestion":
            return replace(
                patient, vessels=patient.vessels * (1.3 + 0.15 * s), lung_density=patient.lung_density + 0.05 + 0.03 * s
            )
        case "tortuous_aorta":
            return replace(patient, aorta=patient.aorta * (1.25 + 0.1 * s))
        case "scoliosis":
            return replace(patient, scoliosis=finding.signs[0] * (1.9 + 0.9 * s))
        case "degenerative_spine":
            return replace(patient, osteophytes=0.45 + 0.27 * s)
        case "rib_fracture":
            rng = np.random.default_rng(finding.seed)
            first = int(rng.integers(3, 7))
            broken = (
                Break(finding.signs[0], first + i, float(rng.uniform(0.8, 1.1))) for i in range(finding.severity + 1)
            )
            return replace(patient, breaks=(*patient.breaks, *broken))
        case _:
            return patient
