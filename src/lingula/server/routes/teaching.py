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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, File, Path, Query, Request, UploadFile
from fastapi.responses import Response
from pydantic import Field

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
from lingula.server.routes.dependencies import (
    PNG,
    REFUSED,
    Asked,
    Id,
    Row,
    StudyId,
    answered,
    attachment,
    described,
    needs_library,
    png,
)
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
CSV = described("text/csv", "A table.")
PDF = described("application/pdf", "Slides.")
FILE = described("application/json", "The set.")
APKG = described("application/octet-stream", "Cards.")

router = APIRouter(prefix="/api", responses=REFUSED, dependencies=[Depends(needs_library)])
classes = APIRouter(prefix="/class/{token}", responses=REFUSED, tags=["class"])
Student = Annotated[str, Query(max_length=LONGEST_NAME, description="Whose answers; one's own, left empty.")]


class NewSetBody(schema.Body):
    """A set to be made: of named studies, of those that answer a question, or of those like one."""

    title: str = Field(max_length=200)
    owner: str = Field("", max_length=200)
    study_ids: list[str] = Field([], max_length=200)
    query: str = Field("", max_length=1000)
    like: str = Field("", max_length=256)
    count: int = Field(10, ge=1, le=100)


class AddedBody(schema.Body):
    """Studies to add to a set: of the library, or one that was brought in, which the library then keeps."""

    study_ids: list[str] = Field([], max_length=200)
    case_id: str = Field("", max_length=64)


class AnswerBody(schema.Body):
    """An answer to a question; what the task does not ask for stays empty."""

    attempt: int = Field(0, ge=0)
    confidence: int = Field(50, ge=0, le=100)
    chosen: list[str] = Field([], max_length=32)
    side: str = Field("", max_length=1)
    drawings: list[dict[str, Any]] = Field([], max_length=20)
    text: str = Field("", max_length=5000)

    def given(self) -> GivenAnswer:
        return GivenAnswer(self.confidence, tuple(self.chosen), self.side, read_drawings(self.drawings), self.text)


class LinkBody(schema.Body):
    """What a class link opens, and for how many days."""

    task: Task = "quiz"
    days: int = Field(7, ge=1, le=LONGEST_LINK)


class NameBody(schema.Body):
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


async def _practice(request: Request) -> Practice:
    practices: PracticeByStudent = request.app.state.practice
    return practices.of(actor_of(request).student)


OwnPractice = Annotated[Practice, Depends(_practice)]


async def _set(service: Asked, set_id: Id) -> TeachingSet:
    return await service.look_up(lambda: load_set(service.opened, set_id))


Known = Annotated[TeachingSet, Depends(_set)]
"""The set that an address names."""


# -- sets


@router.get("/sets", response_model=schema.answer(SetList), tags=["sets"])
async def sets(service: Asked) -> Response:
    """The library's sets."""
    return answered(listed(await service.look_up(lambda: load_sets(service.opened))))


