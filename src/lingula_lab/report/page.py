"""The evaluation as one HTML page that loads nothing and runs no script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from jinja2 import Environment
from markupsafe import Markup, escape
from PIL import Image

from lingula.labels.vocabulary import Vocabulary
from lingula.page.render import with_templates
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.run import Evaluation
from lingula_lab.evaluation.tables.retrieval import EXPECTED
from lingula_lab.measures.table import Bars, Cell, Figure, Plot, Table
from lingula_lab.report.cases import KINDS, RetrievalCase
from lingula_lab.report.svg import draw

FAMILIES = {
    "roc_": "Receiver operating characteristic (diagonal: chance)",
    "pr_": "Precision and recall (chance: the share of the label)",
    "reliability_": "Reliability after calibration (diagonal: perfect)",
}


@dataclass(frozen=True, slots=True)
class _Drawn:
    plot: Plot | Bars
    about: str = ""

    @property
    def svg(self) -> Markup:
        return Markup(draw(self.plot))  # ours: every name in it is escaped

    @property
    def wide(self) -> bool:
        return isinstance(self.plot, Bars)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(line.name for line in self.plot.lines) if isinstance(self.plot, Plot) else ()


@dataclass(frozen=True, slots=True)
class _Family:
    title: str
    plots: tuple[_Drawn, ...]


def render(evaluation: Evaluation, tables: Sequence[Table], provenance: Sequence[str]) -> str:
    """The page of an evaluation, with these tables."""
    families = tuple(
        _Family(title, tuple(_Drawn(plot) for plot in evaluation.plots if plot.key.startswith(prefix)))
        for prefix, title in FAMILIES.items()
    )
    rest = [plot for plot in evaluation.plots if not plot.key.startswith(tuple(FAMILIES))]
    first = next((each for family in families for each in family.plots), None)
    return environment().get_template("evaluation.html").render(
        about=evaluation.about,
        tables=tables,
        provenance=[line.replace("`", "") for line in provenance],
        overviews=_overviews({table.key: table for table in tables}),
        families=families,
        curve_names=first.names if first else (),
        others=[_Drawn(plot) for plot in rest],
        shown=_cell,
    )  # fmt: skip


def render_cases(cases: Sequence[RetrievalCase], data: StudySet, vocabulary: Vocabulary, title: str) -> str:
    """Retrievals to look at, as one page with the films of the study set: not for passing on. No word of a report.

    Args:
        title: what asks what.
    """
    place = {study_id: row for row, study_id in enumerate(data.ids)}

    def film(study_id: str) -> Markup:
        """The first frontal film, or whichever there is, as a data URI; empty where there is none."""
        films = data.films_of(place[study_id])
        frontal = [one for one in films if data.views[one] != "lateral"]
        if not len(films):
            return Markup("")
        saved = BytesIO()
        Image.fromarray(np.asarray(data.films[(frontal or list(films))[0]])).save(saved, "JPEG", quality=85)
        return Markup(f"data:image/jpeg;base64,{b64encode(saved.getvalue()).decode()}")

    return environment().get_template("cases.html").render(
        title=title,
        kinds=[(kind, [case for case in cases if case.kind == kind]) for kind in KINDS],
        film=film,
        name=vocabulary.names,
    )  # fmt: skip


def _overviews(tables: dict[str, Table]) -> list[_Drawn]:
    """What one looks at first: findings by system, similar studies by search."""
    findings, similar = tables["classification"], tables["retrieval_generalization_jaccard"]
    systems = [(row.name, findings.figure(row.name, "AUROC macro")) for row in findings.rows]
    names = [row.name for row in similar.rows if row.name != EXPECTED]
    by_chance = similar.figure(EXPECTED, "P@5").value
    return [
        _Drawn(
            Bars("systems", "Findings", "AUROC, mean over labels", tuple(systems), (0.5,) * len(systems)),
            "Rows that read the report read the text the labels were coded from: indexing, not prediction.",
        ),
        _Drawn(
            Bars(
                "searches",
                "Similar studies",
                "share of the first five that share an abnormal finding",
                tuple((name, similar.figure(name, "P@5")) for name in names),
                (by_chance,) * len(names),
            ),
            "Test studies ask test studies; a study never answers itself.",
        ),
    ]


def _cell(table: Table, cell: Cell) -> Markup:
    """A table cell; an interval stands below its figure."""
    if not isinstance(cell, Figure):
        return Markup("<td>{}</td>").format(cell)
    value, _, interval = table.shown(cell).partition(" ")
    below = Markup('<span class="interval">{}</span>').format(interval) if interval else ""
    return Markup("<td>{}{}</td>").format(escape(value), below)


@cache
def environment() -> Environment:
    """The templates of this package, with its own style after the common one."""
    own = files("lingula_lab.report").joinpath("templates/evaluation.css").read_text(encoding="utf-8")
    made = with_templates("lingula_lab.report")
    made.globals["own_style"] = Markup(own)
    return made
