"""What is written back of one study, and what every object of it shares: identifiers, maker, statement of use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lingula import __version__
from lingula.labels.vocabulary import Vocabulary
from lingula.node.kinds import Kind
from lingula.node.region import EvidenceBox
from lingula.node.source_film import SourceFilm
from lingula.study import DISCLAIMER, Analysis, Prediction

MANUFACTURER, MODEL_NAME = "lingula", "lingula node"
SERIES_NUMBERS: dict[Kind, int] = {"sr": 9001, "gsps": 9002, "sc": 9003, "seg": 9004, "ko": 9005, "pdf": 9006}
NAMES: dict[Kind, str] = {
    "sr": "lingula findings (report)",
    "gsps": "lingula evidence (presentation)",
    "sc": "lingula findings (picture)",
    "seg": "lingula evidence (segments)",
    "ko": "lingula flagged films",
    "pdf": "lingula findings (document)",
}


def made_uid(*parts: str) -> str:
    """``2.25.`` and a number of 122 bits from a digest of the parts (PS3.5 section B.2): equal parts, equal UID."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16]) >> 6}"


@dataclass(frozen=True, eq=False)
class StudyResult:
    """One answer with the films it is about.

    Attributes:
        films: in the order of ``analysis.study.radiographs``.
        boxes: where evidence can be localised.
    """

    analysis: Analysis
    films: tuple[SourceFilm, ...]
    boxes: tuple[EvidenceBox, ...]
    vocabulary: Vocabulary

    @cached_property
    def source(self) -> str:
        """What the films are by their UIDs, in whatever order they came."""
        return "\0".join(sorted(film.sop_instance for film in self.films))

    def uid(self, kind: Kind, *parts: str) -> str:
        """The identifier of an object: the same films, checkpoint and kind are the same object."""
        return made_uid("object", self.source, self.analysis.model, kind, *parts)

    def series_uid(self, kind: Kind) -> str:
        """A series for each study, checkpoint and kind."""
        return made_uid("series", self.films[0].study_instance, self.analysis.model, kind)

    @property
    def flagged(self) -> tuple[Prediction, ...]:
        """Abnormal findings that stand out, the most probable first."""
        abnormal = [p for p in self.analysis.predictions if p.label != self.vocabulary.normal]
        return tuple(sorted((p for p in abnormal if p.decision == "present"), key=lambda p: -p.probability))

    @property
    def doubtful(self) -> tuple[Prediction, ...]:
        """Findings of which the model is not sure."""
        return tuple(p for p in self.analysis.predictions if p.decision == "abstain")

    def lines(self) -> list[str]:
        """The answer in short lines: findings, and why there are none."""
        if not self.analysis.predictions:
            return ["No findings are given: not a chest radiograph by its look."]
        placed = {box.label for box in self.boxes}
        lines = [f"{said(p)}{'' if p.label in placed else ', no place told'}" for p in self.flagged]
        unjudged = [p.name for p in self.analysis.predictions if p.decision == "cannot_judge"]
        calm = "No finding that can be judged stands out." if unjudged else "No finding stands out."
        told = [f"Cannot be judged from such a film: {', '.join(unjudged)}."] if unjudged else []
        return [*(lines or [calm]), *told]

    def maker(self, kind: Kind) -> dict[str, Any]:
        """Arguments that highdicom's classes share: series, and what made the object."""
        return {
            "series_instance_uid": self.series_uid(kind),
            "series_number": SERIES_NUMBERS[kind],
            "series_description": NAMES[kind],
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": [__version__, f"model {self.analysis.model}"],
            "device_serial_number": self.analysis.model,
        }


def said(prediction: Prediction) -> str:
    """Name and probability of a finding."""
    between = prediction.interval
    spread = f" ({between[0]:.2f} to {between[1]:.2f})" if between else ""
    return f"{prediction.name} {prediction.probability:.2f}{spread}"


def statement(model: str) -> str:
    """What stands in and on every object."""
    return f"{DISCLAIMER} Made by lingula {__version__}, model {model}."
