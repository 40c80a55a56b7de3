"""A query's findings as conditions on records, and how well each study meets them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.labels import FOUND, Assertion
from lingula.labels.assertion_rules import Polarity, places_within
from lingula.labels.assertions import STRENGTH, denies
from lingula.labels.findings import label_meaning, label_of
from lingula.library.catalogue import Roster, Rows
from lingula.library.conditions import Aged, AnyOf, Asserts, Coded, Condition, Labelled, Not, Reported, Says, Shows
from lingula.library.record import LibraryDescription, StudyRecord, Summary
from lingula.library.vectors import Comparison
from lingula.retrieval.query import Query, Wanted
from lingula.study import Mode, Study

T = TypeVar("T")
CERTAIN, LIKELY, CODED, DENIED, SILENT = 1.0, 0.75, 0.5, 1.0, 0.8
"""How far a study meets what is asked of a finding: reported as present or likely, or coded only; reported as absent,
or not spoken of."""


TOLD = ("findings", "impression")
"""Sections that assert; the others say why a film was taken."""


class Searched(Protocol):
    """What can be asked: a ``Library``, or the gallery that ships with a checkpoint."""

    @property
    def about(self) -> LibraryDescription: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def has_texts(self) -> bool: ...
    def __len__(self) -> int: ...
    def held(self) -> AbstractContextManager[None]: ...
    def matching(self, *conditions: Condition) -> Set[str]: ...
    def summaries(self, study_ids: Collection[str], /) -> dict[str, Summary]: ...
    def assertions(self, study_ids: Collection[str], /) -> dict[str, tuple[Assertion, ...]]: ...
    def vectors(self, study_ids: Collection[str], /, mode: Mode = ...) -> dict[str, npt.NDArray[np.float32]]: ...
    @property
    def roster(self) -> Roster: ...
    def compared(self, roster: Roster, vector: npt.NDArray[np.float32], /, *, mode: Mode) -> Comparison: ...
    def numbers(
        self, kind: Hashable, roster: Roster, rows: Rows, make: Callable[[list[str]], npt.NDArray[np.float64]], /
    ) -> npt.NDArray[np.float64]: ...
    def remembered(
        self, kind: Hashable, study_ids: Collection[str], read: Callable[[Collection[str]], dict[str, T]], /
    ) -> dict[str, T]: ...
    def nearest(
        self, vector: npt.NDArray[np.float32], /, *, mode: Mode, k: int, exclude: Collection[str],
        within: Collection[str] | None,
    ) -> tuple[tuple[str, float], ...]: ...  # fmt: skip
    def get(self, study_id: str, /) -> StudyRecord: ...
    def birth_key(self, birth_date: str, /) -> str: ...
    def ids_of(self, study: Study, /) -> frozenset[str]: ...
    def holding(self, study: Study, /) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What the model makes of a study that nobody reported or coded.

    Attributes:
        probabilities: image embeddings (N, D) to calibrated probabilities (N, L), in the order of ``labels``.
        thresholds: (L,), from which a probability counts as present.
    """

    labels: tuple[str, ...]
    thresholds: npt.NDArray[np.floating]
    probabilities: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]

    def of(self, library: Searched, study_ids: Collection[str]) -> dict[str, dict[str, tuple[float, bool]]]:
        """By study and label, the probability and whether it counts as present."""
        vectors = library.vectors(study_ids, "image")
        if not vectors:
            return {}
        rows = self.probabilities(np.stack(list(vectors.values())))
        return {
            study: {
                label: (float(p), bool(p >= cut))
                for label, p, cut in zip(self.labels, row, self.thresholds, strict=True)
            }
            for study, row in zip(vectors, rows, strict=True)
        }


@dataclass(frozen=True, slots=True)
class MatchingStudies:
    """Which studies may answer, and what their findings and words are worth.

    Attributes:
        allowed: ids of the studies that meet every condition; None when there is none, so that all may answer.
        labels: how far a study meets what is asked of findings, (0, 1], the mean over them; empty when none is asked.
        words: the share of the query's words its report holds; 0 where left out.
        predicted: by study that nobody reported or coded, what the model makes of it (see ``Judge.of``).
        relaxed: what was asked for and nothing meets together with the rest; it ranks, and is no condition.
    """

    allowed: Set[str] | None
    labels: Mapping[str, float]
    words: Mapping[str, float]
    predicted: Mapping[str, Mapping[str, tuple[float, bool]]]
    relaxed: tuple[str, ...] = ()


