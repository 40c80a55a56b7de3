"""The HTTP API of teaching: sets, tasks, class links, results; and of learning alone. Routes translate.

A class link opens one task of one set and nothing else: its requests lie under ``/class/`` with the link's own token,
and a student is a name in a cookie that is valid there alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, File, Path, Query, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lingula.errors import InputError, LibraryError, ServerError
from lingula.ingest.batches import store
from lingula.labels import search_findings
from lingula.library import Entry, Library
from lingula.library.access_records import hash_of
from lingula.library.teaching_records import ClassLink
from lingula.model.checkpoint import Checkpoint
from lingula.openi.collection import Refused
from lingula.plain import DISCLAIMER
from lingula.retrieval.judge import judge
from lingula.server import schema
from lingula.server.access import actor_of
from lingula.server.answers import ShownCard, ShownFindingProgress, ShownProgress, ShownVerdict
from lingula.server.routes.cases_and_search import PNG, REFUSED, Row, answered, library_of, service_of
from lingula.server.service import Service
from lingula.server.spool import SpoolFolder
from lingula.study import Study
from lingula.teaching import repetition
from lingula.teaching.anki import AnkiCard, hard_cards, set_cards, write_apkg
from lingula.teaching.dicom_marks import take_marks
from lingula.teaching.gathering import gathered
from lingula.teaching.practice import Difficulty, Practice, PracticeByStudent
from lingula.teaching.results import TeachingResults, propose_next, results_of
from lingula.teaching.sets import (
    Drawing,
    SetList,
    TeachingSet,
    add_cases,
    change_set,
    export_set,
    import_set,
    listed,
    load_set,
    load_sets,
    new_set,
    read_drawings,
)
from lingula.teaching.slides import set_slides, slide_png, slides_pdf
from lingula.teaching.tasks import Findings, GivenAnswer, Model, Reveal, Task, TaskQuestion, TaskSession

STUDENT = "lingula_student"
EXPORTED = 200
"""Cards of one package of what was hard: each holds its films."""
LONGEST_LINK = 365
"""Days a class link may stay open."""
SHORTEST_NAME, LONGEST_NAME = 1, 40
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}, "description": "A table."}}
PDF: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {}}, "description": "Slides."}}
FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}, "description": "The set."}}
APKG: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}, "description": "Cards."}}

router = APIRouter(prefix="/api", responses=REFUSED)
classes = APIRouter(prefix="/class/{token}", responses=REFUSED, tags=["class"])
SetId = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=64)]
Token = Annotated[str, Path(max_length=64)]
Student = Annotated[str, Query(max_length=LONGEST_NAME, description="Whose answers; one's own, left empty.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewSetBody(_Body):
    """A set to be made: of named studies, of those that answer a question, or of those like one."""

    title: str = Field(max_length=200)
    owner: str = Field("", max_length=200)
    study_ids: list[str] = Field([], max_length=200)
    query: str = Field("", max_length=1000)
    like: str = Field("", max_length=256)
    count: int = Field(10, ge=1, le=100)


class AddedBody(_Body):
    """Studies to add to a set: of the library, or one that was brought in, which the library then keeps."""

    study_ids: list[str] = Field([], max_length=200)
    case_id: str = Field("", max_length=64)


class AnswerBody(_Body):
    """An answer to a question; what the task does not ask for stays empty."""

    attempt: int = Field(0, ge=0)
    confidence: int = Field(50, ge=0, le=100)
    chosen: list[str] = Field([], max_length=32)
    side: str = Field("", max_length=1)
    drawings: list[dict[str, Any]] = Field([], max_length=20)
    text: str = Field("", max_length=5000)

    def given(self) -> GivenAnswer:
        return GivenAnswer(self.confidence, tuple(self.chosen), self.side, read_drawings(self.drawings), self.text)


class LinkBody(_Body):
    """What a class link opens, and for how many days."""

    task: Task = "quiz"
    days: int = Field(7, ge=1, le=LONGEST_LINK)


class NameBody(_Body):
    """A name or nickname."""

    name: str = Field(min_length=SHORTEST_NAME, max_length=LONGEST_NAME)


@dataclass(frozen=True, slots=True)
class ClassAddress:
    """Where a class goes, an address on this server, until when; told once, kept as a digest only."""

    address: str
    until: float
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class NextQuestion:
    """The next question; None when everything was answered right."""

    question: TaskQuestion | None
    disclaimer: str = DISCLAIMER


def findings_of(service: Service) -> Findings:
    """Names of labels and of the finer findings."""
    names = {code: each.name for code, each in search_findings().items()} | service.names
    return Findings(names, service.checkpoint.vocabulary.codes, service.checkpoint.vocabulary.normal)


def model_of(checkpoint: Checkpoint, library: Library) -> Model | None:
    """The model's probabilities of the studies of a library; None where it has no threshold for films."""
    judging = judge(checkpoint)
    if judging is None:
        return None

    def said(study_id: str) -> dict[str, float]:
        return {code: p for code, (p, _) in judging.of(library, [study_id]).get(study_id, {}).items()}

    return said


