"""The HTTP API of whoever runs the server: studies deleted."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lingula.deletion import delete_studies
from lingula.errors import InputError, LibraryError
from lingula.library.erasure import DeletionReceipt
from lingula.server import schema
from lingula.server.redaction import without_paths
from lingula.server.routes.cases_and_search import REFUSED, answered, desk_of, library_of

router = APIRouter(prefix="/api", responses=REFUSED)


@router.post("/library/deletions", response_model=schema.answer(DeletionReceipt), status_code=201, tags=["library"])
async def delete(request: Request, body: schema.DeletionRequestBody) -> Response:
    """Delete studies for good, by their ids, of a patient or of a sender; the receipt says what went and what may be
    left."""
    desk = desk_of(request)
    library = library_of(desk)
    if bool(body.studies) + bool(body.patient) + bool(body.sender) != 1:
        raise InputError("bad_request", "it is not clear what to delete.", "Name studies, a patient or a sender.")

    def deleted() -> DeletionReceipt:
        ids = tuple(body.studies) or library.owned(patient=body.patient, sender=body.sender)
        if not ids:
            raise LibraryError("study_unknown", "the library has no such study.", "Nothing was deleted.")
        receipt = delete_studies(library, ids)
        desk.forget_studies(ids)
        request.app.state.practice.forget(ids)
        return receipt

    told = await desk.look_up(deleted)
    copies = tuple(replace(one, place=without_paths(one.place, desk.places)) for one in told.copies)
    remains = tuple(without_paths(words, desk.places) for words in told.remains)
    return answered(replace(told, copies=copies, remains=remains), 201)
