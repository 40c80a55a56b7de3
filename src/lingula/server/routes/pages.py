"""The pages: what the API answers, drawn with the templates of the written page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from jinja2 import Environment

from lingula.analysis import leading_label
from lingula.deidentification.handout import handout_film, handout_pixels
from lingula.errors import InputError, LingulaError, cause
from lingula.explanation import TYPICAL_PLACE, installed_methods, shown_methods
from lingula.labels import search_findings
from lingula.labels.findings import short_name
from lingula.library import Library, StudyRecord, Summary
from lingula.library.identity import public_name
from lingula.model.checkpoint import Checkpoint
from lingula.openi.published import published
from lingula.page.film_figure import FigureFilm, FilmSheet, figure_pdf, figure_png
from lingula.page.glossary import glossary
from lingula.page.methods import method
from lingula.page.render import with_templates
from lingula.page.sentence import in_ten, sentence
from lingula.page.view import DOUBTS
from lingula.retrieval import Query as Question
from lingula.retrieval.facets import same_finding
from lingula.server import assets
from lingula.server.access import actor_of
from lingula.server.grid import PAGE, grid_page
from lingula.server.query_string import address, changed, chips, pairs_of, query_of, question, without_name
from lingula.server.routes.dependencies import (
    Asked,
    Id,
    Row,
    StudyId,
    attachment,
)
from lingula.server.serialise import thumbnail_url
from lingula.server.service import Case, Service, film_at, only_filters
from lingula.server.views import (
    bars,
    case_films,
    difference,
    entries,
    film_words,
    marked_report,
    stored_films,
)
from lingula.study import DISCLAIMER, NORMAL, Neighbour, Prediction, front_row, unique_notices
from lingula.teaching.credit import credit_of
from lingula.teaching.repetition import due_ids, end_of_day

PLACES = (
    ("/search", "Search"),
    ("/cases", "Cases"),
    ("/learn", "Learn"),
    ("/library", "Library"),
    ("/about", "About"),
)
TILES = ("cardiomegaly", "pleural_effusion", "nodule_mass", "lung_opacity", "atelectasis", "granuloma",
         "hyperinflation", "normal")  # fmt: skip
"""The eight findings of the start page."""
SAMPLES = (
    "left effusion, no cardiomegaly",
    "possible nodule",
    "hyperinflated, no nodule",
    "atelectasis or consolidation",
)
MOST_SHOWN = 5000
THUMBNAIL = 224
"""Long side of a tile's picture."""

router = APIRouter()


@cache
def _templates() -> Environment:
    made = with_templates("lingula.server")
    made.globals |= {"asset": assets.asset_url, "glossary": glossary()}
    return made


def _page(request: Request, template: str, *, here: str = "", http: int = 200, **values: Any) -> Response:
    text = _templates().get_template(template).render(served=True, places=PLACES, here=here, **values)
    return assets.packed(request, text.encode("utf-8", "xmlcharrefreplace"), "text/html", status=http)


def refusal(request: Request, error: LingulaError, status: int, request_id: str) -> Response:
    """An error as a page."""
    return _page(request, "refusal.html", http=status, status=status, error=error, request_id=request_id)


@router.get("/login")
async def login(request: Request) -> Response:
    return _page(request, "login.html")


# -- start


@router.get("/")
async def start(request: Request, service: Asked) -> Response:
    """One field for a film, a report or a question; a wall of findings; what is due today."""
    wall = await service.look_up(lambda: _wall(service))
    return _page(
        request,
        "start.html",
        here="/",
        wall=wall,
        samples=[(text, address(Question.read(text))) for text in SAMPLES],
        studies=len(service.searched) if service.searched is not None else 0,
        has_library=service.filled is not None,
        can_get=service.settings.folder_imports and actor_of(request).may("administer"),
        film=await service.look_up(lambda: _film_of(service, datetime.now(UTC).date())),
        due=await service.look_up(lambda: _due(service.filled, actor_of(request).student)),
        model=service.checkpoint.fingerprint,
    )


def _due(library: Library | None, student: str) -> int:
    """How many films are due to a student today."""
    return len(due_ids(library.teaching.reviews(student), end_of_day())) if library is not None else 0


def _wall(service: Service) -> list[dict[str, Any]]:
    """The eight tiles, each with the number of its studies and, where there are films, one of them."""
    searched = service.searched
    if searched is None:
        return []
    index, tiles = service.facet_index(), []
    for code in TILES:
        if not (ids := index.values["finding"].get(code)):
            continue
        picture = _plainest(service.filled, sorted(ids)) if service.filled is not None else ""
        where = address(Question(labels=(code,)))
        name = service.names.get(code, code)
        tiles.append({"code": code, "name": short_name(name), "long": name, "count": len(ids), "picture": picture,
                      "address": where})  # fmt: skip
    return tiles