def student_name(request: Request, given: str = "") -> str:
    """Whose answers a request is about: those of who asks; of another student only for those who teach.

    Raises:
        ServerError: ``forbidden``.
    """
    actor = actor_of(request)
    if given and given != actor.student and not actor.may("teach"):
        raise ServerError("forbidden", "Your role does not allow to answer under another name.", "Leave the name out.")
    return given or actor.student


def _practice(request: Request) -> Practice:
    library_of(service_of(request))
    practices: PracticeByStudent = request.app.state.practice
    return practices.of(actor_of(request).student)


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


# -- sets


@router.get("/sets", response_model=schema.answer(SetList), tags=["sets"])
async def sets(request: Request) -> Response:
    """The library's sets."""
    service = service_of(request)
    library = library_of(service)
    found = await service.look_up(lambda: load_sets(library))
    return answered(listed(found))


@router.post("/sets", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def make_set(request: Request, body: NewSetBody) -> Response:
    """Make a set."""
    service = service_of(request)
    library = library_of(service)

    def made() -> TeachingSet:
        ids = gathered(
            library, service.checkpoint, study_ids=body.study_ids, query=body.query, like=body.like, count=body.count
        )
        return new_set(library, body.title, owner=body.owner, study_ids=ids)

    line = service.ask_model if body.query else service.look_up
    return answered(await line(made), 201)


@router.post("/sets/import", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def bring_set(request: Request, body: dict[str, Any]) -> Response:
    """Bring in an exported set."""
    service = service_of(request)
    library = library_of(service)
    text = await request.body()
    return answered(await service.look_up(lambda: import_set(library, text)), 201)


@router.get("/sets/{set_id}", response_model=schema.answer(TeachingSet), tags=["sets"])
async def one_set(request: Request, set_id: SetId) -> Response:
    """A set."""
    return answered(await _set(request, set_id))


@router.put("/sets/{set_id}", response_model=schema.answer(TeachingSet), tags=["sets"])
async def save_set(request: Request, set_id: SetId, body: dict[str, Any]) -> Response:
    """Store a set that was changed; its ``version`` says which one was read."""
    service = service_of(request)
    library = library_of(service)
    version = body.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError("bad_request", "the set's version is missing.", "Read the set first.")

    def saved() -> TeachingSet:
        return change_set(library, TeachingSet.from_json(body, set_id=set_id, version=version))

    return answered(await service.look_up(saved))


@router.delete("/sets/{set_id}", status_code=204, tags=["sets"])
async def delete_set(request: Request, set_id: SetId) -> Response:
    """Delete a set with its links and answers."""
    service = service_of(request)
    library = library_of(service)
    await service.look_up(lambda: library.teaching.delete_set(set_id))
    return Response(status_code=204)


@router.post("/sets/{set_id}/cases", response_model=schema.answer(TeachingSet), tags=["sets"])
async def add(request: Request, set_id: SetId, body: AddedBody) -> Response:
    """Add studies at the end of a set."""
    service = service_of(request)
    library, ids = library_of(service), list(body.study_ids)
    drawings: dict[str, tuple[Drawing, ...]] = {}
    if body.case_id:
        case = service.case(body.case_id)
        await service.ask_model(lambda: _keep(service, library, case.study))
        ids.append(case.study.study_id)
        drawings[case.study.study_id] = tuple(each for marks in case.marks for each in marks.drawings)
    return answered(await service.look_up(lambda: add_cases(library, load_set(library, set_id), ids, drawings)))


def _keep(service: Service, library: Library, study: Study) -> None:
    """Store a study that was brought in.

    Raises:
        InputError: why the library does not take it.
    """
    refused: list[Refused] = []
    store(library, service.checkpoint, [Entry(study, {})], refused, lambda done: None)
    if refused:
        raise InputError("bad_request", f"the library does not take it: {refused[0].code}.")


@router.post("/sets/{set_id}/cases/{study_id}/marks", response_model=schema.answer(TeachingSet), tags=["sets"])
async def marks(
    request: Request, set_id: SetId, study_id: Annotated[str, Path(max_length=256)], file: Annotated[UploadFile, File()]
) -> Response:
    """Take the marks of a DICOM presentation state or structured report for a study of the set."""
    service, known = service_of(request), await _set(request, set_id)
    library, data = library_of(service), await file.read(service.settings.limits.xml_bytes + 1)

    def taken() -> TeachingSet:
        with SpoolFolder() as folder:
            return take_marks(library, known, study_id, folder.add("marks.dcm", data))

    return answered(await service.look_up(taken))


@router.get("/sets/{set_id}/export", responses=FILE, response_class=Response, tags=["sets"])
async def export(request: Request, set_id: SetId) -> Response:
    """The set as one file: ids, words and marks of its teacher."""
    text = export_set(await _set(request, set_id))
    return Response(text, media_type="application/json", headers=_attachment("lingula-set.json"))


@router.get("/sets/{set_id}/slides.pdf", responses=PDF, response_class=Response, tags=["sets"])
async def slides(request: Request, set_id: SetId) -> Response:
    """Slides as PDF: each study as a question, then with its answer."""
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)
    drawn = await service.look_up(lambda: set_slides(library, known, findings_of(service)))
    if not drawn:
        raise LibraryError("library_empty", "The set has no study with a film.", "Add some.")
    data = await service.look_up(lambda: slides_pdf(drawn))
    return Response(data, media_type="application/pdf", headers=_attachment("lingula-slides.pdf"))


@router.get("/sets/{set_id}/slides/{number}", responses=PNG, response_class=Response, tags=["sets"])
async def slide(request: Request, set_id: SetId, number: Annotated[int, Path(ge=1, le=400)]) -> Response:
    """One slide as PNG; the answer of study n is slide 2 n."""
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)
    drawn = await service.look_up(lambda: set_slides(library, known, findings_of(service), only=number))
    if not drawn:
        raise InputError("not_found", "there is no such slide.")
    return Response(slide_png(drawn[0]), media_type="image/png")