def matching_studies(
    library: Searched, query: Query, judge: Judge | None, sentence: Mapping[str, float] | None = None
) -> MatchingStudies:
    """Hold a library's studies against a query; those that nobody reported or coded by ``judge``, if there is one.

    Args:
        sentence: by label, its probability in the query's text read as a report. Then studies that nobody reported are
            ranked by how well they fit it, where the query is a sentence or no study meets its several findings.
    """
    filters: list[Condition] = [Labelled(label) for label in query.labels]
    if query.view:
        filters.append(Shows(query.view))
    if query.age and not ages_unknown(library, query):
        filters.append(Aged(*query.age))
    if not query.wanted:
        allowed = library.matching(*filters) if filters else None
        return MatchingStudies(allowed, {}, _words(library, query.words, allowed), {})
    nobody = library.matching(*filters, Not(Reported()), Not(Coded()))
    reported = library.matching(*filters, *_findings(query)) - nobody
    predicted = judge.of(library, nobody) if judge and _can_be_predicted(query, judge) else {}
    judged = {study: mark for study, said in predicted.items() if (mark := _foreseen(query, said)) is not None}
    several = len(query.present) + bool(query.either) > 1 and not query.uncertain
    relaxes = several and not reported and not judged
    if sentence and judge and nobody and (query.is_sentence or relaxes):
        predicted = predicted or judge.of(library, nobody)
        judged, relaxes = _fits(predicted, sentence, judge.labels), several and not reported
    if relaxes:
        matches = _relaxed(library, query, filters)
    else:
        matches = MatchingStudies(reported, _marks(library, query, reported), {}, {})
    matches = replace(matches, words=_words(library, query.words, matches.allowed))
    if not judged:
        return matches
    return replace(
        matches, allowed=(matches.allowed or frozenset()) | judged.keys(), labels={**matches.labels, **judged},
        predicted={study: predicted[study] for study in judged},
    )  # fmt: skip


def _marks(library: Searched, query: Query, reported: Set[str]) -> dict[str, float]:
    """How far reported or coded studies meet what is asked of findings."""
    marks: list[Mapping[str, float]] = []
    for wanted in query.present:
        marks.append(_present(library, wanted))
    if query.either:
        each = [_present(library, wanted) for wanted in query.either]
        marks.append({study: max(one.get(study, 0) for one in each) for one in each for study in one})
    for wanted in query.absent:
        marks.append(dict.fromkeys(library.matching(asserting(Wanted(wanted.finding), ("absent",))), DENIED))
    least = [CODED] * (len(query.present) + bool(query.either)) + [SILENT] * len(query.absent)
    count = len(least) + len(query.uncertain)
    return {
        study: (sum(mark.get(study, low) for mark, low in zip(marks, least, strict=True)) + len(query.uncertain))
        / count
        for study in reported
    }


def ages_unknown(library: Searched, query: Query) -> bool:
    """Whether ages are asked for of a library that knows none: it cannot tell, and they are no condition."""
    return query.age is not None and not library.matching(Aged())


def _fits(
    predicted: Mapping[str, Mapping[str, tuple[float, bool]]], sentence: Mapping[str, float], labels: Sequence[str]
) -> dict[str, float]:
    """How well studies that nobody reported fit a sentence: the likelihood of what the sentence says of every label,
    were each drawn by its probability in the film."""
    known = [label for label in labels if label in sentence]
    said = np.array([sentence[label] for label in known])
    fits = {}
    for study, shown in predicted.items():
        film = np.array([shown[label][0] for label in known])
        likelihood = said @ np.log(film + DOUBT) + (1 - said) @ np.log(1 - film + DOUBT)
        fits[study] = round(float(np.clip(1 + FIT * likelihood, 0, 1)), 2)
    return fits


DOUBT, FIT = 0.05, 0.1
"""A probability that every label keeps, present and absent; and what a unit of log-likelihood takes off a fit of 1."""


