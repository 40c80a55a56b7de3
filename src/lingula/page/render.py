"""``render_page`` and ``write_page``: templates, style sheet and view model put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lingula.library.identity import without_uids
from lingula.page.sentence import odds_words
from lingula.page.view import view_of
from lingula.study import DISCLAIMER, Analysis, Explanation, Study
from lingula.types import FilePath


def render_page(
    analysis: Analysis,
    *,
    neighbour_studies: Mapping[str, Study] = {},
    neighbour_explanations: Mapping[str, tuple[Explanation, ...]] = {},
    vocabulary_names: Mapping[str, str] | None = None,
    title: str = "",
) -> str:
    """One HTML document that loads nothing and runs no script; the same analysis gives the same text.

    Args:
        analysis: the answer to show.
        neighbour_studies: similar cases by study id, for their films and reports; what is missing is left out.
        neighbour_explanations: evidence on those cases, drawn when it answers the label and method chosen.
        vocabulary_names: label code to the label's name for a reader; by default as the predictions name them.
        title: of the document; the study's id if empty.
    """
    names = vocabulary_names or {each.label: each.name for each in analysis.predictions}
    view = view_of(analysis, neighbour_studies, neighbour_explanations, names)
    title = title or f"{analysis.study.study_id} · lingula"
    return environment().get_template("analysis.html").render(view=view, title=title)


def write_page(
    path: FilePath,
    analysis: Analysis,
    *,
    neighbour_studies: Mapping[str, Study] = {},
    neighbour_explanations: Mapping[str, tuple[Explanation, ...]] = {},
    vocabulary_names: Mapping[str, str] | None = None,
    title: str = "",
) -> None:
    """Write ``render_page`` to a file as UTF-8; characters UTF-8 cannot hold are written as references.

    The page may be given away: UIDs of DICOM files do not stand in it, names made from the films' content do.

    Args:
        path: the file; its folder must exist. The others as for ``render_page``.

    Raises:
        OSError: where the file cannot be written.
    """
    page = render_page(
        replace(analysis, study=without_uids(analysis.study)),
        neighbour_studies=neighbour_studies,
        neighbour_explanations=neighbour_explanations,
        vocabulary_names=vocabulary_names,
        title=title,
    )
    write_text(path, page)


def write_text(path: FilePath, page: str) -> None:
    """Write a page as UTF-8; characters UTF-8 cannot hold are written as references."""
    Path(path).write_bytes(page.encode("utf-8", errors="xmlcharrefreplace"))


def write_template(path: FilePath, template: str, **values: Any) -> None:
    """Draw a template and write it."""
    write_text(path, environment().get_template(template).render(**values))


def style_sheet() -> str:
    """The one style sheet, inlined into a written page and served as a file by a web application."""
    return files("lingula.page").joinpath("templates/page.css").read_text(encoding="utf-8")


def with_templates(package: str) -> Environment:
    """The environment of a package with further templates, which may extend and include those of this one."""
    shared = environment()
    own = ChoiceLoader([PackageLoader(package, "templates"), *([shared.loader] if shared.loader else [])])
    made = shared.overlay(loader=own)
    made.globals = dict(shared.globals)
    return made


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@cache
def environment() -> Environment:
    """The templates with their filters."""
    made = Environment(
        loader=PackageLoader("lingula.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "odds": odds_words,
        "signed": _signed,
        "percent": _percent,
        "span_percent": _span_percent,
        "short": _short,
    }
    made.globals |= {
        "disclaimer": DISCLAIMER,
        "served": False,
        "style": Markup(style_sheet()),  # our own file, the only text that is not escaped
    }
    return made


def _signed(value: float) -> str:
    """Three significant digits with sign, as ``+0.61`` or ``−1.9 × 10⁻⁵``."""
    return _number(f"{value:+.3g}")


def _short(value: float) -> str:
    return _number(f"{value:.2g}")


def _number(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    power = f" × 10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else ""
    return mantissa.replace("-", "−") + power


def _span_percent(bounds: tuple[float, float]) -> str:
    """Two probabilities as ``31–58 %``, rounded outwards so that nothing narrower is said than is known."""
    low, high = np.floor(bounds[0] * 100), np.ceil(bounds[1] * 100)
    return f"{low:.0f}–{high:.0f} %"


def _percent(value: float) -> str:
    """A probability in whole percent, never rounded up to certainty or down to impossibility."""
    if 0 < value < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < value < 1 else f"{value * 100:.0f} %"