@router.get("/sets/{set_id}/anki", responses=APKG, response_class=Response, tags=["sets"])
async def anki(request: Request, set_id: SetId) -> Response:
    """Cards for Anki (.apkg)."""
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)
    return await _apkg(
        service, known.title, lambda: list(set_cards(library, known, findings_of(service))), "lingula-set"
    )


async def _apkg(service: Service, title: str, cards: Any, name: str) -> Response:
    def packed() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file = FilePath(folder) / "cards.apkg"
            made: Sequence[AnkiCard] = cards()
            write_apkg(file, title, made)
            return file.read_bytes()

    data = await service.look_up(packed)
    return Response(data, media_type="application/octet-stream", headers=_attachment(f"{name}.apkg"))


@router.get("/sets/{set_id}/results", response_model=schema.answer(TeachingResults), tags=["sets"])
async def results(request: Request, set_id: SetId) -> Response:
    """How it went: by student, film and finding."""
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)
    return answered(await service.look_up(lambda: results_of(library, known, findings_of(service))))


@router.post("/sets/{set_id}/next-set", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def next_set(request: Request, set_id: SetId) -> Response:
    """Make the set that is proposed after this one: more of what was missed, and look-alikes without it."""
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)

    def made() -> TeachingSet:
        ids = propose_next(library, known, findings_of(service))
        if not ids:
            raise InputError("bad_request", "Nothing was answered yet.", "A next set follows from the answers.")
        return new_set(library, f"After {known.title}"[:200], owner=known.owner, study_ids=ids)

    return answered(await service.look_up(made), 201)


