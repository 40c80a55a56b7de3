"""What only the server answers: its health, what it serves, a stored study, a map of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lingula.openi.collection import Refused
from lingula.plain import DISCLAIMER
from lingula.retrieval import Query
from lingula.retrieval.query import Unknown
from lingula.study import Mode, ShownFilm
from lingula.teaching.practice import Difficulty, OwnCalibration


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the server is in trouble: a stable code, words, a remedy."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at: ``database``, ``model``, ``disk``, ``spool``, ``reader``, ``queue``, ``drift``."""

    name: str
    status: Literal["ok", "warning", "trouble"]
    code: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether it is ready; with the reasons where it is not, and warnings, which keep it from nothing."""

    status: Literal["ready", "trouble"]
    version: str
    reasons: tuple[Reason, ...]
    warnings: tuple[Reason, ...]
    checks: tuple[HealthCheck, ...]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class About:
    """Which model and library answer; names of labels and methods by code."""

    version: str
    model: str
    library: str | None
    studies: int
    labels: Mapping[str, str]
    methods: Mapping[str, str]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as understood; ``left_out`` are words that no address may hold, ``study`` the one whose id it is."""

    query: Query
    understood: tuple[str, ...]
    not_understood: tuple[Unknown, ...]
    address: str
    left_out: tuple[str, ...]
    study: str | None
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class Refusals:
    """What could not be imported, and why."""

    refused: tuple[Refused, ...]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A study's films as a point of the plane, both coordinates in [-1, 1]."""

    study_id: str
    x: float
    y: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LibraryMap:
    """The library's films in the two directions in which their embeddings differ most; ``share`` of all variance."""

    share: float
    points: tuple[MapPoint, ...]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class ShownStudy:
    """A study of the library; ``labels`` is None where nobody coded it."""

    study_id: str
    films: tuple[ShownFilm, ...]
    report: str | None
    labels: tuple[str, ...] | None
    age: int | None
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class OwnThreshold:
    """At the label's own threshold, on a straight line between the nearest cuts."""

    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True, slots=True)
class LabelThresholds:
    """Sensitivity and specificity at each cut, and at the label's own threshold (``OwnThreshold``)."""

    sensitivity: tuple[float | None, ...]
    specificity: tuple[float | None, ...]
    own: OwnThreshold


@dataclass(frozen=True, slots=True)
class ThresholdCosts:
    """Sensitivity and specificity on validation at each cut, by label; None where validation cannot tell."""

    mode: Mode
    cuts: tuple[float, ...]
    labels: Mapping[str, LabelThresholds]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A film to say something of. Tick what it shows; nothing ticked says: none of these."""

    card_id: str
    films: tuple[str, ...]
    choices: Mapping[str, str]
    difficulty: Difficulty
    due: int
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class ShownVerdict:
    """What was right of an answer, and what the film's study is; ``due``: when it comes again, seconds since 1970."""

    right: bool
    answer: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]
    due: float
    study_id: str
    labels: tuple[str, ...]
    report: str | None
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class ShownFindingProgress:
    """How often films with a finding were answered, and how often right."""

    name: str
    seen: int
    right: int


@dataclass(frozen=True, slots=True)
class ShownProgress:
    """How practice goes, by finding and by how sure; how many films are due now, and by the end of the day."""

    due: int
    due_today: int
    findings: Mapping[str, ShownFindingProgress]
    calibration: OwnCalibration
    disclaimer: str = DISCLAIMER
