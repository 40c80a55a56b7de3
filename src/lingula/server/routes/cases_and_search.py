"""The HTTP API: JSON in, JSON out, pictures as PNG. Routes translate; what they ask for is done elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from lingula import __version__
from lingula import retrieval as asked
from lingula.errors import InputError, ServerError
from lingula.explanation import METHODS, TYPICAL_PLACE
from lingula.explanation.comparison import Why
from lingula.library import LibraryStatus
from lingula.openi.collection import Refused
from lingula.page.explained import ShownExplanation
from lingula.page.methods import method
from lingula.retrieval.region import Place, RegionAnswer
from lingula.server import schema
from lingula.server import serialise as shown
from lingula.server.access import LOCAL, Access
from lingula.server.answers import About, Refusals, ShownStudy, ThresholdCosts, Understood
from lingula.server.middleware import COOKIE
from lingula.server.query_string import address, keepable, legible, legible_query, merged, query_of
from lingula.server.redaction import without_paths
from lingula.server.routes.dependencies import PNG, REFUSED, Asked, Id, Row, StudyId, answered, png
from lingula.server.service import Service, film_at
from lingula.study import Analysis, Mode, Study
from lingula.teaching.dicom_marks import FileMarks

router = APIRouter(prefix="/api", responses=REFUSED)


@router.get("/about", response_model=schema.answer(About), tags=["about"])
async def about(service: Asked) -> Response:
    """Which model and library answer, and what can be asked for."""
    studies = await service.look_up(lambda: len(service.library) if service.library is not None else 0)
    fingerprint = await service.look_up(lambda: service.library.fingerprint if service.library is not None else None)
    return answered(
        About(
            version=__version__,
            model=service.checkpoint.fingerprint,
            library=fingerprint,
            studies=studies,
            labels=service.names,
            methods={code: method(code).name for code in (*METHODS, TYPICAL_PLACE)},
        )
    )


@router.post("/session", status_code=204, tags=["about"])
async def session(request: Request, body: schema.TokenBody) -> Response:
    """Exchange a token, the server's or a user's, for a cookie that scripts cannot read."""
    access: Access = request.app.state.access
    actor = await access.actor(body.token)
    if actor.role is None or (actor is LOCAL and body.token):
        raise ServerError("unauthorized", "That is not a token of this server.", "Ask who gave it to you for another.")
    request.scope["state"]["actor"] = actor
    answer = Response(status_code=204)
    if body.token:
        answer.set_cookie(COOKIE, body.token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


@router.delete("/session", status_code=204, tags=["about"])
async def sign_out(request: Request) -> Response:
    """Give the cookie back. The token itself stays good until it is revoked or ends."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


@router.get("/operating/{mode}", response_model=schema.answer(ThresholdCosts), tags=["about"])
async def operating(service: Asked, mode: Mode) -> Response:
    """What a threshold costs: sensitivity and specificity on validation at each cut."""
    checkpoint = service.checkpoint
    return answered(shown.threshold_costs(checkpoint.calibration[mode], checkpoint.vocabulary.codes, mode))


@router.post("/cases", response_model=schema.answer(Analysis), status_code=201, tags=["cases"])
async def bring(
    service: Asked,
    files: Annotated[
        list[UploadFile] | None, File(description="Films, and/or one report; DICOM marks on the films.")
    ] = None,
    text: Annotated[str, Form(description="Report as text.", max_length=100_000)] = "",
    same_study: Annotated[bool, Form(description="The films are of one study, although they may not say so.")] = False,
) -> Response:
    """Bring in one study: its films and/or report. Kept in memory only."""
    most = service.settings.limits.file_bytes
    brought = []
    for file in files or []:
        data = await file.read(most + 1)
        if len(data) > most:
            raise InputError("too_large", f"a file exceeds {most} bytes.")
        brought.append((file.filename or "", data))
    if not brought and not text.strip():
        raise InputError("bad_request", "nothing to read.", "Give a film, a report, or both.")
    study, marks = await service.look_up(lambda: service.read(brought, text.strip() or None, same_study=same_study))
    return await _answer(service, study, marks)


@router.post("/studies/{study_id}/case", response_model=schema.answer(Analysis), status_code=201, tags=["cases"])
async def bring_stored(service: Asked, study_id: StudyId) -> Response:
    """Ask about a study of the library as if it had been brought in: the examples of the page."""
    return await _answer(service, await service.look_up(lambda: service.opened.study(study_id)))


async def _answer(service: Service, study: Study, marks: tuple[FileMarks, ...] = ()) -> Response:
    case = await service.ask_model(lambda: service.answer(study, marks))
    return JSONResponse(shown.case_json(case), 201)


@router.get("/cases/{case_id}", response_model=schema.answer(Analysis), tags=["cases"])
async def case(service: Asked, case_id: Id) -> Response:
    """A study brought in before."""
    return JSONResponse(shown.case_json(service.case(case_id)))


@router.delete("/cases/{case_id}", status_code=204, tags=["cases"])
async def forget(service: Asked, case_id: Id) -> Response:
    """Forget it now."""
    service.forget(case_id)
    return Response(status_code=204)


@router.get("/cases/{case_id}/films/{row}", responses=PNG, response_class=Response, tags=["cases"])
async def film(
    service: Asked,
    case_id: Id,
    row: Row,
    depth: Literal["8", "16"] = "8",
    side: Annotated[int, Query(ge=32, le=shown.LARGEST)] = 1024,
) -> Response:
    """A film as it is displayed, drawn anew. ``depth=16``: red is the high byte, green the low one."""
    film = film_at(service.case(case_id).study.radiographs, row)
    bits: Literal[8, 16] = 8 if depth == "8" else 16
    return png(await service.look_up(lambda: shown.film_png(film, bits, side)))