@router.post("/sets/{set_id}/links", response_model=schema.answer(ClassAddress), status_code=201, tags=["sets"])
async def make_link(request: Request, set_id: SetId, body: LinkBody) -> Response:
    """A link for a class: opens one task of this set and nothing else."""
    service, known = service_of(request), await _set(request, set_id)
    library, token = library_of(service), secrets.token_urlsafe(18)
    until = time.time() + 86_400 * body.days
    link = ClassLink(hash_of(token), known.set_id, body.task, until)
    await service.look_up(lambda: library.teaching.add_link(link))
    return answered(ClassAddress(f"/class/{token}", until), 201)


@router.delete("/sets/{set_id}/links", status_code=204, tags=["sets"])
async def close_links(request: Request, set_id: SetId) -> Response:
    """Close all class links of a set."""
    service = service_of(request)
    library = library_of(service)
    await service.look_up(lambda: library.teaching.delete_links(set_id))
    return Response(status_code=204)


async def _set(request: Request, set_id: str) -> TeachingSet:
    service = service_of(request)
    library = library_of(service)
    return await service.look_up(lambda: load_set(library, set_id))


# -- tasks


async def _session(request: Request, set_id: str, task: Task, student: str, link_id: str = "") -> TaskSession:
    service, known = service_of(request), await _set(request, set_id)
    library = library_of(service)
    model = model_of(service.checkpoint, library)
    return await service.look_up(
        lambda: TaskSession(library, known, task, student, findings_of(service), link_id=link_id, model=model)
    )


@router.get("/sets/{set_id}/{task}/next", response_model=schema.answer(NextQuestion), tags=["tasks"])
async def next_question(request: Request, set_id: SetId, task: Task, student: Student = "") -> Response:
    """The next question; nothing in it tells the answer."""
    session = await _session(request, set_id, task, student_name(request, student))
    return _asked(await service_of(request).look_up(session.next))


@router.get("/sets/{set_id}/{task}/{question_id}/films/{row}", responses=PNG, response_class=Response, tags=["tasks"])
async def task_film(
    request: Request, set_id: SetId, task: Task, question_id: Id, row: Row, student: Student = ""
) -> Response:
    """A film of a question; of a pair, 0 is film A."""
    session = await _session(request, set_id, task, student_name(request, student))
    return _film(await service_of(request).look_up(lambda: session.film(question_id, row)))


@router.get(
    "/sets/{set_id}/{task}/{question_id}/alike/{number}/films/{row}",
    responses=PNG, response_class=Response, tags=["tasks"],
)  # fmt: skip
async def task_look_alike(
    request: Request, set_id: SetId, task: Task, question_id: Id, number: Row, row: Row, student: Student = ""
) -> Response:
    """A film of a look-alike, once the question was answered."""
    session = await _session(request, set_id, task, student_name(request, student))
    return _film(await service_of(request).look_up(lambda: session.look_alike_film(question_id, number, row)))


@router.post("/sets/{set_id}/{task}/{question_id}", response_model=schema.answer(Reveal), tags=["tasks"])
async def task_answer(
    request: Request, set_id: SetId, task: Task, question_id: Id, body: AnswerBody, student: Student = ""
) -> Response:
    """Answer a question; what it shows comes back."""
    session = await _session(request, set_id, task, student_name(request, student))
    return answered(await service_of(request).look_up(lambda: session.answer(question_id, body.given(), body.attempt)))