def _plainest(library: Library, ids: list[str]) -> str:
    """The picture of a study that shows little else."""
    known = library.summaries(ids[:40])
    for most in (1, 2, 9):
        for study in sorted(known):
            if (tile := _tile(study, known[study])) and len(known[study].labels) <= most:
                return tile["picture"]
    return ""


def _film_of(service: Service, day: date) -> dict[str, str] | None:
    """The film of the day: another each day, the same all day."""
    if service.filled is None:
        return None
    ids = service.filled.ids()
    first = int.from_bytes(sha256(day.isoformat().encode()).digest()[:6]) % len(ids)
    near = [ids[(first + step) % len(ids)] for step in range(min(20, len(ids)))]
    tiles = (_tile(*each) for each in service.filled.summaries(near).items())
    return next(filter(None, tiles), None)


def _tile(study: str, known: Summary) -> dict[str, str] | None:
    """A study by a small picture of its film; None without one that is no lateral."""
    row = front_row(each.view for each in known.images)
    return None if row is None else {"study_id": study, "picture": thumbnail_url(study, row)}


@router.get("/cases")
async def cases(request: Request, service: Asked) -> Response:
    """Studies brought in, as this browser remembers them, and some of the library to read."""
    return _page(request, "cases_page.html", here="/cases", some=await service.look_up(lambda: _some(service)))


