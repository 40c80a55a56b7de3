"""The pages of Learn: sets, tasks, results, and the one page of a class."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from lingula.library import Library
from lingula.server.access import actor_of
from lingula.server.routes.dependencies import Asked, Id
from lingula.server.routes.pages import _page
from lingula.server.routes.teaching import Student, findings_of, link_of, student_name, student_of
from lingula.server.serialise import stored_url, thumbnail_url
from lingula.server.service import Service
from lingula.teaching import repetition
from lingula.teaching.results import CONFIDENCES, propose_next, results_of
from lingula.teaching.sets import TeachingSet, case_findings, choices_of, load_set, load_sets
from lingula.teaching.tasks import Task, film_rows

router = APIRouter()
TASK_NAMES = {
    "quiz": ("Quiz", "What does it show?"),
    "pairs": ("Pairs", "Which of two films shows it?"),
    "marking": ("Marking", "Draw where it is."),
    "writing": ("Writing", "Write the impression."),
}
CERTAINTIES = dict(zip(CONFIDENCES, ("guessed", "unsure", "sure", "certain"), strict=True))


@router.get("/learn")
async def learn(
    request: Request,
    service: Asked,
    query: Annotated[str, Query(max_length=1000)] = "",
    studies: Annotated[str, Query(max_length=20_000)] = "",
) -> Response:
    """What is due, the sets, and a form for a new one, filled in where a search leads here."""
    library = service.filled
    student = actor_of(request).student
    shown = await service.look_up(lambda: _overview(library, student)) if library is not None else None
    return _page(request, "learn.html", here="/learn", overview=shown, query=query, studies=studies)


def _overview(library: Library, student: str) -> dict[str, Any]:
    sets = load_sets(library)
    firsts = {each.set_id: next(iter(each.ids), "") for each in sets}
    known = library.summaries([study for study in firsts.values() if study])
    pictures = {
        set_id: thumbnail_url(study, film_rows([image.view for image in known[study].images])[0])
        for set_id, study in firsts.items()
        if study in known and known[study].images
    }
    reviews = library.teaching.reviews(student)
    return {
        "sets": sets,
        "pictures": pictures,
        "due": len(repetition.due_ids(reviews, repetition.end_of_day())),
        "seen": len(reviews),
    }


@router.get("/learn/sets/{set_id}")
async def one_set(request: Request, service: Asked, set_id: Id) -> Response:
    """A set, to be looked through and changed."""
    known, cases, choices = await service.look_up(lambda: _cases(service, service.opened, set_id))
    names = sorted(service.names.items(), key=lambda pair: pair[1])
    return _page(
        request, "set.html", here="/learn", set=known, cases=cases, choices=choices, labels=names,
        tasks=TASK_NAMES.items(),
        has_marks=any(case.drawings for case in known.cases),
    )  # fmt: skip


def _cases(
    service: Service, library: Library, set_id: str
) -> tuple[TeachingSet, list[dict[str, Any]], tuple[str, ...]]:
    """The set, what each of its cases shows on the page, and the findings its quiz asks for."""
    findings = findings_of(service)
    known = load_set(library, set_id)
    summaries = library.summaries(known.ids)
    cases = []
    for case in known.cases:
        summary = summaries.get(case.study_id)
        views = [image.view for image in summary.images] if summary else []
        shown = findings.named(case_findings(case, summary, findings.normal)) if summary else ()
        films = [
            {
                "row": row,
                "picture": thumbnail_url(case.study_id, row),
                "whole": stored_url(case.study_id, row),
                "view": views[row],
            }
            for row in film_rows(views)
        ]
        cases.append(
            {
                "case": case,
                "body": asdict(case),
                "films": films,
                "shows": shown or ("Normal",),
                "is_there": summary is not None,
            }
        )
    return known, cases, choices_of(known, library, findings.codes, findings.normal)


@router.get("/learn/sets/{set_id}/results")
async def results(request: Request, service: Asked, set_id: Id) -> Response:
    """How a set went."""
    library, findings = service.opened, findings_of(service)
    known = await service.look_up(lambda: load_set(library, set_id))
    found = await service.look_up(lambda: results_of(library, known, findings))
    proposed = await service.look_up(lambda: propose_next(library, known, findings)) if found.answers else ()
    summaries = await service.look_up(lambda: library.summaries(found.hardest))
    pictures = {
        study: thumbnail_url(study, film_rows([image.view for image in known_.images])[0])
        for study, known_ in summaries.items()
        if known_.images
    }
    return _page(
        request, "results.html", here="/learn", set=known, results=found, proposed=proposed, pictures=pictures,
        certainties=CERTAINTIES,
    )  # fmt: skip


@router.get("/learn/sets/{set_id}/{task}")
async def task(
    request: Request, service: Asked, set_id: Id, task: Annotated[Task, Path()], student: Student = ""
) -> Response:
    """A task of a set, one question after another."""
    student_name(request, student)
    known = await service.look_up(lambda: load_set(service.opened, set_id))
    return _page(
        request, "task.html", here="/learn", title=known.title, task=task, base=f"/api/sets/{known.set_id}/{task}",
        student=student, back=f"/learn/sets/{known.set_id}", is_class=False, joined=True, names=TASK_NAMES,
    )  # fmt: skip


@router.get("/class/{token}")
async def class_page(request: Request, service: Asked, token: Id) -> Response:
    """The page of a class link: a name first, then the task. It leads nowhere else."""
    link = await link_of(service, token)
    known = await service.look_up(lambda: load_set(service.opened, link.set_id))
    student = student_of(request, service, link)
    return _page(
        request, "task.html", title=known.title, task=link.task, base=f"/class/{token}", student=student, back="",
        is_class=True, joined=bool(student), names=TASK_NAMES,
    )  # fmt: skip
