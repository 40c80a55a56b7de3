"""What every request passes first and every answer carries: who may ask, what a browser may do with the answer.

Files and any other page open in the same browser are hostile; so a name of another site that resolves here, a form of
another site, and a script that got into a report must all come to nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lingula.errors import LingulaError, ServerError
from lingula.plain import DISCLAIMER, plain
from lingula.server.access import NOBODY, Access, is_open
from lingula.server.audit_trail import AuditTrail
from lingula.server.log import note
from lingula.server.metrics import Metrics
from lingula.server.settings import Settings

HEADER = "x-lingula"
"""A request that changes something must bring this header, which no form and no other site can set."""
COOKIE = "lingula_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'; report-uri /csp-reports"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-disclaimer": DISCLAIMER,
}
_READING = ("GET", "HEAD", "OPTIONS")
_SMALL = 1 << 16
"""Bytes of an answer that a connection takes at once."""
_METHODS = (*_READING, "POST", "PUT", "PATCH", "DELETE")

INTERNAL = ServerError("internal", "Something went wrong here.", "The request id names it in the log.")
STATUS = {
    "unauthorized": 401, "forbidden": 403, "not_found": 404, "study_unknown": 404, "case_unknown": 404,
    "set_unknown": 404, "set_changed": 409, "link_unknown": 404,
    "job_unknown": 404, "page_unknown": 404, "method_unknown": 405, "uid_conflict": 409, "model_mismatch": 409,
    "library_empty": 409, "library_missing": 409, "library_newer": 409, "too_large": 413, "busy": 503,
    "disk_full": 507, "internal": 500, "index_corrupt": 500, "storage_unavailable": 503, "reader_unavailable": 503,
    "too_slow": 408,
}  # fmt: skip


def status_of(error: LingulaError) -> int:
    """The HTTP status of an error: 422 for everything a file or an argument is refused for."""
    return STATUS.get(error.code, 422)


def error_body(error: LingulaError, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = plain(error.answer(request_id))
    return body


class RequestMiddleware:
    """ASGI middleware: refuses strangers, bounds bodies, names requests, sets headers, logs neither text nor names."""

    def __init__(
        self, app: ASGIApp, settings: Settings, access: Access, metrics: Metrics, trail: AuditTrail | None = None
    ) -> None:
        self._app, self._settings = app, settings
        self._access, self._metrics, self._trail = access, metrics, trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        started, status, begun = time.perf_counter(), 500, False
        body = _Body(receive, self._settings)

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                own = {key.decode("latin-1").lower() for key, _ in message["headers"]}
                more = {**_HEADERS, "x-request-id": request_id, **({"connection": "close"} if body.is_cut else {})}
                message["headers"] = [
                    *message["headers"],
                    *((key.encode(), value.encode()) for key, value in more.items() if key not in own),
                ]
            if len(message.get("body", b"")) < _SMALL and not message.get("more_body", False):
                return await send(message)  # into the buffer of the connection
            async with asyncio.timeout(self._settings.idle_seconds):  # a client that takes nothing is let go
                await send(message)

        try:
            await self._check(scope, headers)
        except LingulaError as error:
            await _refuse(answer, scope, error, request_id)
        else:
            try:
                await self._app(scope, body.receive, answer)
            except Exception as error:  # the edge: its message could hold what was sent, so only its kind is logged
                note(logging.ERROR, "internal", kind=type(error).__name__, request=request_id)
                if not begun:
                    await _refuse(answer, scope, INTERNAL, request_id)
        self._tell(scope, status, time.perf_counter() - started, request_id)

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        """A line in the log, a count in the metrics, and where it is one to be kept, an event in the trail."""
        route = getattr(scope.get("route"), "path", "-")
        method = scope["method"] if scope["method"] in _METHODS else "-"
        took = round(1e3 * seconds)
        note(logging.INFO, "request", method=method, route=route, status=status, ms=took, request=request_id)
        self._metrics.request(method, route, status, seconds)
        if self._trail is not None:
            self._trail.note(scope, status, request_id)

    async def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        scope["state"]["actor"] = NOBODY
        host = headers.get("host", "")
        if _name(host) not in self._settings.hosts:
            raise ServerError("forbidden", "This server is not known under that name.", "Use the address it printed.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._settings.limits.request_bytes:
            raise _too_large(self._settings.limits.request_bytes)
        if not is_open(scope["path"]):
            actor = scope["state"]["actor"] = await self._access.actor(token_of(headers))
            if actor.role is None:
                raise ServerError("unauthorized", "A token is needed.", "Sign in with your token.")
        if scope["method"] in _READING or scope["path"] == "/csp-reports":
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        own = f"{scope['scheme']}://{host}"
        if site not in ("same-origin", "none") or (origin is not None and origin != own) or not headers.get(HEADER):
            raise ServerError("forbidden", f"Changes need the header {HEADER} and this page's own origin.")


def token_of(headers: dict[str, str]) -> str:
    """The token that a request brings: as a bearer's, else in the cookie; empty for none."""
    if brought := headers.get("authorization", "").removeprefix("Bearer "):
        return brought
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    return cookie.value if cookie else ""


def _name(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _too_large(most: int) -> LingulaError:
    return LingulaError("too_large", f"the request exceeds {most} bytes.", "Give fewer files at once.")


class _Body:
    """A request's body as it comes: no longer than it may be, whatever its header says, and no slower.

    Attributes:
        is_cut: whether it was given up before its end.
    """

    def __init__(self, receive: Receive, settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        self._bytes, self._is_whole, self.is_cut = 0, False, False
        self._started = time.monotonic()

    async def receive(self) -> Message:
        """The next part; after the last, what uvicorn says of the connection.

        Raises:
            LingulaError: ``too_large``, ``too_slow``.
        """
        if self._is_whole:
            return await self._receive()
        seconds, most = self._settings.idle_seconds, self._settings.limits.request_bytes
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            self.is_cut = True
            raise _too_slow() from None
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        late = time.monotonic() - self._started - seconds
        if self._bytes > most:
            self.is_cut = True
            raise _too_large(most)
        if not self._is_whole and late * self._settings.body_rate > self._bytes:
            self.is_cut = True
            raise _too_slow()
        return message


def _too_slow() -> LingulaError:
    return ServerError("too_slow", "The request came too slowly.", "Send it again over a faster connection.")


def _login(scope: Scope) -> str:
    """Where to sign in, and where to go on afterwards: a link that was shared survives it."""
    address = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return f"/login?next={quote(address, safe='')}" if address != "/" and scope["method"] == "GET" else "/login"


async def _refuse(send: Callable[[Message], Any], scope: Scope, error: LingulaError, request_id: str) -> None:
    accepts = dict(scope["headers"]).get(b"accept", b"")
    headers = [(b"content-type", b"application/json")]
    status, body = status_of(error), json.dumps(error_body(error, request_id)).encode()
    if error.code == "unauthorized" and b"text/html" in accepts:
        status, headers, body = 303, [(b"location", _login(scope).encode())], b""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
