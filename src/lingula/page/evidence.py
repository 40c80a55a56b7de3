"""Explanations as the page shows them: layers over a film and marked copies of a report, one per slot of the chooser.

The chooser is radio buttons and static CSS: a slot is the number (from 1) of a label, of a map method or of a word
method, and the style sheet shows what carries the chosen slots. The sheet knows ``LABEL_SLOTS`` labels and
``METHOD_SLOTS`` methods; what lies beyond is left out of the chooser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lingula.explanation.typical_place import TYPICAL_PLACE, typical_places
from lingula.page.contour import outline
from lingula.page.methods import Method, in_order, method
from lingula.page.picture import OVERLAY_SIDES, Map, data_uri, display_scale, fit, overlay_png, shrink
from lingula.page.report_runs import ReportRun, runs, strongest
from lingula.study import Explanation, Report

LABEL_SLOTS, METHOD_SLOTS = 8, 5
OUTLINES = (0.05, 0.20)  # shares of the area, strongest first


@dataclass(frozen=True, slots=True)
class Choice:
    """One radio button."""

    slot: int
    name: str


@dataclass(frozen=True, slots=True)
class Slots:
    """Everything that can be chosen, and which explanation stands in a slot."""

    labels: tuple[str, ...]
    maps: tuple[Method, ...]
    words: tuple[Method, ...]
    names: Mapping[str, str]

    @property
    def label_choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(slot, name_of(code, self.names)) for slot, code in enumerate(self.labels, 1))

    @property
    def map_default(self) -> int:
        return _first(self.maps, "contribution")

    @property
    def word_default(self) -> int:
        return _first(self.words, "contribution")


@dataclass(frozen=True, slots=True)
class Layer:
    """One explanation over one film: a colour wash and two outlines."""

    label: int
    method: int
    uri: str
    outlines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """An explanation's place in the chooser; ``top`` is the value of full colour, None where nothing was scored."""

    label: int
    method: int
    label_name: str
    about: Method
    signed: bool
    top: float | None