def _relaxed(library: Searched, query: Query, filters: list[Condition]) -> MatchingStudies:
    """Where nothing shows all that must be shown: what shows any of it, the more the better; what is denied stays so.

    How far a study meets findings is the mean over all of them, 0 of one that it does not show.
    """
    groups = [(wanted,) for wanted in query.present] + ([query.either] if query.either else [])
    hard = [*filters, *_findings(query.with_options(present=(), either=()))]
    marks: list[Mapping[str, float]] = []
    for group in groups:
        shown = AnyOf(tuple(each for wanted in group for each in _shown(wanted)))
        stated = [_present(library, wanted) for wanted in group]
        meeting = library.matching(*hard, shown)
        marks.append({study: max([CODED, *(one.get(study, 0.0) for one in stated)]) for study in meeting})
    allowed = frozenset[str]().union(*marks)
    names = ["; ".join(map(str, group)) for group in groups]
    labels = {study: sum(mark.get(study, 0.0) for mark in marks) / len(marks) for study in allowed}
    return MatchingStudies(allowed, labels, {}, {}, tuple(names))


def asserting(wanted: Wanted, polarities: tuple[Polarity, ...]) -> Asserts:
    """Reports that say this of the finding now, at its side and place.

    A mention of both sides answers for either, one of a place for the place it lies in (see ``assertions.json``); a
    mention that names no side or place answers for none.
    """
    sides = {None: (), "left": ("left", "bilateral"), "right": ("right", "bilateral"), "bilateral": ("bilateral",)}
    places = tuple(sorted(places_within()[wanted.place])) if wanted.place else ()
    return Asserts(wanted.finding, polarities, past=False, sides=sides[wanted.side], places=places, sections=TOLD)


def holds(wanted: Wanted, assertion: Assertion) -> bool:
    """Whether an assertion speaks of a wanted finding, at its side and place."""
    if wanted.finding not in ("", assertion.finding) or assertion.section not in TOLD or assertion.past:
        return False
    asked = asserting(wanted, ())
    return (not asked.sides or assertion.side in asked.sides) and (not asked.places or assertion.place in asked.places)


def _findings(query: Query) -> list[Condition]:
    """What reports and coding must say. What must be absent may not even be possible. A label, which names no side or
    place, answers only where none is asked for.
    """
    conditions: list[Condition] = [AnyOf(_shown(wanted)) for wanted in query.present]
    if query.either:
        conditions.append(AnyOf(tuple(each for wanted in query.either for each in _shown(wanted))))
    for wanted in query.absent:
        conditions.append(Not(AnyOf((asserting(wanted, STRENGTH), *_coded(wanted)))))
    for wanted in query.uncertain:
        conditions.append(asserting(wanted, ("likely", "uncertain")))
        conditions.append(Not(asserting(wanted, ("present",))))
    return conditions


def _shown(wanted: Wanted) -> tuple[Condition, ...]:
    return (asserting(wanted, FOUND), *_coded(wanted))


def _coded(wanted: Wanted) -> tuple[Condition, ...]:
    label = label_meaning(wanted.finding) if wanted.finding and not (wanted.side or wanted.place) else None
    return () if label is None else (Labelled(label),)


def _present(library: Searched, wanted: Wanted) -> dict[str, float]:
    marks = dict.fromkeys(library.matching(asserting(wanted, ("likely",))), LIKELY)
    return marks | dict.fromkeys(library.matching(asserting(wanted, ("present",))), CERTAIN)


def _words(library: Searched, words: tuple[str, ...], allowed: Set[str] | None) -> dict[str, float]:
    """By study, of those that may answer, the share of the words that its report holds and does not deny."""
    counts: dict[str, float] = {}
    for word in words:
        found = library.matching(Says(word))
        found = found if allowed is None else found & allowed
        reports = {study: summary.report for study, summary in library.summaries(found).items()} if found else {}
        for study in found:
            if (report := reports.get(study)) and denies(report, word):
                continue
            counts[study] = counts.get(study, 0) + 1 / len(words)
    return counts


def _can_be_predicted(query: Query, judge: Judge) -> bool:
    """A prediction knows neither side nor place, no finding without a label, and leaves nothing open."""
    return not query.uncertain and not any(
        w.side or w.place or label_of(w.finding) not in judge.labels for w in query.wanted
    )


def _foreseen(query: Query, said: Mapping[str, tuple[float, bool]]) -> float | None:
    """How far predictions meet a query; None when they do not."""
    present, either, absent = (
        [said[label_of(wanted.finding)] for wanted in group] for group in (query.present, query.either, query.absent)
    )
    meets = all(shown for _, shown in present) and not any(shown for _, shown in absent)
    if not meets or (either and not any(shown for _, shown in either)):
        return None
    marks = [p for p, _ in present] + [1 - p for p, _ in absent] + ([max(p for p, _ in either)] if either else [])
    return sum(marks) / len(marks)
