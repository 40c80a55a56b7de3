"""The HTTP API: JSON in, JSON out, pictures as PNG. Routes translate; what they ask for is done elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, File, Form, Path, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from lingula import __version__
from lingula import retrieval as asked
from lingula.errors import ErrorAnswer, InputError, LibraryError, ServerError
from lingula.explanation import METHODS, TYPICAL_PLACE
from lingula.explanation.comparison import Why
from lingula.library import Library, LibraryStatus
from lingula.openi.collection import Refused
from lingula.page.explained import ShownExplanation
from lingula.page.methods import method
from lingula.plain import plain
from lingula.retrieval.region import Place, RegionAnswer
from lingula.server import schema
from lingula.server import serialise as shown
from lingula.server.access import LOCAL, Access
from lingula.server.answers import About, Refusals, ShownStudy, ThresholdCosts, Understood
from lingula.server.middleware import COOKIE
from lingula.server.query_string import address, keepable, legible, legible_query, merged, query_of
from lingula.server.redaction import without_paths
from lingula.server.service import Service
from lingula.study import Analysis, Mode, Study
from lingula.teaching.dicom_marks import FileMarks

REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.answer(ErrorAnswer), "description": words}
    for status, words in {
        400: "The request is not well formed.",
        401: "A token is needed.",
        403: "Another origin, another host name, or no header.",
        404: "There is no such thing.",
        405: "Not by this method.",
        409: "Model, library or identifiers do not go together.",
        413: "Too large.",
        422: "A file or an argument was refused; the code says why.",
        503: "Too many are waiting; see Retry-After.",
    }.items()
}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A picture."}}

router = APIRouter(prefix="/api", responses=REFUSED)
CaseId = Annotated[str, Path(max_length=64)]
StudyId = Annotated[str, Path(max_length=256)]
Row = Annotated[int, Path(ge=0, le=1000)]
Label = Annotated[str, Path(max_length=64)]


def answered(answer: object, status: int = 200) -> JSONResponse:
    """A dataclass as the body of a response."""
    return JSONResponse(plain(answer), status)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def library_of(service: Service) -> Library:
    if service.library is None:
        raise LibraryError("library_missing", "The server was started without a library.", "Import one first.")
    return service.library


@router.get("/about", response_model=schema.answer(About), tags=["about"])
async def about(request: Request) -> Response:
    """Which model and library answer, and what can be asked for."""
    service = service_of(request)
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
async def operating(request: Request, mode: Mode) -> Response:
    """What a threshold costs: sensitivity and specificity on validation at each cut."""
    checkpoint = service_of(request).checkpoint
    return answered(shown.threshold_costs(checkpoint.calibration[mode], checkpoint.vocabulary.codes, mode))


@router.post("/cases", response_model=schema.answer(Analysis), status_code=201, tags=["cases"])
async def bring(
    request: Request,
    files: Annotated[
        list[UploadFile] | None, File(description="Films, and/or one report; DICOM marks on the films.")
    ] = None,
    text: Annotated[str, Form(description="Report as text.", max_length=100_000)] = "",
    same_study: Annotated[bool, Form(description="The films are of one study, although they may not say so.")] = False,
) -> Response:
    """Bring in one study: its films and/or report. Kept in memory only."""
    service = service_of(request)
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
async def bring_stored(request: Request, study_id: StudyId) -> Response:
    """Ask about a study of the library as if it had been brought in: the examples of the page."""
    service = service_of(request)
    library = library_of(service)
    return await _answer(service, await service.look_up(lambda: library.study(study_id)))


async def _answer(service: Service, study: Study, marks: tuple[FileMarks, ...] = ()) -> Response:
    case = await service.ask_model(lambda: service.answer(study, marks))
    return JSONResponse(shown.case_json(case), 201)


@router.get("/cases/{case_id}", response_model=schema.answer(Analysis), tags=["cases"])
async def case(request: Request, case_id: CaseId) -> Response:
    """A study brought in before."""
    return JSONResponse(shown.case_json(service_of(request).case(case_id)))


@router.delete("/cases/{case_id}", status_code=204, tags=["cases"])
async def forget(request: Request, case_id: CaseId) -> Response:
    """Forget it now."""
    service_of(request).forget(case_id)
    return Response(status_code=204)


@router.get("/cases/{case_id}/films/{row}", responses=PNG, response_class=Response, tags=["cases"])
async def film(
    request: Request,
    case_id: CaseId,
    row: Row,
    depth: Literal["8", "16"] = "8",
    side: Annotated[int, Query(ge=32, le=shown.LARGEST)] = 1024,
) -> Response:
    """A film as it is displayed, drawn anew. ``depth=16``: red is the high byte, green the low one."""
    service = service_of(request)
    films = service.case(case_id).study.radiographs
    if row >= len(films):
        raise InputError("not_found", f"the study has no film {row}.")
    bits: Literal[8, 16] = 8 if depth == "8" else 16
    return _png(await service.look_up(lambda: shown.film_png(films[row], bits, side)))


@router.get(
    "/cases/{case_id}/evidence/{label}/{method}", response_model=schema.answer(ShownExplanation), tags=["evidence"]
)
async def evidence(request: Request, case_id: CaseId, label: Label, method: Label, anyway: bool = False) -> Response:
    """What spoke for one finding, by one method: outlines on the films and words of the report. Without maps where the
    finding cannot be localised (``localisable`` is false), unless they are asked for ``anyway``."""
    service = service_of(request)
    held = service.case(case_id)

    def made() -> ShownExplanation:
        for explanation in service.evidence(held, label, (method,)):
            return shown.explained(held, explanation, service.names, anyway=anyway)
        raise InputError("bad_request", f"{method} needs a film, and there is none.")

    return answered(await service.ask_model(made))


@router.get(
    "/cases/{case_id}/evidence/{label}/{method}/maps/{row}", responses=PNG, response_class=Response, tags=["evidence"]
)
async def evidence_map(request: Request, case_id: CaseId, label: Label, method: Label, row: Row) -> Response:
    """The same as colours over one film."""
    service = service_of(request)
    held = service.case(case_id)

    def made() -> bytes:
        for explanation in service.evidence(held, label, (method,)):
            return shown.map_png(explanation, row)
        raise InputError("bad_request", f"{method} needs a film, and there is none.")

    return _png(await service.ask_model(made))


@router.get("/cases/{case_id}/why/{study_id}", response_model=schema.answer(Why), tags=["evidence"])
async def why(request: Request, case_id: CaseId, study_id: StudyId) -> Response:
    """Why a study of the library is like a case: shares that add up, matched regions, findings, sentences."""
    service = service_of(request)
    held = service.case(case_id)
    return answered(await service.ask_model(lambda: shown.why_with_maps(held, service.why(held, study_id))))


@router.get(
    "/cases/{case_id}/why/{study_id}/maps/{side}/{row}", responses=PNG, response_class=Response, tags=["evidence"]
)
async def why_map(
    request: Request, case_id: CaseId, study_id: StudyId, side: Literal["query", "neighbour"], row: Row
) -> Response:
    """The same as colours over one film."""
    service = service_of(request)
    held = service.case(case_id)
    return _png(await service.ask_model(lambda: shown.why_png(service.why(held, study_id), side, row)))


@router.post("/understand", response_model=schema.answer(Understood), tags=["search"])
async def understand(request: Request, body: schema.QuestionBody) -> Response:
    """Read a question in words: what it asks, and the address of the page that answers it."""
    service = service_of(request)
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
    request: Request, body: asked.Query, case: Annotated[str, Query(max_length=64, description="A case.")] = ""
) -> Response:
    """Search the library: by words, findings, filters, a study of it, a case, or any mix."""
    service = service_of(request)
    query = legible_query(body.with_text_read())
    return answered(await service.search(query, service.case(case) if case else None))


@router.post("/cases/{case_id}/region", response_model=schema.answer(RegionAnswer), tags=["search"])
async def region(request: Request, case_id: CaseId, body: schema.BoxBody) -> Response:
    """Search by what is inside a box on a film of a case; 503 ``busy`` while the library is prepared for it."""
    service = service_of(request)
    held = service.case(case_id)
    place = Place(body.film, body.x, body.y, body.width, body.height)
    answer = await service.region(held, place, mirrored=body.mirrored, k=body.k)
    return answered(shown.region_with_pictures(answer))


@router.get("/studies/{study_id}", response_model=schema.answer(ShownStudy), tags=["library"])
async def study(request: Request, study_id: StudyId) -> Response:
    """A study of the library."""
    service = service_of(request)
    library = library_of(service)
    return answered(shown.shown_study(await service.look_up(lambda: library.get(study_id))))


@router.get("/studies/{study_id}/films/{row}", responses=PNG, response_class=Response, tags=["library"])
async def stored_film(request: Request, study_id: StudyId, row: Row) -> Response:
    """The preview of a stored film."""
    service = service_of(request)
    library = library_of(service)
    record = await service.look_up(lambda: library.get(study_id))
    if row >= len(record.radiographs):
        raise InputError("not_found", f"the study has no film {row}.")
    return _png(record.radiographs[row].png)


@router.get("/library", response_model=schema.answer(LibraryStatus), tags=["library"])
async def status(request: Request) -> Response:
    """Counts by label, view and finding."""
    service = service_of(request)
    return answered(replace(await service.look_up(library_of(service).status), location=None))


@router.get("/library/refusals", response_model=schema.answer(Refusals), tags=["library"])
async def refusals(request: Request) -> Response:
    """What could not be imported, and why."""
    service = service_of(request)
    found = await service.look_up(library_of(service).refusals)
    names = (FilePath(each.source.replace("\\", "/").rpartition("/")[2]) for each in found)
    told = (
        Refused(name, each.code, without_paths(each.message, service.places))
        for name, each in zip(names, found, strict=True)
    )
    return answered(Refusals(tuple(told)))


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png")


__all__ = ["answered", "library_of", "router", "service_of"]
