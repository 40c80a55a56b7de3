"""The pages: what the API answers, drawn with the templates of the written page."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path as FilePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment

from lingula.analysis import leading_label
from lingula.errors import InputError, LingulaError, cause
from lingula.explanation import METHODS, shown_methods
from lingula.labels import search_findings
from lingula.library import Library, StudyRecord
from lingula.library.identity import public_name
from lingula.page.methods import method
from lingula.page.render import with_templates
from lingula.page.report_runs import runs
from lingula.page.view import view_of
from lingula.retrieval import Answer, Query
from lingula.server.query_string import address, chips, query_of, question
from lingula.server.routes.cases_and_search import desk_of, library_of
from lingula.server.serialise import film_url, stored_url
from lingula.server.service import Case
from lingula.study import Neighbour, Radiograph, Study, View

PLACES = (("/", "Ask"), ("/search", "Search"), ("/learn", "Learn"), ("/library", "Library"), ("/model", "Model"))
EXAMPLES = 6
_VIEWS = {"frontal": "Frontal film", "lateral": "Lateral film", "unknown": "Film (view unknown)"}

router = APIRouter()
StudyId = Annotated[str, Path(max_length=256)]
CaseId = Annotated[str, Path(max_length=64)]


@cache
def _templates() -> Environment:
    return with_templates("lingula.server")


def _page(template: str, *, here: str = "", http: int = 200, **values: Any) -> Response:
    text = _templates().get_template(template).render(served=True, places=PLACES, here=here, **values)
    return HTMLResponse(text.encode("utf-8", "xmlcharrefreplace"), http)


def refusal(request: Request, error: LingulaError, status: int, request_id: str) -> Response:
    """An error as a page."""
    return _page("refusal.html", http=status, status=status, error=error, request_id=request_id)


@router.get("/login")
async def login() -> Response:
    return _page("login.html")


@router.get("/")
async def start(request: Request) -> Response:
    """Bring in a study, or pick an example."""
    desk = desk_of(request)
    library = desk.library
    found = await desk.look_up(lambda: _examples(library, desk.names) if library is not None else ([], 0))
    return _page("start.html", here="/", examples=found[0], studies=found[1], model=desk.checkpoint.fingerprint)


def _examples(library: Library, names: dict[str, str]) -> tuple[list[dict[str, str]], int]:
    """The first studies with a film for some findings, each finding once."""
    ids = library.ids()
    chosen: dict[str, dict[str, str]] = {}
    for study_id, known in sorted(library.summaries(ids[:200]).items()):
        frontal = next((row for row, image in enumerate(known.images) if image.view != "lateral"), None)
        for label in known.labels:
            if frontal is not None and label not in chosen and len(known.labels) <= 2:
                title, picture = names.get(label, label), stored_url(study_id, frontal)
                chosen[label] = {"study_id": study_id, "title": title, "picture": picture}
                break
        if len(chosen) == EXAMPLES:
            break
    return list(chosen.values()), len(ids)


@router.get("/case/{case_id}")
async def case(request: Request, case_id: CaseId) -> Response:
    """A study brought in: findings, similar cases, evidence."""
    desk = desk_of(request)
    held = desk.case(case_id)
    library = desk.library
    shown = [n.study_id for n in held.analysis.neighbours]
    records = await desk.look_up(lambda: {s: library.get(s) for s in shown} if library is not None else {})

    def link(study_id: str, row: int) -> str:
        return stored_url(study_id, row) if study_id in records else film_url(case_id, row)

    view = view_of(held.analysis, {s: _outline(r) for s, r in records.items()}, {}, desk.names, link)
    trusted = shown_methods(desk.checkpoint.fingerprint, METHODS)
    ranked = sorted(held.analysis.predictions, key=lambda p: -p.probability)
    return _page(
        "case.html",
        view=view,
        case_id=case_id,
        films=_films(held),
        can_box=library is not None and bool(len(library)),
        labels=[(p.label, p.name) for p in ranked],
        leading=leading_label(held.analysis.predictions, desk.checkpoint.vocabulary.normal),
        methods=[(code, method(code).name) for code in (*trusted, *(each for each in METHODS if each not in trusted))],
        chosen_method=next(iter(trusted), METHODS[0]),
    )


@router.get("/case/{case_id}/with/{study_id}")
async def compare(request: Request, case_id: CaseId, study_id: StudyId) -> Response:
    """Query and neighbour side by side, moving together."""
    desk = desk_of(request)
    held, library = desk.case(case_id), library_of(desk)
    record = await desk.look_up(lambda: library.get(study_id))
    own, other = _films(held), _stored_films(record)
    rows = [_first_frontal([r.view for r in each]) for each in (held.study.radiographs, record.radiographs)]
    own = [own[rows[0]]] if own else []
    return _page(
        "compare.html",
        case_id=case_id,
        study=record,
        neighbour=next((n for n in held.analysis.neighbours if n.study_id == study_id), None),
        films=[*own, *other[:1]],
        rows=rows,
        own_text=runs(held.study.report) if held.study.report else (),
        text=runs(record.report) if record.report else (),
    )


@router.get("/search")
async def search(request: Request) -> Response:
    """A question and its answers; its whole state is in the address."""
    desk = desk_of(request)
    values: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        values.setdefault(name, []).append(value)
    query, case_id = query_of(values), next(iter(values.get("case", [])), "")
    held = desk.case(case_id) if case_id else None
    answer = None if query.is_empty and held is None else await desk.search(query, held)
    results = await desk.look_up(lambda: _results(answer, desk.library, query, case_id)) if answer else []
    hidden = [
        (name, value) for name in values for value in values[name] if name not in ("view", "age", "label", "fold")
    ]
    return _page(
        "search.html",
        here="/search",
        query=query,
        question=question(query),
        chips=chips(query, case_id),
        state=address(query, case_id),
        case_id=case_id,
        hidden=hidden,
        answer=answer,
        results=results,
        labels=sorted(desk.names.items(), key=lambda pair: pair[1]),
        films=_films(held)[:1] if held else [],
    )


def _results(answer: Answer, library: Library | None, query: Query, case_id: str) -> list[dict[str, Any]]:
    """What a card of a result shows."""
    ids = [neighbour.study_id for neighbour in answer.neighbours]
    images = {study: known.images for study, known in library.summaries(ids).items()} if library is not None else {}
    results = []
    for neighbour in answer.neighbours:
        study = neighbour.study_id
        frontal = next((row for row, image in enumerate(images.get(study, ())) if image.view != "lateral"), None)
        total = sum(abs(part.score) for part in neighbour.parts) or 1.0
        start, bars = 0.0, []
        for part in neighbour.parts:
            width = 100 * abs(part.score) / total
            bars.append({"name": part.name, "score": part.score, "start": start, "width": width})
            start += width
        steered = {
            name: address(query.with_options(**{name: tuple(dict.fromkeys((*getattr(query, name), study)))}), case_id)
            for name in ("more", "less")
        }
        results.append(
            {
                "n": neighbour,
                "picture": stored_url(study, frontal) if frontal is not None else "",
                "bars": bars,
                "snippet": _snippet(neighbour),
                "more": steered["more"],
                "less": steered["less"],
                "like": address(query.with_options(like=study, more=(), less=())),
            }
        )
    return results


def _snippet(neighbour: Neighbour) -> list[tuple[str, str]]:
    """(text, polarity or empty) in order."""
    cut, report = neighbour.snippet, neighbour.report
    if not cut or not report:
        return []
    pieces, at = [], cut.start
    for mark in sorted(cut.marks, key=lambda mark: mark.start):
        if mark.start < at:
            continue
        pieces += [(report.text[at : mark.start], ""), (report.text[mark.start : mark.end], mark.polarity)]
        at = mark.end
    return [*pieces, (report.text[at : cut.end], "")]


@router.get("/practice")
async def practice(request: Request) -> Response:
    """Unknown films to say something of."""
    desk = desk_of(request)
    status = await desk.look_up(library_of(desk).status)
    labels = [(code, desk.names.get(code, code)) for code, count in status.labels.items() if count]
    normal = desk.checkpoint.vocabulary.normal
    return _page("practice.html", here="/learn", labels=[pair for pair in labels if pair[0] != normal])


@router.get("/library")
async def library(request: Request) -> Response:
    """What the library holds, a map of it, and a way in."""
    desk = desk_of(request)
    held = desk.library
    status = await desk.look_up(held.status) if held is not None else None
    refused = await desk.look_up(held.refusals) if held is not None else ()
    return _page(
        "library.html",
        here="/library",
        status=status,
        names={code: finding.name for code, finding in search_findings().items()} | desk.names,
        refused=[(_file(held, each.source), each.code, cause(each.code)) for each in refused],
        folder_imports=desk.settings.folder_imports,
        ready=len(desk.searched) if desk.searched is not None else 0,
    )


def _file(library: Library | None, source: str) -> str:
    """A refused file by a name that holds nothing of its path: libraries of before kept paths."""
    return public_name(library.secret, source) if library is not None else ""


@router.get("/model")
async def model(request: Request) -> Response:
    """What is known of the model: how it was trained and how it was evaluated."""
    desk = desk_of(request)
    checkpoint, folder = desk.checkpoint, desk.settings.evaluation
    tables, card = evaluation_of(folder) if folder is not None else ((), "")
    facts = {key: value for key, value in checkpoint.training.items() if isinstance(value, str | int | float)}
    counts = checkpoint.training.get("studies", {})
    return _page(
        "model.html",
        here="/model",
        fingerprint=checkpoint.fingerprint,
        facts=facts,
        counts=counts if isinstance(counts, dict) else {},
        labels=checkpoint.vocabulary.labels,
        thresholds={mode: dict(zip(checkpoint.vocabulary.codes, each.threshold, strict=True))
                    for mode, each in checkpoint.calibration.items()},
        tables=tables,
        card=card,
    )  # fmt: skip


@router.get("/study/{study_id}")
async def study(request: Request, study_id: StudyId) -> Response:
    """A study of the library."""
    desk = desk_of(request)
    library = library_of(desk)
    record = await desk.look_up(lambda: library.get(study_id))
    coded = [desk.names.get(code, code) for code in record.labels or ()]
    text = runs(record.report) if record.report else ()
    return _page("study.html", study=record, films=_stored_films(record), coded=coded, text=text)


MOST_ROWS = 60


def evaluation_of(folder: FilePath) -> tuple[list[dict[str, Any]], str]:
    """Tables of an evaluation's ``results.json`` with few enough rows to read, and its model card, as text."""
    card = folder / "model-card.md"
    tables = []
    if (folder / "results.json").is_file():
        for table in _tables(folder / "results.json").values():
            rows: dict[str, dict[str, Any]] = table["rows"]
            if rows and len(rows) <= MOST_ROWS:
                columns = list(next(iter(rows.values())))
                cells = [(name, [_cell(row.get(column)) for column in columns]) for name, row in rows.items()]
                tables.append({"title": table["title"], "about": table["about"], "columns": columns, "rows": cells})
    return tables, card.read_text("utf-8") if card.is_file() else ""


