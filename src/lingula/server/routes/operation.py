"""The HTTP API of whoever runs the server: its health, its metrics, studies deleted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lingula import __version__
from lingula.deletion import delete_studies
from lingula.errors import InputError, LibraryError
from lingula.library.erasure import DeletionReceipt
from lingula.server import schema
from lingula.server.answers import Health, HealthCheck, Reason
from lingula.server.audit_trail import SUBJECTS
from lingula.server.metrics import CONTENT_TYPE, Metrics
from lingula.server.redaction import redacted, without_paths
from lingula.server.routes.dependencies import (
    REFUSED,
    Asked,
    answered,
)
from lingula.server.service import WARNINGS

router = APIRouter(prefix="/api", responses=REFUSED)
figures = APIRouter()


@router.get("/health", response_model=schema.answer(Health), tags=["about"])
async def health(service: Asked) -> Response:
    """Whether it is ready; 503 with the reasons where it is not. Warnings are of nodes next to it."""
    checks: list[HealthCheck] = []
    reasons: dict[str, Reason] = {}
    warnings: dict[str, Reason] = {}
    for name, error in await asyncio.to_thread(service.checks):
        state: Literal["ok", "warning", "trouble"] = "ok"
        if error is not None:
            state = "warning" if name in WARNINGS else "trouble"
            told = redacted(error, service.places)
            reason = Reason(told.code, told.message, told.hint)
            (warnings if name in WARNINGS else reasons).setdefault(told.code, reason)
        checks.append(HealthCheck(name, state, error.code if error is not None else ""))
    status: Literal["ready", "trouble"] = "trouble" if reasons else "ready"
    body = Health(status, __version__, tuple(reasons.values()), tuple(warnings.values()), tuple(checks))
    return answered(body, 503 if reasons else 200)


@figures.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Counts and times in the text format of Prometheus."""
    told: Metrics = request.app.state.metrics
    return Response(await asyncio.to_thread(told.text), media_type=CONTENT_TYPE)


@router.post("/library/deletions", response_model=schema.answer(DeletionReceipt), status_code=201, tags=["library"])
async def delete(request: Request, service: Asked, body: schema.DeletionRequestBody) -> Response:
    """Delete studies for good, by their ids, of a patient or of a sender; the receipt says what went and what may be
    left."""
    if bool(body.studies) + bool(body.patient) + bool(body.sender) != 1:
        raise InputError("bad_request", "it is not clear what to delete.", "Name studies, a patient or a sender.")

    def deleted() -> DeletionReceipt:
        ids = tuple(body.studies) or service.opened.owned(patient=body.patient, sender=body.sender)
        if not ids:
            raise LibraryError("study_unknown", "the library has no such study.", "Nothing was deleted.")
        request.scope["state"][SUBJECTS] = ids
        receipt = delete_studies(service.opened, ids)
        service.forget_studies(ids)
        request.app.state.practice.forget(ids)
        return receipt

    told = await service.look_up(deleted)
    copies = tuple(replace(one, place=without_paths(one.place, service.places)) for one in told.copies)
    remains = tuple(without_paths(words, service.places) for words in told.remains)
    return answered(replace(told, copies=copies, remains=remains), 201)