def _asked(question: TaskQuestion | None) -> Response:
    return answered(NextQuestion(question))


def _film(png: bytes) -> Response:
    return Response(png, media_type="image/png")


# -- a class


async def link_of(request: Request, token: str) -> ClassLink:
    """The link of a token.

    Raises:
        ServerError: ``link_unknown`` for one that was closed, has run out, or never was.
    """
    service = service_of(request)
    library = library_of(service)
    link = await service.look_up(lambda: library.teaching.link(hash_of(token)))
    if link is None or link.until < time.time():
        raise ServerError("link_unknown", "This link is not open.", "Ask your teacher for a new one.")
    return link


def student_of(request: Request, link: ClassLink) -> str:
    """The name a student joined under; empty before."""
    name, _, seal = request.cookies.get(STUDENT, "").partition(".")
    try:
        student = base64.urlsafe_b64decode(name.encode()).decode()
    except (ValueError, UnicodeDecodeError):
        return ""
    sealed = _seal(library_of(service_of(request)), link, student)
    return student if hmac.compare_digest(seal.encode(), sealed.encode()) else ""


def _seal(library: Library, link: ClassLink, student: str) -> str:
    about = f"student\0{link.link_id}\0{student}".encode()
    return hmac.new(library.secret, about, hashlib.sha256).hexdigest()


async def _class_session(request: Request, token: str) -> TaskSession:
    link = await link_of(request, token)
    if not (student := student_of(request, link)):
        raise ServerError("forbidden", "Join the class first.", "Open the link and give a name.")
    task: Task = link.task  # type: ignore[assignment]
    return await _session(request, link.set_id, task, student, link.link_id)


@classes.post("/join", status_code=204)
async def join(request: Request, token: Token, body: NameBody) -> Response:
    """Join under a name or nickname, which nobody in the class has answered under."""
    link, name = await link_of(request, token), " ".join(body.name.split())
    if not name or not name.isprintable():
        raise InputError("bad_request", "a name has letters.")
    service = service_of(request)
    library = library_of(service)
    if student_of(request, link) != name:
        given = await service.look_up(lambda: library.teaching.answers(set_id=link.set_id, student=name))
        if any(each.link_id == link.link_id for each in given):
            raise InputError("bad_request", "Somebody in this class has that name.", "Add a letter to yours.")
    value = base64.urlsafe_b64encode(name.encode()).decode() + "." + _seal(library, link, name)
    answer = Response(status_code=204)
    is_secure = request.url.scheme == "https"
    answer.set_cookie(STUDENT, value, path=f"/class/{token}", httponly=True, samesite="lax", secure=is_secure)
    return answer


@classes.get("/next", response_model=schema.answer(NextQuestion))
async def class_next(request: Request, token: Token) -> Response:
    """The next question of the class's task."""
    session = await _class_session(request, token)
    return _asked(await service_of(request).look_up(session.next))


@classes.get("/{question_id}/films/{row}", responses=PNG, response_class=Response)
async def class_film(request: Request, token: Token, question_id: Id, row: Row) -> Response:
    """A film of a question."""
    session = await _class_session(request, token)
    return _film(await service_of(request).look_up(lambda: session.film(question_id, row)))


@classes.get("/{question_id}/alike/{number}/films/{row}", responses=PNG, response_class=Response)
async def class_look_alike(request: Request, token: Token, question_id: Id, number: Row, row: Row) -> Response:
    """A film of a look-alike, once the question was answered."""
    session = await _class_session(request, token)
    return _film(await service_of(request).look_up(lambda: session.look_alike_film(question_id, number, row)))


@classes.post("/{question_id}", response_model=schema.answer(Reveal))
async def class_answer(request: Request, token: Token, question_id: Id, body: AnswerBody) -> Response:
    """Answer a question; what it shows comes back."""
    session = await _class_session(request, token)
    return answered(await service_of(request).look_up(lambda: session.answer(question_id, body.given(), body.attempt)))