def _tables(path: FilePath) -> dict[str, Any]:
    """The tables of an evaluation's ``results.json`` by name."""
    try:
        tables: dict[str, Any] = json.loads(path.read_bytes())["tables"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("bad_request", f"{path.name} holds no evaluation.", "lingula evaluate writes it.") from error
    return tables


def _cell(value: Any) -> str:
    """A figure with its interval, as the tables of the evaluation show it."""
    if isinstance(value, dict):
        text = _cell(value.get("value"))
        low, high = value.get("low"), value.get("high")
        return f"{text} ({_cell(low)}–{_cell(high)})" if low is not None and high is not None else text
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _first_frontal(views: list[View]) -> int:
    """The film that is compared: the first that is no lateral, else the first."""
    return next((row for row, view in enumerate(views) if view != "lateral"), 0)


def _outline(record: StudyRecord) -> Study:
    """A stored study whose films have their size and no pixels: pictures are fetched by address."""
    images = tuple(
        Radiograph(each.image_id, np.broadcast_to(np.float32(0), (each.rows, each.columns)), each.view)
        for each in record.radiographs
    )
    return Study(record.study_id, images, record.report, record.terms, record.notices)


def _films(held: Case) -> list[dict[str, Any]]:
    return [
        {
            "picture": film_url(held.case_id, row),
            "columns": film.pixels.shape[1],
            "rows": film.pixels.shape[0],
            "depth": 16 if int(dict(film.attributes).get("BitsStored", "16")) > 8 else 8,
            "name": _VIEWS[film.view],
            "note": f"{film.pixels.shape[1]} × {film.pixels.shape[0]}",
        }
        for row, film in enumerate(held.study.radiographs)
    ]


def _stored_films(record: StudyRecord) -> list[dict[str, Any]]:
    films = [
        {
            "picture": stored_url(record.study_id, row),
            "columns": each.columns,
            "rows": each.rows,
            "depth": 8,
            "name": f"{_VIEWS[each.view]} of {record.study_id}",
            "note": f"{each.image_id}, preview",
        }
        for row, each in enumerate(record.radiographs)
    ]
    order = sorted(range(len(films)), key=lambda row: record.radiographs[row].view == "lateral")
    return [films[row] for row in order]
