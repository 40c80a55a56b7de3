"""Counts of what the studies that answer a question are like: by finding, side, age and view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from lingula.labels import FOUND
from lingula.labels.findings import label_of
from lingula.library.conditions import Aged, Labelled, Shows
from lingula.retrieval.matching import Judge, Searched, asserting, matching_studies
from lingula.retrieval.query import Query, Wanted

FacetName = Literal["finding", "side", "age", "view"]
AGES = ((0, 17), (18, 39), (40, 59), (60, 79), (80, 120))


@dataclass(frozen=True, slots=True)
class Facet:
    """One way to divide the answers: (value as a query takes it, number of studies), those with none left out."""

    name: FacetName
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class FacetIndex:
    """Which studies of a library have each value; made once for each of its states, then only sets are counted."""

    every: Set[str]
    values: Mapping[FacetName, Mapping[str, Set[str]]] = field(repr=False)

    @classmethod
    def of(cls, library: Searched) -> FacetIndex:
        """Of a library as it is now; ages are left out where it keeps none."""
        labels = {label: library.matching(Labelled(label)) for label in library.about.labels}
        views = {view: library.matching(Shows(view)) for view in ("frontal", "lateral")}
        ages = {f"{low}-{high}": library.matching(Aged(low, high)) for low, high in AGES}
        return cls(library.matching(), {"finding": labels, "age": ages, "view": views})

    def facets(self, library: Searched, query: Query, judge: Judge | None = None) -> tuple[Facet, ...]:
        """Counts over the studies that meet a query."""
        matches = matching_studies(library, query, judge)
        answers = self.every if matches.allowed is None else matches.allowed
        if query.words and not query.wanted and matches.words:
            answers &= matches.words.keys()
        found = [
            Facet("finding", _ranked({label: len(ids & answers) for label, ids in self.values["finding"].items()})),
            Facet("side", self._sides(library, query.present, answers)),
            Facet("age", _kept({age: len(ids & answers) for age, ids in self.values["age"].items()})),
            Facet("view", _kept({view: len(ids & answers) for view, ids in self.values["view"].items()})),
        ]
        return tuple(facet for facet in found if facet.counts)

    @staticmethod
    def _sides(library: Searched, present: Sequence[Wanted], answers: Set[str]) -> tuple[tuple[str, int], ...]:
        """Of the first finding that must be shown: at which side reports say that it is."""
        if not present or not present[0].finding:
            return ()
        code, place = present[0].finding, present[0].place
        counts = {
            side: len(library.matching(asserting(Wanted(code, side, place), FOUND)) & answers)
            for side in ("left", "right", "bilateral")
        }
        return _kept(counts)


def same_finding(label: str, wanted: Wanted) -> bool:
    """Whether a label of a facet is what a query asks for."""
    return wanted.finding == label or label_of(wanted.finding) == label


def _kept(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((value, count) for value, count in counts.items() if count)


def _ranked(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(_kept(counts), key=lambda pair: (-pair[1], pair[0])))