@router.get(
    "/cases/{case_id}/evidence/{label}/{method}", response_model=schema.answer(ShownExplanation), tags=["evidence"]
)
async def evidence(service: Asked, case_id: Id, label: Id, method: Id, anyway: bool = False) -> Response:
    """What spoke for one finding, by one method: outlines on the films and words of the report. Without maps where the
    finding cannot be localised (``localisable`` is false), unless they are asked for ``anyway``."""
    held = service.case(case_id)

    def made() -> ShownExplanation:
        return shown.explained(held, service.explanation(held, label, method), service.names, anyway=anyway)

    return answered(await service.ask_model(made))


@router.get(
    "/cases/{case_id}/evidence/{label}/{method}/maps/{row}", responses=PNG, response_class=Response, tags=["evidence"]
)
async def evidence_map(service: Asked, case_id: Id, label: Id, method: Id, row: Row) -> Response:
    """The same as colours over one film."""
    held = service.case(case_id)
    return png(await service.ask_model(lambda: shown.map_png(service.explanation(held, label, method), row)))


@router.get("/cases/{case_id}/why/{study_id}", response_model=schema.answer(Why), tags=["evidence"])
async def why(service: Asked, case_id: Id, study_id: StudyId) -> Response:
    """Why a study of the library is like a case: shares that add up, matched regions, findings, sentences."""
    held = service.case(case_id)
    return answered(await service.ask_model(lambda: shown.why_with_maps(held, service.why(held, study_id))))


@router.get(
    "/cases/{case_id}/why/{study_id}/maps/{side}/{row}", responses=PNG, response_class=Response, tags=["evidence"]
)
async def why_map(
    service: Asked, case_id: Id, study_id: StudyId, side: Literal["query", "neighbour"], row: Row
) -> Response:
    """The same as colours over one film."""
    held = service.case(case_id)
    return png(await service.ask_model(lambda: shown.why_png(service.why(held, study_id), side, row)))


@router.post("/understand", response_model=schema.answer(Understood), tags=["search"])
async def understand(service: Asked, body: schema.QuestionBody) -> Response:
    """Read a question in words: what it asks, and the address of the page that answers it."""
    values = parse_qs(body.address, max_num_fields=500)
    base, case_id = query_of(values), next(iter(values.get("case", ())), "")
    if body.text.strip():
        base = base.with_options(present=(), absent=(), uncertain=(), either=(), words=(), text="", age=None, view=None)
    read = asked.Query.read(legible(body.text), also=body.also, without=body.without)
    query = merged(base, read)
    kept, left = await service.look_up(lambda: keepable(service.checkpoint.tokenizer, query.words))
    return answered(
        Understood(
            query=query,
            understood=query.explain(),
            not_understood=query.not_understood,
            address=address(query.with_options(words=kept), case_id),
            left_out=left,
            study=await service.look_up(lambda: service.study_named(body.text)),
        )
    )


@router.post("/search", response_model=schema.answer(asked.Answer), tags=["search"])
async def search(
    service: Asked, body: asked.Query, case: Annotated[str, Query(max_length=64, description="A case.")] = ""
) -> Response:
    """Search the library: by words, findings, filters, a study of it, a case, or any mix."""
    query = legible_query(body.with_text_read())
    return answered(await service.search(query, service.case(case) if case else None))


@router.post("/cases/{case_id}/region", response_model=schema.answer(RegionAnswer), tags=["search"])
async def region(service: Asked, case_id: Id, body: schema.BoxBody) -> Response:
    """Search by what is inside a box on a film of a case; 503 ``busy`` while the library is prepared for it."""
    held = service.case(case_id)
    place = Place(body.film, body.x, body.y, body.width, body.height)
    answer = await service.region(held, place, mirrored=body.mirrored, k=body.k)
    return answered(shown.region_with_pictures(answer))


@router.get("/studies/{study_id}", response_model=schema.answer(ShownStudy), tags=["library"])
async def study(service: Asked, study_id: StudyId) -> Response:
    """A study of the library."""
    return answered(shown.shown_study(await service.look_up(lambda: service.opened.get(study_id))))


@router.get("/studies/{study_id}/films/{row}", responses=PNG, response_class=Response, tags=["library"])
async def stored_film(service: Asked, study_id: StudyId, row: Row) -> Response:
    """The preview of a stored film."""
    record = await service.look_up(lambda: service.opened.get(study_id))
    return png(film_at(record.radiographs, row).png)


@router.get("/library", response_model=schema.answer(LibraryStatus), tags=["library"])
async def status(service: Asked) -> Response:
    """Counts by label, view and finding."""
    return answered(replace(await service.look_up(service.opened.status), location=None))


@router.get("/library/refusals", response_model=schema.answer(Refusals), tags=["library"])
async def refusals(service: Asked) -> Response:
    """What could not be imported, and why."""
    found = await service.look_up(service.opened.refusals)
    names = (FilePath(each.source.replace("\\", "/").rpartition("/")[2]) for each in found)
    told = (
        Refused(name, each.code, without_paths(each.message, service.places))
        for name, each in zip(names, found, strict=True)
    )
    return answered(Refusals(tuple(told)))
