"""Who asks, and what they may: tokens to users, a role for every route.

The token that the server was started with may do everything, as may whoever asks a server on its own machine that has
neither a token nor users. A route that the table lacks is for those who administer.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.requests import Request

from lingula.errors import LingulaError, ServerError
from lingula.library import Library
from lingula.library.access_records import ROLES, Role, hash_of
from lingula.server.redaction import redacted
from lingula.server.settings import Settings

Need = Role | Literal["open"]
LOCAL_STUDENT = "me"
REMEMBERED = 2.0
"""Seconds for which a token's answer is kept: a token that is revoked is refused after so long at the latest."""
_MOST = 10_000


def _routes(need: Need, method: str, *paths: str) -> dict[tuple[str, str], Need]:
    return {(method, path): need for path in paths}


NEEDED: Mapping[tuple[str, str], Need] = {
    **_routes("open", "GET",
        "/login", "/api/health", "/static/{name}", "/class/{token}", "/class/{token}/next",
        "/class/{token}/{question_id}/films/{row}", "/class/{token}/{question_id}/alike/{number}/films/{row}"),
    **_routes("open", "POST",
        "/api/session", "/csp-reports", "/class/{token}/join", "/class/{token}/{question_id}"),
    **_routes("open", "DELETE", "/api/session"),
    **_routes("read", "GET",
        "/", "/cases", "/case/{case_id}", "/case/{case_id}/strip/normal", "/case/{case_id}/figure",
        "/case/{case_id}/with/{study_id}", "/compare", "/search", "/search/more", "/study/{study_id}",
        "/study/{study_id}/figure", "/thumbnails/{study_id}/{row}", "/practice", "/words", "/about", "/library",
        "/model", "/learn", "/learn/sets/{set_id}", "/learn/sets/{set_id}/{task}", "/metrics", "/api/about",
        "/api/operating/{mode}", "/api/cases/{case_id}", "/api/cases/{case_id}/films/{row}",
        "/api/cases/{case_id}/evidence/{label}/{method}",
        "/api/cases/{case_id}/evidence/{label}/{method}/maps/{row}", "/api/cases/{case_id}/why/{study_id}",
        "/api/cases/{case_id}/why/{study_id}/maps/{side}/{row}", "/api/studies/{study_id}",
        "/api/studies/{study_id}/films/{row}", "/api/library", "/api/library/map", "/api/sets",
        "/api/sets/{set_id}", "/api/sets/{set_id}/{task}/next",
        "/api/sets/{set_id}/{task}/{question_id}/films/{row}",
        "/api/sets/{set_id}/{task}/{question_id}/alike/{number}/films/{row}", "/api/practice/progress",
        "/api/practice/export", "/api/practice/export/anki", "/api/practice/{card_id}/films/{row}"),
    **_routes("read", "POST",
        "/api/cases", "/api/studies/{study_id}/case", "/api/understand", "/api/search",
        "/api/cases/{case_id}/region", "/case/{case_id}/anyway", "/api/sets/{set_id}/{task}/{question_id}",
        "/api/practice", "/api/practice/{card_id}"),
    **_routes("read", "DELETE", "/api/cases/{case_id}"),
    **_routes("teach", "GET",
        "/learn/sets/{set_id}/results", "/api/sets/{set_id}/results", "/api/sets/{set_id}/export",
        "/api/sets/{set_id}/slides.pdf", "/api/sets/{set_id}/slides/{number}", "/api/sets/{set_id}/anki"),
    **_routes("teach", "POST",
        "/api/sets", "/api/sets/import", "/api/sets/{set_id}/cases", "/api/sets/{set_id}/next-set",
        "/api/sets/{set_id}/cases/{study_id}/marks", "/api/sets/{set_id}/links"),
    **_routes("teach", "PUT", "/api/sets/{set_id}"),
    **_routes("teach", "DELETE", "/api/sets/{set_id}", "/api/sets/{set_id}/links"),
    **_routes("administer", "GET",
        "/api/library/refusals", "/api/jobs/{job_id}", "/api/jobs/{job_id}/events", "/api/node",
        "/api/node/drift", "/node"),
    **_routes("administer", "POST",
        "/api/imports", "/api/imports/folder", "/api/imports/collection", "/api/library/deletions", "/api/node/retry",
        "/api/node/drift/accept"),
    **_routes("administer", "DELETE", "/api/jobs/{job_id}"),
}  # fmt: skip
"""What a route needs, by method and path as the API's description has it."""
OPEN_PATHS = frozenset(path for (_, path), need in NEEDED.items() if need == "open" and "{" not in path)
OPEN_BELOW = ("/static/", "/class/")
"""Our own scripts and style sheets, the same for everybody; and class links, each with a token of its own."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the name that the trail has, and the role; None for somebody who may do nothing but sign in."""

    name: str
    role: Role | None

    def may(self, need: Need) -> bool:
        """Whether the role is enough."""
        return need == "open" or (self.role is not None and ROLES.index(self.role) >= ROLES.index(need))

    @property
    def student(self) -> str:
        """Under which name learning is recorded: the user's; ``me`` for whoever asks without an account."""
        return LOCAL_STUDENT if self is LOCAL or self is OWNER else self.name


NOBODY, CLASS, LOCAL, OWNER = (
    Actor("-", None), Actor("class", None), Actor("local", "administer"), Actor("server token", "administer"),
)  # fmt: skip


class Access:
    """Tokens to actors for one server."""

    def __init__(self, settings: Settings, library: Library | None) -> None:
        self._token, self._library = settings.token, library
        self._answers: dict[str, tuple[float, Actor]] = {}
        self._has_users: bool | None = None

    async def actor(self, token: str) -> Actor:
        """Who brings this token; an empty one is none.

        Raises:
            LibraryError: where the library cannot be asked.
        """
        if token and self._token and hmac.compare_digest(token.encode(), self._token.encode()):
            return OWNER
        key, now = hash_of(token) if token else "", time.monotonic()
        until, actor = self._answers.get(key, (0.0, NOBODY))
        if until <= now:
            actor = await asyncio.to_thread(self._asked, token)
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[key] = (now + REMEMBERED, actor)
        return actor

    def _asked(self, token: str) -> Actor:
        try:
            account = self._library.access.holder(token) if self._library is not None and token else None
            if account is not None:
                return Actor(account.name, account.role)
            self._has_users = self._library is not None and bool(self._library.access.accounts())
        except LingulaError as error:
            if self._has_users is not False:  # nobody can be told from a stranger
                assert self._library is not None
                place = self._library.place
                raise redacted(error, (place, str(Path(place).parent))) from None
        return NOBODY if self._token or self._has_users else LOCAL


def is_open(path: str) -> bool:
    """Whether an address asks for no token of the server."""
    return path in OPEN_PATHS or path.startswith(OPEN_BELOW)


def actor_of(request: Request) -> Actor:
    """Who asks, as the middleware found it."""
    actor: Actor = request.scope["state"]["actor"]
    return actor


async def check_role(request: Request) -> None:
    """Whether who asks may use the route that was found.

    Raises:
        ServerError: ``forbidden``.
    """
    actor, route = actor_of(request), getattr(request.scope.get("route"), "path", "")
    method = "GET" if request.method == "HEAD" else request.method
    need = NEEDED.get((method, route), "administer")
    if not actor.may(need):
        raise ServerError("forbidden", f"Your role does not allow this: it needs {need!r}.", "Ask who administers.")
