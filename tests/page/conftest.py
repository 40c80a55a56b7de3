"""A made-up analysis with every part of a page in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from lingula.errors import Notice
from lingula.study import Analysis, Explanation, Neighbour, Prediction, Radiograph, Report, Study, TokenScore

TEXT = "FINDINGS: Fluid at the left base.\n\nIMPRESSION: Small effusion."
LABELS = {"effusion": "Pleural effusion", "cardiomegaly": "Cardiomegaly", "nodule": "Nodule"}
METHODS = ("attention", "gradcam", "integrated_gradients")
Decorate = Callable[[str], str]


@dataclass
class Page(HTMLParser):
    """A parsed page: its tags with attributes, and the text of every element of a class."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    text: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if dict(attrs).get("class") == "report-text":
            self.depth = 1
            self.reports.append("")
        elif self.depth and tag not in {"b", "mark"}:
            raise AssertionError(f"<{tag}> inside a report")

    def handle_endtag(self, tag: str) -> None:
        if tag == "div":
            self.depth = 0

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.depth:
            self.reports[-1] += data


def radiograph(image_id: str, size: tuple[int, int] = (60, 48), **fields: Any) -> Radiograph:
    pixels = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    return Radiograph(image_id, pixels, **fields)


def hot_spot(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    values = np.zeros(shape, np.float32)
    values[shape[0] * 2 // 3 :, : shape[1] // 3] = 1
    return values


def explanations(films: tuple[Radiograph, ...], report: Report | None, labels: tuple[str, ...], d: Decorate) -> Any:
    tokens = (TokenScore(10, 15, 0.4), TokenScore(23, 27, -0.2)) if report else ()
    return tuple(
        Explanation(
            method,
            d(label),
            tuple(hot_spot(film.pixels.shape) for film in films),
            tokens if method != "gradcam" else (),
            signed=method == "integrated_gradients",
            completeness_error=0.012 if method == "integrated_gradients" else None,
        )
        for label in labels
        for method in (*METHODS, d("other"))
    )


def arguments(
    *,
    films: int = 1,
    text: str | None = TEXT,
    neighbours: int = 5,
    explained: tuple[str, ...] = ("effusion", "cardiomegaly"),
    probabilities: tuple[float, ...] = (0.9, 0.5, 0.1),
    size: tuple[int, int] = (60, 48),
    decorate: Decorate = str,
) -> dict[str, Any]:
    """Keyword arguments of ``render_page``; ``decorate`` is applied to every string a file or a model could bring."""
    d = decorate
    shown = tuple(
        radiograph(d(f"CXR1_IM-{n}"), size, view="frontal", decoder=d("pillow"), attributes=((d("Modality"), d("CR")),))
        for n in range(films)
    )
    report = None if text is None else Report(d(text), Report.from_sections(findings="x").sections)
    predictions = tuple(
        Prediction(d(code), d(name), p, 0.5, "present" if p > 0.6 else "absent" if p < 0.4 else "abstain")
        for (code, name), p in zip(LABELS.items(), probabilities, strict=True)
    )
    ids = [d(f"CXR{100 + n}") for n in range(neighbours)]
    labels, lungs = (d("effusion"), d("nodule")), Report(d("Clear lungs."), ())
    found = tuple(
        Neighbour(n + 1, name, 0.9 - n / 10, labels, lungs, (d(f"CXR{n}_IM-1"),)) for n, name in enumerate(ids)
    )
    studies = {name: Study(name, (radiograph(d(f"CXR{n}_IM-1"), size),)) for n, name in enumerate(ids[:4])}
    analysis = Analysis(
        study=Study(d("CXR1"), shown, report),
        mode="joint" if shown and report else "image" if shown else "text",
        predictions=predictions,
        neighbours=found,
        explanations=explanations(shown, report, explained, d),
        model=d("compact"),
        library=d("train"),
        notices=(Notice("bad_window", d("No window in the file.")),),
        seconds=1.5,
    )
    return {
        "analysis": analysis,
        "neighbour_studies": studies,
        "neighbour_explanations": {
            name: explanations(study.radiographs, None, explained, d) for name, study in studies.items()
        },
        "vocabulary_names": {d(code): d(name) for code, name in LABELS.items()},
    }


@pytest.fixture
def make() -> Callable[..., dict[str, Any]]:
    return arguments


@pytest.fixture
def parse() -> type[Page]:
    return Page