@router.post("/sets", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def make_set(service: Asked, body: NewSetBody) -> Response:
    """Make a set."""

    def made() -> TeachingSet:
        ids = gathered(
            service.opened,
            service.checkpoint,
            study_ids=body.study_ids,
            query=body.query,
            like=body.like,
            count=body.count,
        )
        return new_set(service.opened, body.title, owner=body.owner, study_ids=ids)

    line = service.ask_model if body.query else service.look_up
    return answered(await line(made), 201)


@router.post("/sets/import", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def bring_set(request: Request, service: Asked, body: dict[str, Any]) -> Response:
    """Bring in an exported set."""
    text = await request.body()
    return answered(await service.look_up(lambda: import_set(service.opened, text)), 201)


@router.get("/sets/{set_id}", response_model=schema.answer(TeachingSet), tags=["sets"])
async def one_set(known: Known) -> Response:
    """A set."""
    return answered(known)


@router.put("/sets/{set_id}", response_model=schema.answer(TeachingSet), tags=["sets"])
async def save_set(service: Asked, set_id: Id, body: dict[str, Any]) -> Response:
    """Store a set that was changed; its ``version`` says which one was read."""
    version = body.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError("bad_request", "the set's version is missing.", "Read the set first.")

    def saved() -> TeachingSet:
        return change_set(service.opened, TeachingSet.from_json(body, set_id=set_id, version=version))

    return answered(await service.look_up(saved))


@router.delete("/sets/{set_id}", status_code=204, tags=["sets"])
async def delete_set(service: Asked, set_id: Id) -> Response:
    """Delete a set with its links and answers."""
    await service.look_up(lambda: service.opened.teaching.delete_set(set_id))
    return Response(status_code=204)


@router.post("/sets/{set_id}/cases", response_model=schema.answer(TeachingSet), tags=["sets"])
async def add(service: Asked, set_id: Id, body: AddedBody) -> Response:
    """Add studies at the end of a set."""
    library, ids = service.opened, list(body.study_ids)
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
async def marks(service: Asked, known: Known, study_id: StudyId, file: Annotated[UploadFile, File()]) -> Response:
    """Take the marks of a DICOM presentation state or structured report for a study of the set."""
    library, data = service.opened, await file.read(service.settings.limits.xml_bytes + 1)

    def taken() -> TeachingSet:
        with SpoolFolder() as folder:
            return take_marks(library, known, study_id, folder.add("marks.dcm", data), service.sandbox)

    return answered(await service.look_up(taken))


@router.get("/sets/{set_id}/export", responses=FILE, response_class=Response, tags=["sets"])
async def export(known: Known) -> Response:
    """The set as one file: ids, words and marks of its teacher."""
    return attachment(export_set(known), "application/json", "lingula-set.json")


@router.get("/sets/{set_id}/slides.pdf", responses=PDF, response_class=Response, tags=["sets"])
async def slides(service: Asked, known: Known) -> Response:
    """Slides as PDF: each study as a question, then with its answer."""
    drawn = await service.look_up(lambda: set_slides(service.opened, known, findings_of(service)))
    if not drawn:
        raise LibraryError("library_empty", "The set has no study with a film.", "Add some.")
    data = await service.look_up(lambda: slides_pdf(drawn))
    return attachment(data, "application/pdf", "lingula-slides.pdf")


@router.get("/sets/{set_id}/slides/{number}", responses=PNG, response_class=Response, tags=["sets"])
async def slide(service: Asked, known: Known, number: Annotated[int, Path(ge=1, le=400)]) -> Response:
    """One slide as PNG; the answer of study n is slide 2 n."""
    drawn = await service.look_up(lambda: set_slides(service.opened, known, findings_of(service), only=number))
    if not drawn:
        raise InputError("not_found", "there is no such slide.")
    return png(slide_png(drawn[0]))


@router.get("/sets/{set_id}/anki", responses=APKG, response_class=Response, tags=["sets"])
async def anki(service: Asked, known: Known) -> Response:
    """Cards for Anki (.apkg)."""
    cards = partial(set_cards, service.opened, known, findings_of(service))
    return await _apkg(service, known.title, cards, "lingula-set")


async def _apkg(service: Service, title: str, cards: Callable[[], Iterable[AnkiCard]], name: str) -> Response:
    def packed() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file = FilePath(folder) / "cards.apkg"
            write_apkg(file, title, list(cards()))
            return file.read_bytes()

    data = await service.look_up(packed)
    return attachment(data, "application/octet-stream", f"{name}.apkg")


@router.get("/sets/{set_id}/results", response_model=schema.answer(TeachingResults), tags=["sets"])
async def results(service: Asked, known: Known) -> Response:
    """How it went: by student, film and finding."""
    return answered(await service.look_up(lambda: results_of(service.opened, known, findings_of(service))))


@router.post("/sets/{set_id}/next-set", response_model=schema.answer(TeachingSet), status_code=201, tags=["sets"])
async def next_set(service: Asked, known: Known) -> Response:
    """Make the set that is proposed after this one: more of what was missed, and look-alikes without it."""

    def made() -> TeachingSet:
        ids = propose_next(service.opened, known, findings_of(service))
        if not ids:
            raise InputError("bad_request", "Nothing was answered yet.", "A next set follows from the answers.")
        return new_set(service.opened, f"After {known.title}"[:200], owner=known.owner, study_ids=ids)

    return answered(await service.look_up(made), 201)


@router.post("/sets/{set_id}/links", response_model=schema.answer(ClassAddress), status_code=201, tags=["sets"])
async def make_link(service: Asked, known: Known, body: LinkBody) -> Response:
    """A link for a class: opens one task of this set and nothing else."""
    library, token = service.opened, secrets.token_urlsafe(18)
    until = time.time() + 86_400 * body.days
    link = ClassLink(hash_of(token), known.set_id, body.task, until)
    await service.look_up(lambda: library.teaching.add_link(link))
    return answered(ClassAddress(f"/class/{token}", until), 201)


@router.delete("/sets/{set_id}/links", status_code=204, tags=["sets"])
async def close_links(service: Asked, set_id: Id) -> Response:
    """Close all class links of a set."""
    await service.look_up(lambda: service.opened.teaching.delete_links(set_id))
    return Response(status_code=204)


# -- tasks


async def _session(service: Service, known: TeachingSet, task: Task, student: str, link_id: str = "") -> TaskSession:
    model = model_of(service.checkpoint, service.opened)
    return await service.look_up(
        lambda: TaskSession(service.opened, known, task, student, findings_of(service), link_id=link_id, model=model)
    )


async def _own_session(
    request: Request, service: Asked, known: Known, task: Task, student: Student = ""
) -> TaskSession:
    return await _session(service, known, task, student_name(request, student))


async def _class_session(request: Request, service: Asked, token: Id) -> TaskSession:
    link = await link_of(service, token)
    if not (student := student_of(request, service, link)):
        raise ServerError("forbidden", "Join the class first.", "Open the link and give a name.")
    known, task = await _set(service, link.set_id), cast(Task, link.task)
    return await _session(service, known, task, student, link.link_id)


def _add_task_routes(router: APIRouter, base: str, session_of: Callable[..., Any], tags: list[str | Enum]) -> None:
    """Questions, films and answers of the task that ``session_of`` finds by the address."""
    found = Depends(session_of)

    @router.get(f"{base}/next", response_model=schema.answer(NextQuestion), tags=tags)
    async def next_question(service: Asked, session: TaskSession = found) -> Response:
        """The next question; nothing in it tells the answer."""
        return answered(NextQuestion(await service.look_up(session.next)))

    film = f"{base}/{{question_id}}/films/{{row}}"

    @router.get(film, responses=PNG, response_class=Response, tags=tags)
    async def task_film(service: Asked, question_id: Id, row: Row, session: TaskSession = found) -> Response:
        """A film of a question; of a pair, 0 is film A."""
        return png(await service.look_up(lambda: session.film(question_id, row)))

    alike = f"{base}/{{question_id}}/alike/{{number}}/films/{{row}}"

    @router.get(alike, responses=PNG, response_class=Response, tags=tags)
    async def task_look_alike(
        service: Asked, question_id: Id, number: Row, row: Row, session: TaskSession = found
    ) -> Response:
        """A film of a look-alike, once the question was answered."""
        return png(await service.look_up(lambda: session.look_alike_film(question_id, number, row)))

    @router.post(f"{base}/{{question_id}}", response_model=schema.answer(Reveal), tags=tags)
    async def task_answer(service: Asked, question_id: Id, body: AnswerBody, session: TaskSession = found) -> Response:
        """Answer a question; what it shows comes back."""
        return answered(await service.look_up(lambda: session.answer(question_id, body.given(), body.attempt)))


# -- a class


async def link_of(service: Service, token: str) -> ClassLink:
    """The link of a token.

    Raises:
        ServerError: ``link_unknown`` for one that was closed, has run out, or never was.
    """
    link = await service.look_up(lambda: service.opened.teaching.link(hash_of(token)))
    if link is None or link.until < time.time():
        raise ServerError("link_unknown", "This link is not open.", "Ask your teacher for a new one.")
    return link


def student_of(request: Request, service: Service, link: ClassLink) -> str:
    """The name a student joined under; empty before."""
    name, _, seal = request.cookies.get(STUDENT, "").partition(".")
    try:
        student = base64.urlsafe_b64decode(name.encode()).decode()
    except (ValueError, UnicodeDecodeError):
        return ""
    sealed = _seal(service.opened, link, student)
    return student if hmac.compare_digest(seal.encode(), sealed.encode()) else ""


def _seal(library: Library, link: ClassLink, student: str) -> str:
    about = f"student\0{link.link_id}\0{student}".encode()
    return hmac.new(library.secret, about, hashlib.sha256).hexdigest()


@classes.post("/join", status_code=204)
async def join(request: Request, service: Asked, token: Id, body: NameBody) -> Response:
    """Join under a name or nickname, which nobody in the class has answered under."""
    link, name = await link_of(service, token), " ".join(body.name.split())
    if not name or not name.isprintable():
        raise InputError("bad_request", "a name has letters.")
    if student_of(request, service, link) != name:
        given = await service.look_up(lambda: service.opened.teaching.answers(set_id=link.set_id, student=name))
        if any(each.link_id == link.link_id for each in given):
            raise InputError("bad_request", "Somebody in this class has that name.", "Add a letter to yours.")
    value = base64.urlsafe_b64encode(name.encode()).decode() + "." + _seal(service.opened, link, name)
    answer = Response(status_code=204)
    is_secure = request.url.scheme == "https"
    answer.set_cookie(STUDENT, value, path=f"/class/{token}", httponly=True, samesite="lax", secure=is_secure)
    return answer


_add_task_routes(router, "/sets/{set_id}/{task}", _own_session, ["tasks"])
_add_task_routes(classes, "", _class_session, [])


# -- alone


@router.post("/practice", response_model=schema.answer(ShownCard), status_code=201, tags=["practice"])
async def next_card(
    service: Asked,
    practice: OwnPractice,
    finding: Annotated[str, Query(max_length=64, description="A label to practise; empty for all.")] = "",
    difficulty: Difficulty = "easy",
) -> Response:
    """The next unknown film."""
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
async def progress(service: Asked, practice: OwnPractice) -> Response:
    """How it goes, by finding; what is due now, and by the end of the day."""
    seen, due = await service.look_up(lambda: (practice.findings, practice.due()))
    today = await service.look_up(lambda: practice.due(repetition.end_of_day()))
    found = {
        code: ShownFindingProgress(service.names.get(code, code), each.seen, each.right)
        for code, each in sorted(seen.items())
    }
    return answered(ShownProgress(due, today, found, await service.look_up(lambda: practice.calibration)))


@router.get("/practice/export", responses=CSV, response_class=Response, tags=["practice"])
async def export_practice(service: Asked, practice: OwnPractice) -> Response:
    """Progress by study as CSV."""
    text = await service.look_up(practice.export)
    return attachment(f"# {DISCLAIMER}\r\n{text}", "text/csv", "lingula-practice.csv")


@router.get("/practice/export/anki", responses=APKG, response_class=Response, tags=["practice"])
async def export_anki(service: Asked, practice: OwnPractice) -> Response:
    """The films answered before, hardest first, as cards for Anki (.apkg)."""
    hardest = practice.hardest()[:EXPORTED]
    cards = partial(hard_cards, service.opened, hardest, findings_of(service))
    return await _apkg(service, "Practice", cards, "lingula-practice")


@router.get("/practice/{card_id}/films/{row}", responses=PNG, response_class=Response, tags=["practice"])
async def card_film(service: Asked, practice: OwnPractice, card_id: Id, row: Row) -> Response:
    """The film of an open card."""
    card = practice.card(card_id)
    if row >= len(card.rows):
        raise InputError("not_found", "the card has no such film.")
    record = await service.look_up(lambda: service.opened.get(card.study_id))
    return png(record.radiographs[card.rows[row]].png)


@router.post("/practice/{card_id}", response_model=schema.answer(ShownVerdict), tags=["practice"])
async def verdict_on(service: Asked, practice: OwnPractice, card_id: Id, body: schema.TickedBody) -> Response:
    """Answer a card, once; what the film shows comes with the verdict."""
    verdict = await service.look_up(lambda: practice.answer(card_id, body.chosen, body.confidence))
    record = await service.look_up(lambda: service.opened.get(verdict.card.study_id))

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
