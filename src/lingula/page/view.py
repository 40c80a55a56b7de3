"""What the templates draw, made from an Analysis: plain values, no images left to encode, nothing left to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lingula.openi.published import published
from lingula.page.evidence import (
    Layer,
    Legend,
    Marked,
    Slots,
    drawable,
    layers,
    legends,
    marked,
    name_of,
    pointing_mark,
    slots_of,
)
from lingula.page.methods import Method, in_order, method
from lingula.page.picture import CASE_SIDES, FILM_SIDES, data_uri, film_png, fit, legend_png
from lingula.page.report_runs import ReportRun, pieces, runs
from lingula.page.sentence import Phrase, sentence
from lingula.study import (
    NORMAL,
    Analysis,
    Explanation,
    Neighbour,
    Prediction,
    Radiograph,
    Report,
    Study,
    front_row,
    unique_notices,
)

CASES = 5  # similar cases shown

# Bytes of PNG by kind; base64 takes a third more, and the page must stay below 3 MB.
_FILM_BYTES, _CASE_BYTES, _WASH_BYTES, _CASE_WASH_BYTES = 1_050_000, 360_000, 420_000, 140_000
_UNITS = 1000  # a film's long side in drawing units


@dataclass(frozen=True, slots=True)
class FilmView:
    """A radiograph to look at; width and height in drawing units, rows and columns in its own pixels."""

    number: int
    radiograph: Radiograph
    uri: str
    width: int
    height: int
    layers: tuple[Layer, ...]

    @property
    def rows(self) -> int:
        return int(self.radiograph.pixels.shape[0])

    @property
    def columns(self) -> int:
        return int(self.radiograph.pixels.shape[1])

    @property
    def view_name(self) -> str:
        return _VIEW_NAMES[self.radiograph.view]


_VIEW_NAMES = {"frontal": "Frontal", "lateral": "Lateral", "unknown": "View unknown"}


@dataclass(frozen=True, slots=True)
class FindingView:
    """A row of the findings table; ``slot`` is the label's place in the chooser, 0 where it was not explained."""

    prediction: Prediction
    slot: int

    @property
    def decision_name(self) -> str:
        return self.prediction.words.capitalize()


@dataclass(frozen=True, slots=True)
class CaseView:
    """A similar case: its film and report where known, and its labels against the findings present in the query."""

    neighbour: Neighbour
    film: FilmView | None
    film_count: int
    shared: tuple[str, ...]
    only_here: tuple[str, ...]
    missing: tuple[str, ...]
    report: tuple[ReportRun, ...]
    marked: tuple[Marked, ...]
    link: str
    snippet: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """How exact one explanation is."""

    method: str
    label: str
    error: float


DOUBTS = ("not_a_chest_film", "unlike_training_films", "polarity_suspect")
"""Warnings that decide whether an answer can be trusted at all: they stand before it."""


@dataclass(frozen=True, slots=True)
class View:
    """The whole page; ``unplaced`` names evidence whose maps are not drawn, as they point nowhere, and says so."""

    analysis: Analysis
    films: tuple[FilmView, ...]
    slots: Slots
    legends: tuple[Legend, ...]
    strips: Mapping[bool, str]
    report: tuple[ReportRun, ...]
    marked: tuple[Marked, ...]
    normal: tuple[FindingView, ...]
    present: tuple[FindingView, ...]
    unsure: tuple[FindingView, ...]
    absent: tuple[FindingView, ...]
    unjudged: tuple[FindingView, ...]
    sentence: tuple[Phrase, ...]
    doubts: tuple[str, ...]
    warnings: tuple[str, ...]
    cases: tuple[CaseView, ...]
    methods: tuple[Method, ...]
    notes: tuple[Note, ...]
    unplaced: tuple[str, ...]


