"""The HTTP API of the library: imports as jobs, the map."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Annotated, cast

import numpy as np
from fastapi import APIRouter, Depends, File, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from lingula.errors import ServerError
from lingula.library import Library
from lingula.plain import plain
from lingula.server import schema
from lingula.server.answers import LibraryMap, MapPoint
from lingula.server.jobs import Job, Jobs
from lingula.server.routes.dependencies import REFUSED, Asked, Id, answered, described, needs_library

EVERY = 0.25
"""Seconds between two looks at a job."""
STREAM = described("text/event-stream", "One event a change, each a Job.")

router = APIRouter(prefix="/api", responses=REFUSED, tags=["library"], dependencies=[Depends(needs_library)])


async def _jobs(request: Request) -> Jobs:
    return cast(Jobs, request.app.state.jobs)


async def _job(request: Request, job_id: Id) -> Job:
    return (await _jobs(request)).get(job_id)


Imports = Annotated[Jobs, Depends(_jobs)]
Followed = Annotated[Job, Depends(_job)]


@router.post("/imports", response_model=schema.answer(Job), status_code=202)
async def import_uploads(jobs: Imports, files: Annotated[list[UploadFile], File()]) -> Response:
    """Import films, reports under a film's name, archives; a job. Refused files are named by place, from 00001."""
    brought = [(file.filename or "", file.file) for file in files]
    return answered(await asyncio.to_thread(jobs.import_uploads, brought), 202)


@router.post("/imports/folder", response_model=schema.answer(Job), status_code=202)
async def import_folder(service: Asked, jobs: Imports, body: schema.FolderBody) -> Response:
    """Import a folder of the server's machine; only where the server listens to its own machine."""
    if not service.settings.folder_imports:
        raise ServerError("forbidden", "Folders are imported only on the server's own machine.", "Send the files.")
    return answered(jobs.import_folder(FilePath(body.folder)), 202)


@router.post("/imports/collection", response_model=schema.answer(Job), status_code=202)
async def import_collection(service: Asked, jobs: Imports) -> Response:
    """Download the Open-i collection from the National Library of Medicine (about 14 GB) and import it; what is there
    already is not downloaded again. Only where the server listens to its own machine."""
    if not service.settings.folder_imports:
        raise ServerError("forbidden", "The collection is fetched only on the server's own machine.", "")
    return answered(jobs.import_collection(), 202)


@router.get("/jobs/{job_id}", response_model=schema.answer(Job))
async def job(followed: Followed) -> Response:
    """How far an import is."""
    return answered(followed)


@router.get("/jobs/{job_id}/events", responses=STREAM, response_class=StreamingResponse)
async def events(request: Request, followed: Followed) -> Response:
    """The same as server-sent events, until it is over."""

    async def changes() -> AsyncIterator[str]:
        last = ""
        while True:
            over, now = followed.is_over, json.dumps(plain(followed))
            if now != last:
                yield f"data: {now}\n\n"
                last = now
            if over or await request.is_disconnected():
                return
            await asyncio.sleep(EVERY)

    return StreamingResponse(changes(), media_type="text/event-stream")


@router.delete("/jobs/{job_id}", response_model=schema.answer(Job))
async def cancel(followed: Followed) -> Response:
    """Stop an import after the batch it is at; what was stored stays stored."""
    followed.stop.set()
    return answered(followed)


@router.get("/library/map", response_model=schema.answer(LibraryMap))
async def library_map(service: Asked) -> Response:
    """The library's films as points of the plane."""
    return answered(await service.look_up(lambda: _map(service.opened)))


def _map(library: Library) -> LibraryMap:
    """Principal components of the image embeddings, signs fixed so that the same library gives the same map."""
    gallery = library.gallery("image")
    known = library.summaries(gallery.ids)
    places, share = np.zeros((len(gallery.ids), 2)), 0.0
    if len(gallery.ids) > 2:
        centred = gallery.vectors - gallery.vectors.mean(0)
        values, vectors = np.linalg.eigh(centred.T @ centred)  # (D,), (D, D), rising
        axes = vectors[:, [-1, -2]]
        axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1, 1)
        places, share = centred @ axes, float(values[[-1, -2]].sum() / max(values.sum(), 1e-12))
        places = places / max(float(np.abs(places).max()), 1e-12)
    points = (
        MapPoint(study, round(float(x), 4), round(float(y), 4), known[study].labels)
        for study, (x, y) in zip(gallery.ids, places, strict=True)
    )
    return LibraryMap(round(share, 4), tuple(points))