# -- alone


@router.post("/practice", response_model=schema.answer(ShownCard), status_code=201, tags=["practice"])
async def next_card(
    request: Request,
    finding: Annotated[str, Query(max_length=64, description="A label to practise; empty for all.")] = "",
    difficulty: Difficulty = "easy",
) -> Response:
    """The next unknown film."""
    service, practice = service_of(request), _practice(request)
    if finding and finding not in service.names:
        raise InputError("bad_request", f"no label {finding!r}.")
    card = await service.look_up(lambda: practice.next(finding, difficulty))
    shown = ShownCard(
        card_id=card.card_id,
        films=tuple(f"/api/practice/{card.card_id}/films/{row}" for row in range(len(card.rows))),
        choices={code: service.names.get(code, code) for code in card.choices},
        difficulty=card.difficulty,
        due=await service.look_up(practice.due),
    )
    return answered(shown, 201)


@router.get("/practice/progress", response_model=schema.answer(ShownProgress), tags=["practice"])
async def progress(request: Request) -> Response:
    """How it goes, by finding; what is due now, and by the end of the day."""
    service, practice = service_of(request), _practice(request)
    seen, due = await service.look_up(lambda: (practice.findings, practice.due()))
    today = await service.look_up(lambda: practice.due(repetition.end_of_day()))
    found = {
        code: ShownFindingProgress(service.names.get(code, code), each.seen, each.right)
        for code, each in sorted(seen.items())
    }
    return answered(ShownProgress(due, today, found, await service.look_up(lambda: practice.calibration)))


@router.get("/practice/export", responses=CSV, response_class=Response, tags=["practice"])
async def export_practice(request: Request) -> Response:
    """Progress by study as CSV."""
    text = await service_of(request).look_up(_practice(request).export)
    return Response(f"# {DISCLAIMER}\r\n{text}", media_type="text/csv", headers=_attachment("lingula-practice.csv"))


@router.get("/practice/export/anki", responses=APKG, response_class=Response, tags=["practice"])
async def export_anki(request: Request) -> Response:
    """The films answered before, hardest first, as cards for Anki (.apkg)."""
    service, practice = service_of(request), _practice(request)
    library = library_of(service)

    def cards() -> list[AnkiCard]:
        return list(hard_cards(library, practice.hardest()[:EXPORTED], findings_of(service)))

    return await _apkg(service, "Practice", cards, "lingula-practice")


@router.get("/practice/{card_id}/films/{row}", responses=PNG, response_class=Response, tags=["practice"])
async def card_film(request: Request, card_id: Id, row: Row) -> Response:
    """The film of an open card."""
    service, card = service_of(request), _practice(request).card(card_id)
    if row >= len(card.rows):
        raise InputError("not_found", "the card has no such film.")
    record = await service.look_up(lambda: library_of(service).get(card.study_id))
    return Response(record.radiographs[card.rows[row]].png, media_type="image/png")


@router.post("/practice/{card_id}", response_model=schema.answer(ShownVerdict), tags=["practice"])
async def verdict_on(request: Request, card_id: Id, body: schema.TickedBody) -> Response:
    """Answer a card, once; what the film shows comes with the verdict."""
    service, practice = service_of(request), _practice(request)
    verdict = await service.look_up(lambda: practice.answer(card_id, body.chosen, body.confidence))
    record = await service.look_up(lambda: library_of(service).get(verdict.card.study_id))

    def named(codes: Iterable[str]) -> tuple[str, ...]:
        return tuple(service.names.get(code, code) for code in codes)

    return answered(
        ShownVerdict(
            right=verdict.is_right,
            answer=named(sorted(verdict.card.answer)),
            missed=named(verdict.missed),
            wrong=named(verdict.wrong),
            due=verdict.due,
            study_id=record.study_id,
            labels=named(record.labels or ()),
            report=record.report.text if record.report else None,
        )
    )
