"""The application: middleware, service, routes and the one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from lingula import __version__
from lingula.errors import HEADER_CODES, STORAGE_ERRNOS, InputError, LingulaError, ServerError, cause, storage_error
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.node.drift import DriftWatch
from lingula.server.access import Access, check_role
from lingula.server.assets import send
from lingula.server.audit_trail import AuditTrail
from lingula.server.jobs import Jobs
from lingula.server.log import note
from lingula.server.metrics import Metrics
from lingula.server.middleware import INTERNAL, RequestMiddleware, error_body, status_of
from lingula.server.redaction import redacted
from lingula.server.routes import cases_and_search as api
from lingula.server.routes import exchange, learn, node_page, operation, pages, teaching
from lingula.server.routes import library as library_routes
from lingula.server.service import Service
from lingula.server.settings import Settings
from lingula.server.spool import sweep
from lingula.study import DISCLAIMER
from lingula.teaching.practice import PracticeByStudent

PAGES = (learn.router, node_page.router, pages.router)
ROUTERS = (
    api.router, library_routes.router, teaching.router, teaching.classes, learn.router, operation.router,
    operation.figures, exchange.router, node_page.router, pages.router,
)  # fmt: skip


def create_app(checkpoint: Checkpoint, library: Library | None, settings: Settings | None = None) -> FastAPI:
    """The application around a model and a library that its caller opened and will close."""
    settings = settings or Settings()
    access, drift = Access(settings, library), DriftWatch(library)
    metrics = Metrics(checkpoint.fingerprint, library, drift)
    trail = AuditTrail(library, settings.audit_days) if library is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        swept = sweep() + (library.sweep() if library is not None else 0)
        note(logging.INFO, "start", version=__version__, model=checkpoint.fingerprint, swept=swept)
        with Service(checkpoint, library, settings, drift) as app.state.service, trail or nullcontext():
            app.state.service.judged = metrics.films
            if library is None:
                yield
            else:
                model = teaching.model_of(checkpoint, library)
                app.state.practice = PracticeByStudent(library, checkpoint.vocabulary.normal, model)
                app.state.jobs = Jobs(app.state.service, library)
                metrics.jobs = app.state.jobs.states
                yield
                app.state.jobs.close()
        note(logging.INFO, "end")

    app = FastAPI(
        title="lingula",
        version=__version__,
        description=f"Chest X-ray case retrieval that shows its evidence.\n\n{DISCLAIMER}",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(check_role)],
    )
    app.state.access, app.state.metrics = access, metrics
    app.add_middleware(RequestMiddleware, settings=settings, access=access, metrics=metrics, trail=trail)
    for router in ROUTERS:
        app.include_router(router, include_in_schema=router not in PAGES)
    app.add_exception_handler(LingulaError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _system)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        return send(request, name)

    @app.post("/csp-reports", include_in_schema=False)
    async def csp_report() -> Response:
        note(logging.WARNING, "policy")
        return Response(status_code=204)

    return app


def _answer(request: Request, error: LingulaError, headers: dict[str, str] | None = None) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    service: Service | None = getattr(request.app.state, "service", None)
    if service is not None:
        service.notice(error)
        request.app.state.metrics.refusal(error.code)
    error = redacted(error, service.places if service is not None else ())
    status = status_of(error)
    if status == 503:
        headers = {"retry-after": "2", **(headers or {})}
    if not request.url.path.startswith("/api") and "text/html" in request.headers.get("accept", ""):
        return pages.refusal(request, error, status, request_id)
    return JSONResponse(error_body(error, request_id), status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, LingulaError)
    if error.code in HEADER_CODES:  # their messages quote the file's header
        error = InputError(error.code, cause(error.code), error.hint)
    return _answer(request, error)


async def _system(request: Request, error: Exception) -> Response:
    """What the system refused: the temporary folder or a disk; anything else is a fault of ours."""
    assert isinstance(error, OSError)
    if error.errno in STORAGE_ERRNOS:
        return _answer(request, storage_error(error, "what was sent cannot be kept"))
    note(logging.ERROR, "internal", kind=type(error).__name__)
    return _answer(request, INTERNAL)


async def _invalid(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals, without the values that were sent."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = next(iter(error.errors()), {})
    place = " ".join(str(part) for part in first.get("loc", ()) if not isinstance(part, int))
    return _answer(request, InputError("bad_request", f"{place or 'the request'}: {first.get('msg', 'not valid')}."))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, LingulaError):  # raised while the body was read
        return _answer(request, error.__cause__)
    if isinstance(error.__cause__, OSError):
        return await _system(request, error.__cause__)
    if error.status_code == 404:
        return _answer(request, ServerError("page_unknown", "There is nothing at this address."))
    if error.status_code == 405:
        return _answer(request, ServerError("method_unknown", "Not by this method."), dict(error.headers or {}))
    return _answer(request, InputError("bad_request", "The request is not well formed."))
