"""One explanation as commands and routes give it: words, marks of trust, outlines on the films, runs of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lingula.page.contour import outline
from lingula.page.evidence import OUTLINES, drawable, name_of, place, trust_marks
from lingula.page.methods import method
from lingula.page.picture import display_scale
from lingula.page.report_runs import ReportRun, mentions, runs
from lingula.plain import DISCLAIMER
from lingula.study import Explanation, Pointing, Report, Study, TokenScore, Trust


@dataclass(frozen=True, slots=True)
class ShownMap:
    """A map over one film: outlines as SVG paths in the film's pixels, ``width`` by ``height``.

    Attributes:
        place: where it is strongest, in thirds of the picture. picture: where a server shows it; None elsewhere.
    """

    width: int
    height: int
    outlines: tuple[str, ...]
    place: str
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class NamedMention:
    """Words of the report that name a label, and what they say of it."""

    label: str
    name: str
    said: str


@dataclass(frozen=True, slots=True)
class ShownExplanation:
    """The evidence of one method for one label.

    Attributes:
        sentence, unit: what the method's values mean. top: the value of full colour; None where nothing was scored.
        marks: how far to trust it, in sentences; trust, pointing: the same in numbers.
        localisable: whether maps of this finding were found to point at it, None where nobody measured it. Where they
            were not, there are no ``maps`` unless they are asked for anyway.
        tokens: scores as spans of the report's text. runs: the report in stretches drawn alike, whose ``mention`` is a
            row of ``mentions``.
    """

    method: str
    method_name: str
    sentence: str
    unit: str
    label: str
    label_name: str
    signed: bool
    top: float | None
    completeness_error: float | None
    trust: Trust | None
    pointing: Pointing | None
    localisable: bool | None
    marks: tuple[str, ...]
    tokens: tuple[TokenScore, ...]
    maps: tuple[ShownMap, ...]
    runs: tuple[ReportRun, ...]
    mentions: tuple[NamedMention, ...]
    disclaimer: str = DISCLAIMER


def shown_explanation(study: Study, explanation: Explanation, names: Mapping[str, str]) -> ShownExplanation:
    """An explanation of a study for a reader; ``names`` of the labels."""
    about, (drawn,) = method(explanation.method), drawable((explanation,))
    report = study.report or Report("", ())
    mentioned = mentions(report, names)
    maps = []
    for values, film in zip(drawn.maps, study.radiographs, strict=bool(drawn.maps)):
        rows, columns = film.pixels.shape
        paths = tuple(outline(values, share, columns, rows) for share in OUTLINES)
        maps.append(ShownMap(columns, rows, paths, place(values)))
    scores = [abs(token.score) for token in explanation.tokens if np.isfinite(token.score)]
    return ShownExplanation(
        method=explanation.method,
        method_name=about.name,
        sentence=about.sentence,
        unit=about.unit,
        label=explanation.label,
        label_name=name_of(explanation.label, names),
        signed=explanation.signed,
        top=display_scale(drawn.maps) if drawn.maps else max(scores, default=None),
        completeness_error=explanation.completeness_error,
        trust=explanation.trust,
        pointing=explanation.pointing,
        localisable=explanation.localisable,
        marks=trust_marks(explanation),
        tokens=explanation.tokens,
        maps=tuple(maps),
        runs=runs(report, explanation.tokens, mentioned),
        mentions=tuple(NamedMention(each.label, names[each.label], each.polarity) for each in mentioned),
    )