@dataclass(frozen=True, slots=True)
class Legend(Slot):
    """How to read the map in a slot."""

    places: tuple[str, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Marked(Slot):
    """A report with the words of one explanation marked."""

    runs: tuple[ReportRun, ...]
    strongest: tuple[tuple[str, float], ...]


def name_of(code: str, names: Mapping[str, str]) -> str:
    return names.get(code) or code.replace("_", " ")


def drawable(explanations: Sequence[Explanation]) -> tuple[Explanation, ...]:
    """The same explanations with maps at the page's resolution (means over areas, so units stay) and no NaN."""
    return tuple(
        replace(e, maps=tuple(np.nan_to_num(shrink(values, OVERLAY_SIDES[0])) for values in e.maps))
        for e in explanations
    )


def slots_of(explanations: Sequence[Explanation], names: Mapping[str, str]) -> Slots:
    labels = tuple(dict.fromkeys(e.label for e in explanations))[:LABEL_SLOTS]
    with_maps = in_order({e.method for e in explanations if e.maps})[:METHOD_SLOTS]
    with_words = in_order({e.method for e in explanations if e.tokens})[:METHOD_SLOTS]
    return Slots(labels, tuple(map(method, with_maps)), tuple(map(method, with_words)), names)


def layers(
    explanations: Sequence[Explanation], film: int, size: tuple[int, int], slots: Slots, budget: float
) -> tuple[Layer, ...]:
    """The layers over one film (its row in the study), ``size`` (width, height) in the film's drawing units.

    ``explanations`` as ``drawable`` returns them.

    ``budget``: bytes that one colour wash may take.
    """
    found = []
    for label, _, number, _, explanation in _in_slots(explanations, slots, slots.maps):
        if explanation and film < len(explanation.maps):
            uri = _wash(explanation.maps[film], display_scale(explanation.maps), explanation.signed, budget)
            paths = tuple(outline(explanation.maps[film], share, *size) for share in OUTLINES)
            found.append(Layer(label, number, uri, paths))
    return tuple(found)


def _in_slots(
    explanations: Sequence[Explanation], slots: Slots, methods: Sequence[Method]
) -> Iterator[tuple[int, str, int, Method, Explanation | None]]:
    """Every pair of a label (its slot, its name) and a method (its slot, itself), with the explanation of both."""
    for label, code in enumerate(slots.labels, 1):
        for number, about in enumerate(methods, 1):
            yield label, name_of(code, slots.names), number, about, find(explanations, code, about.code)


def legends(explanations: Sequence[Explanation], slots: Slots) -> tuple[Legend, ...]:
    """One legend for every pair of label and map method, also where the map is missing."""
    found = []
    for label, name, number, about, explanation in _in_slots(explanations, slots, slots.maps):
        maps, signed = (explanation.maps, explanation.signed) if explanation else ((), False)
        top = display_scale(maps) if maps else None
        marks = trust_marks(explanation) if explanation else ()
        found.append(Legend(label, number, name, about, signed, top, tuple(map(place, maps)), marks))
    return tuple(found)


def trust_marks(explanation: Explanation) -> tuple[str, ...]:
    """What is known of how far an explanation can be trusted, in short sentences."""
    if explanation.method == TYPICAL_PLACE:
        return (f"Boxes on {typical_places()[explanation.label].films} other films. This film was not looked at.",)
    marks = []
    if (error := explanation.completeness_error) is not None and np.isfinite(error):
        marks.append(
            f"Adds up to within {error:.1%} of the score." if error >= 5e-4 else "Adds up to the score exactly."
        )
    if explanation.pointing or explanation.maps:
        marks.append(pointing_mark(explanation))
    if (trust := explanation.trust) is None:
        return (*marks, "Not tested with this model.")
    alike = f"likeness {trust.randomisation:.2f}, two films {trust.randomisation_pairs:.2f}"
    marks.append(
        f"Changes when the model forgets what it learned ({alike})."
        if trust.randomisation <= trust.randomisation_pairs
        else f"Fails the randomisation test: stays alike when the model forgets what it learned ({alike})."
    )
    better = trust.deletion < trust.deletion_random and trust.insertion > trust.insertion_random
    areas = f"deletion {trust.deletion:.3f} against {trust.deletion_random:.3f}, "
    areas += f"insertion {trust.insertion:.3f} against {trust.insertion_random:.3f}"
    marks.append(f"{'Finds' if better else 'Does not find'} what moves the score better than chance ({areas}).")
    return tuple(marks)


def pointing_mark(explanation: Explanation) -> str:
    """Whether the maps of its finding point at it, in one sentence."""
    told = explanation.pointing
    if told is None:
        return "Whether its map points at the finding was not measured: no films with boxes of it were at hand."
    sentence = (
        f"on {told.films} films with boxes its strongest place lay in a box in {told.share:.0%} "
        f"(a blind point: {told.area:.0%}; the mean of such boxes: {told.typical:.0%})."
    )
    return (
        f"{sentence[0].upper()}{sentence[1:]}"
        if told.localisable
        else f"Cannot be localised by this method: {sentence}"
    )


def marked(report: Report, explanations: Sequence[Explanation], slots: Slots) -> tuple[Marked, ...]:
    """One marked report for every pair of label and word method; unmarked where nothing was scored."""
    found = []
    for label, name, number, about, explanation in _in_slots(explanations, slots, slots.words):
        tokens, signed = (explanation.tokens, explanation.signed) if explanation else ((), False)
        words = strongest(report, tokens)
        top = abs(words[0][1]) if words else None
        found.append(Marked(label, number, name, about, signed, top, runs(report, tokens), words))
    return tuple(found)


def find(explanations: Sequence[Explanation], label: str, code: str) -> Explanation | None:
    return next((e for e in explanations if e.label == label and e.method == code), None)


def place(values: Map) -> str:
    """Where a map is strongest, in thirds of the picture as seen; empty where nothing is positive."""
    values = np.maximum(values, 0)
    if not values.any():
        return ""
    thirds = [np.array_split(part, 3, axis=1) for part in np.array_split(values, 3, axis=0)]
    means = [[float(cell.mean()) if cell.size else 0.0 for cell in part] for part in thirds]
    row, column = divmod(int(np.argmax(means)), 3)
    if row == column == 1:
        return "centre of the picture"
    height, side = ("upper", "middle", "lower")[row], ("left side", "midline", "right side")[column]
    return f"{height} third, {side} of the picture"


def _wash(values: Map, scale: float, signed: bool, budget: float) -> str:
    png = fit(lambda side: overlay_png(values, side, scale=scale, signed=signed), OVERLAY_SIDES, budget)
    return data_uri(png)


def _first(methods: Sequence[Method], wanted: str) -> int:
    """Slot of the wanted method, else the first; 0 where there is none."""
    codes = [about.code for about in methods]
    return codes.index(wanted) + 1 if wanted in codes else min(len(codes), 1)