def _some(service: Service) -> list[dict[str, str]]:
    """Films of the library to read unaided: what they show is not said."""
    if service.filled is None:
        return []
    ids = service.filled.ids()
    chosen = ids[:: max(1, len(ids) // 12)][:12]
    tiles = (_tile(*each) for each in sorted(service.filled.summaries(chosen).items()))
    return list(filter(None, tiles))


@router.get("/thumbnails/{study_id}/{row}")
async def thumbnail(service: Asked, study_id: StudyId, row: Row) -> Response:
    """A small picture of a stored film."""
    return Response(await service.look_up(lambda: service.thumbnail(study_id, row, THUMBNAIL)), media_type="image/jpeg")


# -- a case


@router.get("/case/{case_id}")
async def case(request: Request, service: Asked, case_id: Id) -> Response:
    """A study brought in: the plain film, the sentence, similar studies."""
    held = service.case(case_id)
    analysis, own = held.analysis, _own_labels(held.analysis.predictions)
    similar = await service.look_up(
        lambda: entries(analysis.neighbours, service.filled, service.names, own=own, beside=f"case:{case_id}")
    )
    said, notices = (
        sentence(analysis.predictions, held.study.report),
        unique_notices((*analysis.notices, *held.study.all_notices)),
    )
    here = installed_methods()
    trusted = shown_methods(service.checkpoint.fingerprint, here)
    others = (*(each for each in here if each not in trusted), TYPICAL_PLACE)
    calibration = service.checkpoint.calibration[analysis.mode]
    return _page(
        request,
        "case.html",
        analysis=analysis,
        case_id=case_id,
        sentence=said,
        bars=bars(analysis.predictions, calibration, service.checkpoint.vocabulary.codes),
        films=case_films(held, " ".join(map(str, said))),
        can_box=service.filled is not None,
        report=marked_report(held.study.report, service.names),
        similar=similar,
        doubts=[each.message for each in notices if each.code in DOUBTS],
        warnings=[each.message for each in notices if each.code not in DOUBTS],
        labels=[(p.label, p.name) for p in sorted(analysis.predictions, key=lambda p: -p.probability)],
        leading=leading_label(analysis.predictions, service.checkpoint.vocabulary.normal),
        methods=[(code, method(code).name) for code in (*trusted, *others)],
        today=datetime.now(UTC).date().isoformat(),
    )


def _own_labels(predictions: tuple[Prediction, ...]) -> list[str]:
    """What is called present."""
    return [p.label for p in predictions if p.flagged]


@router.get("/case/{case_id}/strip/normal")
async def normal_strip(service: Asked, case_id: Id) -> Response:
    """Studies that look like a case and were reported as normal."""
    held = service.case(case_id)
    normal = service.checkpoint.vocabulary.normal
    answer = await service.search(Question(labels=(normal,) if normal else (), k=10), held)
    own, beside = _own_labels(held.analysis.predictions), f"case:{case_id}"
    shown = await service.look_up(
        lambda: entries(answer.neighbours, service.filled, service.names, own=own, beside=beside)
    )
    return JSONResponse({"disclaimer": DISCLAIMER, "entries": shown})


@router.post("/case/{case_id}/anyway")
async def anyway(service: Asked, case_id: Id) -> Response:
    """Answer although the film is no chest radiograph."""
    held = service.case(case_id)
    await service.ask_model(lambda: service.answer_anyway(held))
    return JSONResponse({"disclaimer": DISCLAIMER, "case_id": case_id})


@router.get("/case/{case_id}/figure")
async def case_figure(
    service: Asked,
    case_id: Id,
    kind: Annotated[Literal["png", "pdf"], Query(alias="as")] = "png",
    row: Annotated[int, Query(ge=0, le=1000)] = 0,
    beside: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """A figure for a slide: the film, a study of the library beside it if asked for, the sentence, the credit."""
    held = service.case(case_id)
    film = film_at(held.study.radiographs, row)

    def drawn() -> Response:
        films = [FigureFilm(handout_pixels(film), "Your study", film.view)]
        if beside:
            films.append(_figure_film(service.opened.get(beside)))
        said = " ".join(map(str, sentence(held.analysis.predictions, held.study.report)))
        credit = [f"Model {service.checkpoint.fingerprint}", *([credit_of(beside)] if beside else [])]
        return _drawn(FilmSheet(tuple(films), said, " · ".join(credit)), kind, "lingula-figure")

    return await service.look_up(drawn)


def _figure_film(record: StudyRecord) -> FigureFilm:
    if not record.radiographs:
        raise InputError("not_found", "the study has no film.")
    stored = record.radiographs[front_row(each.view for each in record.radiographs) or 0]
    film = replace(stored, png=handout_film(record.study_id, stored)).radiograph()
    return FigureFilm(film.pixels, record.study_id, film.view)


def _drawn(figure: FilmSheet, kind: Literal["png", "pdf"], name: str) -> Response:
    """The figure as a file."""
    if kind == "png":
        return attachment(figure_png(figure), "image/png", f"{name}.png")
    return attachment(figure_pdf(figure), "application/pdf", f"{name}.pdf")


# -- two studies


@router.get("/case/{case_id}/with/{study_id}")
async def compare_case(request: Request, case_id: Id, study_id: StudyId) -> Response:
    """The address of a comparison before any two studies could be compared."""
    return RedirectResponse(f"/compare?{urlencode({'a': f'case:{case_id}', 'b': study_id})}", 303)


@router.get("/compare")
async def compare(
    request: Request, service: Asked, a: Annotated[str, Query(max_length=300)], b: Annotated[str, Query(max_length=300)]
) -> Response:
    """Two studies side by side, own or the library's, moving together: frontal with frontal, lateral with lateral."""
    one, other = await service.look_up(lambda: (_side(service, a), _side(service, b)))
    pairs = [
        (left, right)
        for view in (("frontal", "unknown"), ("lateral",))
        for left in [next((f for f in one["films"] if f.view in view), None)]
        for right in [next((f for f in other["films"] if f.view in view), None)]
        if left and right
    ]
    if not pairs and one["films"] and other["films"]:
        pairs = [(one["films"][0], other["films"][0])]
    why = (
        f"/api/cases/{a[5:]}/why/{b}" if a.startswith("case:") and not b.startswith("case:") and service.filled else ""
    )
    return _page(
        request,
        "compare.html",
        sides=(one, other),
        pairs=pairs,
        why=why,
        rows=[int(film.picture.rpartition("/")[2]) for film in pairs[0]] if pairs else [],
        words=difference(one["labels"], other["labels"], service.names),
        swapped=f"/compare?{urlencode({'a': b, 'b': a})}",
    )


def _side(service: Service, named: str) -> dict[str, Any]:
    """One side of a comparison: "case:ID", or a study of the library."""
    if named.startswith("case:"):
        held = service.case(named[5:])
        own = _own_labels(held.analysis.predictions)
        said = " ".join(map(str, sentence(held.analysis.predictions, held.study.report)))
        return {
            "title": "Your study", "page": f"/case/{named[5:]}", "films": case_films(held, said), "labels": own,
            "sentence": said, "report": marked_report(held.study.report, service.names),
        }  # fmt: skip
    record = service.gallery.get(named)
    words = film_words(record.labels or (), service.names)
    return {
        "title": record.study_id, "page": f"/study/{record.study_id}", "films": stored_films(record, words),
        "labels": list(record.labels or ()), "sentence": words, "report": marked_report(record.report, service.names),
    }  # fmt: skip


# -- search


@router.get("/search")
async def search(request: Request, service: Asked) -> Response:
    """A question and its answers; its whole state is in the address."""
    pairs = pairs_of(request.query_params.multi_items())
    query, held = _asked(service, pairs)
    is_asked = not query.is_empty or only_filters(query) or held is not None
    answer = await service.search(query.with_options(k=PAGE), held, browse=True) if is_asked else None
    case_id = held.case_id if held else ""
    shown = await service.look_up(lambda: _shown(service, answer.neighbours, case_id)) if answer else []
    facets = await service.look_up(lambda: _facets(service, query, pairs)) if service.searched is not None else []
    return _page(
        request,
        "search.html",
        here="/search",
        query=query,
        question=question(query),
        chips=chips(query, pairs),
        state=urlencode(pairs),
        case_id=case_id,
        answer=answer,
        shown=shown,
        facets=facets,
        is_last=answer is None or len(answer.neighbours) < PAGE,
        samples=[(text, address(Question.read(text))) for text in SAMPLES],
        has_films=service.filled is not None,
        wall=await service.look_up(lambda: _wall(service)) if answer is None else [],
    )


def _asked(service: Service, pairs: list[tuple[str, str]]) -> tuple[Question, Case | None]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    case_id = next(iter(values.get("case", [])), "")
    return query_of(values), service.case(case_id) if case_id else None


def _shown(service: Service, neighbours: Sequence[Neighbour], case_id: str) -> list[dict[str, Any]]:
    return entries(neighbours, service.filled, service.names, beside=f"case:{case_id}" if case_id else "")


@router.get("/search/more")
async def search_more(
    request: Request, service: Asked, page: Annotated[int, Query(ge=2, le=MOST_SHOWN // PAGE)] = 2
) -> Response:
    """A further page of the grid."""
    query, held = _asked(service, [pair for pair in pairs_of(request.query_params.multi_items()) if pair[0] != "page"])
    neighbours, is_last = await grid_page(service, query, held, page)
    shown = await service.look_up(lambda: _shown(service, neighbours, held.case_id if held else ""))
    for rank, each in enumerate(shown, (page - 1) * PAGE + 1):
        each["rank"] = rank
    return JSONResponse({"disclaimer": DISCLAIMER, "entries": shown, "last": is_last})


def _facets(service: Service, query: Question, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Counts that can be clicked: each leads to the question with it, or without it where it holds."""
    titles = {"finding": "Finding", "side": "Side (the patient’s)", "age": "Age", "view": "Films"}
    names = {"bilateral": "both", "frontal": "with a frontal film", "lateral": "with a lateral film"}
    shown = []
    for facet in service.facets(query):
        values = []
        for value, count in facet.counts[:12]:
            holds, leads = _facet_link(facet.name, value, query, pairs)
            name = service.names.get(value, names.get(value, value.replace("-120", " and older").replace("-", "–")))
            values.append({"name": name, "count": count, "holds": holds, "address": leads})
        shown.append({"title": titles[facet.name], "values": values})
    return shown


def _facet_link(name: str, value: str, query: Question, pairs: list[tuple[str, str]]) -> tuple[bool, str]:
    if name == "finding":
        old = next((pair for pair in pairs if pair == ("label", value)), None)
        held = old is not None or any(same_finding(value, each) for each in query.present)
        return held, changed(pairs, old, None) if old else changed(pairs, None, ("label", value))
    if name == "side":
        first = query.present[0]
        old = ("present", ".".join((first.finding, first.side or "", first.place or "")).rstrip("."))
        holds = first.side == value
        new = ".".join((first.finding, "" if holds else value, first.place or "")).rstrip(".")
        return holds, changed(pairs, old, ("present", new))
    holds = (name, value) in pairs
    return holds, without_name(pairs, name, "" if holds else value)


# -- a study of the library


@router.get("/study/{study_id}")
async def study(request: Request, service: Asked, study_id: StudyId) -> Response:
    """A study of the library, or one that ships with the model: film, report, coding, similar ones."""
    record = await service.look_up(lambda: service.gallery.get(study_id))
    neighbours: list[dict[str, Any]] = []
    if record.modes:
        answer = await service.search(Question(like=study_id, k=10))
        own = list(record.labels or ())
        neighbours = await service.look_up(
            lambda: entries(answer.neighbours, service.filled, service.names, own=own, beside=study_id)
        )
    images = tuple(each.image_id for each in record.radiographs)
    if not images and service.searched is not None:
        images = tuple(
            each.image_id for known in service.searched.summaries([study_id]).values() for each in known.images
        )
    return _page(
        request,
        "study.html",
        study=record,
        films=stored_films(record, film_words(record.labels or (), service.names)),
        coded=[(code, service.names.get(code, code)) for code in record.labels or ()],
        report=marked_report(record.report, service.names),
        similar=neighbours,
        link=published(study_id, images),
        can_ask=service.filled is not None and bool(record.radiographs or record.report),
        can_delete=service.filled is not None and actor_of(request).may("administer"),
    )


@router.get("/study/{study_id}/figure")
async def study_figure(
    service: Asked,
    study_id: StudyId,
    kind: Annotated[Literal["png", "pdf"], Query(alias="as")] = "png",
    beside: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """A figure of a stored film, or of two."""

    def drawn() -> Response:
        ids = [study_id, *([beside] if beside else [])]
        records = [service.opened.get(each) for each in ids]
        words = " ".join(film_words(each.labels or (), service.names) for each in records) if not beside else ""
        films = tuple(_figure_film(each) for each in records)
        name = f"lingula-{public_file_name(study_id)}"
        return _drawn(FilmSheet(films, words, " · ".join(map(credit_of, ids))), kind, name)

    return await service.look_up(drawn)


def public_file_name(study_id: str) -> str:
    """A study's id as far as a file's name can hold it."""
    return "".join(char for char in study_id if char.isascii() and (char.isalnum() or char in "-_."))[:64] or "study"


# -- learn, library, about


@router.get("/practice")
async def practice(request: Request, service: Asked) -> Response:
    """Unknown films to say something of."""
    if service.filled is None:
        return _page(request, "no_films.html", here="/learn", title="Learn", can_get=service.settings.folder_imports)
    status = await service.look_up(service.opened.status)
    labels = [(code, service.names.get(code, code)) for code, count in status.labels.items() if count]
    normal = service.checkpoint.vocabulary.normal
    return _page(request, "practice.html", here="/learn", labels=[pair for pair in labels if pair[0] != normal])


@router.get("/words")
async def words(request: Request) -> Response:
    """Every word of the pages with its meaning."""
    return _page(request, "words.html", terms=list(glossary().values()))


@router.get("/library")
async def library(request: Request, service: Asked) -> Response:
    """What the library holds, a map of it, and a way in."""
    held = service.library
    status = await service.look_up(held.status) if held is not None else None
    refused = await service.look_up(held.refusals) if held is not None else ()
    return _page(
        request,
        "library.html",
        here="/library",
        status=status,
        names={code: finding.name for code, finding in search_findings().items()} | service.names,
        refused=[(_source_name(held, each.source), each.code, cause(each.code)) for each in refused],
        folder_imports=service.settings.folder_imports,
        may_import=actor_of(request).may("administer"),
        ready=len(service.searched) if service.searched is not None else 0,
    )


def _source_name(library: Library | None, source: str) -> str:
    """A refused file by a name that holds nothing of its path: libraries of before kept paths."""
    return public_name(library.secret, source) if library is not None else ""


@router.get("/about")
@router.get("/model")
async def model(request: Request, service: Asked) -> Response:
    """What is known of the model: how it was trained and how it was evaluated."""
    checkpoint, folder = service.checkpoint, service.settings.evaluation
    tables, card = evaluation_of(folder) if folder is not None else ((), "")
    facts = {key: value for key, value in checkpoint.training.items() if isinstance(value, str | int | float)}
    counts = checkpoint.training.get("studies", {})
    return _page(
        request,
        "model.html",
        here="/about",
        fingerprint=checkpoint.fingerprint,
        facts=facts,
        counts=counts if isinstance(counts, dict) else {},
        labels=checkpoint.vocabulary.labels,
        thresholds={mode: dict(zip(checkpoint.vocabulary.codes, each.threshold, strict=True))
                    for mode, each in checkpoint.calibration.items()},
        film_alone=_film_alone(checkpoint),
        tables=tables,
        card=card,
    )  # fmt: skip


def _film_alone(checkpoint: Checkpoint) -> list[tuple[str, str, str]]:
    """(finding, studies with it that are called, those without it that are left alone), in counts of ten, of films
    without a report, at the thresholds; findings that validation could not tell anything of are left out."""
    calibration = checkpoint.calibration.get("image")
    if calibration is None:
        return []
    shares = zip(checkpoint.vocabulary.labels, calibration.at_threshold().tolist(), strict=True)
    told = [(label.name, *share) for label, share in shares if label.code != NORMAL and not any(map(math.isnan, share))]
    return [(name, in_ten(found), in_ten(left)) for name, found, left in told]


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
