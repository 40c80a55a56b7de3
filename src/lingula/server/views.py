"""What the templates of the pages draw: plain values made from cases, records and answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from lingula.labels.findings import in_prose, short_name
from lingula.library import Library, StudyRecord
from lingula.model.calibration import Calibration
from lingula.openi.published import published
from lingula.page.report_runs import mentions, pieces, runs
from lingula.page.sentence import odds_words, operating_words
from lingula.server.serialise import film_url, stored_url, thumbnail_url
from lingula.server.service import Case
from lingula.study import NORMAL, Neighbour, Prediction, Report, View
from lingula.teaching.marking import spacing_of
from lingula.teaching.sets import Drawing

VIEW_NAMES: Mapping[View, str] = {
    "frontal": "Frontal film",
    "lateral": "Lateral film",
    "unknown": "Film (view unknown)",
}


@dataclass(frozen=True, slots=True)
class FilmPane:
    """A film of the viewer.

    Attributes:
        spacing: millimetres between two pixels of the original; 0 where nobody knows.
        shows: what the film shows, for those who do not see it.
        marks: (where they come from, the marks) that came with the film.
    """

    picture: str
    columns: int
    rows: int
    depth: int
    name: str
    note: str
    view: View = "unknown"
    spacing: float = 0.0
    shows: str = ""
    marks: tuple[tuple[str, tuple[Drawing, ...]], ...] = ()

    @property
    def mark_words(self) -> str:
        """How many marks came with the film, and where they come from; empty without any."""
        counts = ((origin, len(each), "mark" if len(each) == 1 else "marks") for origin, each in self.marks)
        return " and ".join(f"{count} {word} from {origin}" for origin, count, word in counts)

    @property
    def mark_shapes(self) -> list[dict[str, Any]]:
        """All marks, as the page draws them: shape, and points in shares of width and height."""
        return [{"shape": mark.shape, "points": mark.points} for _, each in self.marks for mark in each]


def film_marks(held: Case, row: int) -> tuple[tuple[str, tuple[Drawing, ...]], ...]:
    """The marks on one film of a case, by the words for where they come from."""
    found = []
    for each in held.marks:
        if on_film := tuple(drawing for drawing in each.drawings if drawing.film == row):
            found.append((f"a {each.origin}{' of lingula’s own' if each.is_own else ''}", on_film))
    return tuple(found)


def case_films(held: Case, shows: str = "") -> list[FilmPane]:
    """The films of a case, frontal ones first as they came."""
    films = [
        FilmPane(
            picture=film_url(held.case_id, row), columns=film.pixels.shape[1], rows=film.pixels.shape[0],
            depth=16 if int(dict(film.attributes).get("BitsStored", "16")) > 8 else 8, name=VIEW_NAMES[film.view],
            note=f"{film.pixels.shape[1]} × {film.pixels.shape[0]}", view=film.view,
            spacing=spacing_of(dict(film.attributes)) or 0.0, shows=shows, marks=film_marks(held, row),
        )
        for row, film in enumerate(held.study.radiographs)
    ]  # fmt: skip
    return films


def stored_films(record: StudyRecord, shows: str = "") -> list[FilmPane]:
    """The films of a stored study, lateral ones last."""
    films = [
        FilmPane(
            picture=stored_url(record.study_id, row), columns=each.columns, rows=each.rows, depth=8,
            name=f"{VIEW_NAMES[each.view]} of {record.study_id}", note=f"{each.image_id}, preview", view=each.view,
            spacing=spacing_of(dict(each.attributes)) or 0.0, shows=shows,
        )
        for row, each in enumerate(record.radiographs)
    ]  # fmt: skip
    return sorted(films, key=lambda film: film.view == "lateral")


@dataclass(frozen=True, slots=True)
class FindingBar:
    """A finding as a bar that unfolds; ``cost`` says in words what a call of it is worth."""

    prediction: Prediction
    cost: str

    @property
    def is_long(self) -> bool:
        return self.prediction.decision in ("present", "abstain")


def bars(predictions: Sequence[Prediction], calibration: Calibration, codes: Sequence[str]) -> list[FindingBar]:
    """One bar a finding, likely ones first, then those that are unsure, then the rest; *normal* has none."""
    operating = dict(zip(codes, calibration.at_threshold().tolist(), strict=True))
    order = {"present": 0, "abstain": 1, "absent": 2}

    def cost(prediction: Prediction) -> str:
        both = operating.get(prediction.label, [math.nan, math.nan])
        known = [None if math.isnan(value) else value for value in both]
        return operating_words(prediction.name, known[0], known[1])

    shown = sorted(predictions, key=lambda p: (order.get(p.decision, 3), -p.probability, p.label))
    return [FindingBar(p, cost(p)) for p in shown if p.label != NORMAL]


Names = Mapping[str, str]


def entry(
    neighbour: Neighbour, films: Sequence[FilmPane], names: Names, *, own: Collection[str] | None, beside: str = ""
) -> dict[str, Any]:
    """A study of the library as a tile, and all that is shown when it is chosen.

    Args:
        own: labels of the study it is compared with; None where there is none.
        beside: the other side of a comparison, as ``/compare`` takes it.
    """
    study, labels = neighbour.study_id, [code for code in neighbour.labels if code != NORMAL]
    named = [names.get(code, code.replace("_", " ")) for code in labels]
    first = next((film for film in films if film.view != "lateral"), films[0] if films else None)
    page = f"/study/{quote(study, safe='')}"
    return {
        "study_id": study,
        "rank": neighbour.rank,
        "page": page,
        "address": f"/compare?{urlencode({'a': beside, 'b': study})}" if beside else page,
        "picture": thumbnail_url(study, int(first.picture.rpartition("/")[2])) if first else "",
        "films": [
            {"picture": film.picture, "view": film.view, "columns": film.columns, "rows": film.rows,
             "name": film.name, "note": film.note, "spacing": film.spacing} for film in films
        ],
        "differs": difference(own, labels, names) if own is not None else "",
        "odds": f"{odds_words(neighbour.shares)} share a finding" if neighbour.shares else "",
        "odds_short": odds_words(neighbour.shares) if neighbour.shares else "",
        "short": [short_name(name) for name in named] or (["Normal"] if NORMAL in neighbour.labels else []),
        "labels": named or (["nothing abnormal"] if NORMAL in neighbour.labels else []),
        "says": says(neighbour),
        "report": neighbour.report.text if neighbour.report else "",
        "link": published(study, neighbour.image_ids),
        "same_patient": list(neighbour.same_patient),
        "duplicates": [each.study_id for each in neighbour.duplicates],
    }  # fmt: skip


def difference(own: Collection[str], other: Collection[str], names: Names) -> str:
    """What sets two studies apart in two words: "+ cardiomegaly, − edema"; or that nothing does."""
    own = [code for code in own if code != NORMAL]

    def name(code: str) -> str:
        return in_prose(short_name(names.get(code, code.replace("_", " "))))

    more, less = [code for code in other if code not in own], [code for code in own if code not in other]
    marks = [f"+\u202f{name(code)}" for code in more[: 1 if less else 2]]
    marks += [f"−\u202f{name(code)}" for code in less[: 2 - len(marks)]]
    return ", ".join(marks) or ("same findings" if own else "nothing abnormal either")


def says(neighbour: Neighbour) -> list[tuple[str, str]]:
    """One sentence of the report as (text, polarity of what is asked for or nothing): the telling one."""
    return list(pieces(neighbour))


def entries(
    neighbours: Sequence[Neighbour], library: Library | None, names: Names, *, own: Collection[str] | None = None,
    beside: str = "",
) -> list[dict[str, Any]]:  # fmt: skip
    """The tiles of an answer; without a library they have no films."""
    made = partial(entry, names=names, own=own, beside=beside)
    if library is None:
        return [made(each, ()) for each in neighbours]
    return [made(each, stored_films(library.get(each.study_id))) for each in neighbours]


def marked_report(report: Report | None, names: Names) -> dict[str, Any] | None:
    """A report in runs, with the words that name a finding."""
    if report is None or not report.text.strip():
        return None
    named = mentions(report, names)
    return {"runs": runs(report, (), named), "mentions": named}


def film_words(labels: Collection[str], names: Names) -> str:
    """What a stored film shows, for those who do not see it."""
    named = [in_prose(names.get(code, code)) for code in labels if code != NORMAL]
    return f"Coded with {', '.join(named)}." if named else "Coded as normal." if NORMAL in labels else ""