def view_of(
    analysis: Analysis,
    neighbour_studies: Mapping[str, Study],
    neighbour_explanations: Mapping[str, tuple[Explanation, ...]],
    names: Mapping[str, str],
) -> View:
    """What is drawn."""
    study, explanations = analysis.study, drawable(analysis.explanations)
    slots = slots_of(explanations, names)
    report = study.report if study.report and study.report.text.strip() else None
    every = _findings(analysis.predictions, slots)
    findings = [f for f in every if f.prediction.label != NORMAL]
    present = tuple(p.label for p in analysis.predictions if p.flagged)
    shown = sorted(analysis.neighbours, key=lambda n: n.rank)[:CASES]
    case = partial(_case, present=present, slots=slots)
    notices = unique_notices((*analysis.notices, *study.all_notices))
    return View(
        analysis=analysis,
        films=_films(study, explanations, slots),
        slots=slots,
        legends=legends(explanations, slots),
        strips={signed: data_uri(legend_png(signed=signed)) for signed in (False, True)},
        report=runs(report) if report else (),
        marked=marked(report, explanations, slots) if report else (),
        normal=tuple(f for f in every if f.prediction.label == NORMAL),
        present=tuple(f for f in findings if f.prediction.decision == "present"),
        unsure=tuple(f for f in findings if f.prediction.decision == "abstain"),
        absent=tuple(f for f in findings if f.prediction.decision == "absent"),
        unjudged=tuple(f for f in findings if f.prediction.decision == "cannot_judge"),
        sentence=sentence(analysis.predictions, report),
        doubts=tuple(notice.message for notice in notices if notice.code in DOUBTS),
        warnings=tuple(dict.fromkeys(notice.message for notice in notices if notice.code not in DOUBTS)),
        cases=tuple(
            case(n, neighbour_studies.get(n.study_id), neighbour_explanations.get(n.study_id, ())) for n in shown
        ),
        methods=tuple(map(method, in_order({e.method for e in explanations if e.maps or e.tokens}))),
        notes=_notes(explanations, names),
        unplaced=tuple(
            f"{name_of(e.label, names)}, {method(e.method).name}: {pointing_mark(e)}"
            for e in explanations
            if e.localisable is False and not e.maps
        ),
    )


def _findings(predictions: Sequence[Prediction], slots: Slots) -> list[FindingView]:
    ranked = sorted(predictions, key=lambda p: (-p.probability, p.label))
    return [FindingView(p, slots.labels.index(p.label) + 1 if p.label in slots.labels else 0) for p in ranked]


def _films(study: Study, explanations: Sequence[Explanation], slots: Slots) -> tuple[FilmView, ...]:
    count = max(len(study.radiographs), 1)
    wash = _WASH_BYTES / max(count * len(slots.labels) * len(slots.maps), 1)
    return tuple(
        _film(study, row, explanations, slots, FILM_SIDES, _FILM_BYTES / count, wash)
        for row in range(len(study.radiographs))
    )


def _film(
    study: Study,
    row: int,
    explanations: Sequence[Explanation],
    slots: Slots,
    sides: Sequence[int],
    budget: float,
    wash: float,
) -> FilmView:
    radiograph = study.radiographs[row]
    rows, columns = radiograph.pixels.shape
    unit = _UNITS / max(rows, columns)
    width, height = max(1, round(columns * unit)), max(1, round(rows * unit))
    uri = data_uri(fit(partial(film_png, radiograph.pixels), sides, budget))
    return FilmView(row + 1, radiograph, uri, width, height, layers(explanations, row, (width, height), slots, wash))


def _case(
    neighbour: Neighbour,
    study: Study | None,
    explanations: Sequence[Explanation],
    *,
    present: Sequence[str],
    slots: Slots,
) -> CaseView:
    names = partial(name_of, names=slots.names)
    explanations = drawable(explanations)
    report = neighbour.report or (study.report if study else None) or Report("", ())
    scored = any(e.tokens for e in explanations)
    film = _case_film(study, explanations, slots) if study and study.radiographs else None
    return CaseView(
        neighbour=neighbour,
        film=film,
        film_count=len(study.radiographs) if study else len(neighbour.image_ids),
        shared=tuple(names(code) for code in neighbour.labels if code in present),
        only_here=tuple(names(code) for code in neighbour.labels if code not in present),
        missing=tuple(names(code) for code in present if code not in neighbour.labels),
        report=runs(report),
        marked=marked(report, explanations, slots) if scored else (),
        link=published(neighbour.study_id, neighbour.image_ids),
        snippet=pieces(neighbour),
    )


def _case_film(study: Study, explanations: Sequence[Explanation], slots: Slots) -> FilmView:
    """The study's first film that is not a lateral, else its first."""
    row = front_row(film.view for film in study.radiographs) or 0
    wash = _CASE_WASH_BYTES / max(CASES * len(slots.labels) * len(slots.maps), 1)
    return _film(study, row, explanations, slots, CASE_SIDES, _CASE_BYTES / CASES, wash)


def _notes(explanations: Sequence[Explanation], names: Mapping[str, str]) -> tuple[Note, ...]:
    measured = ((e, e.completeness_error) for e in explanations)
    return tuple(
        Note(method(e.method).name, name_of(e.label, names), error)
        for e, error in measured
        if error is not None and np.isfinite(error)
    )
