"""The audit trail of a server: who did what when, written by a thread of its own a moment after it was answered.

Written are changes, looks at stored studies, what leaves by export, and refusals of those who may not. No pictures of
a page, no addresses, no text: a study by its keyed name, a route without its values.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from lingula.errors import LingulaError
from lingula.library import Library
from lingula.library.access_records import AuditEvent
from lingula.library.identity import pseudonym
from lingula.server.access import CLASS, NOBODY
from lingula.server.log import note

EVERY = 0.5
"""Seconds between two writes."""
KEPT = 20_000
"""Events that wait for a library that cannot be written; the oldest go first."""
LOOKS = frozenset(
    [
        "/study/{study_id}", "/study/{study_id}/figure", "/compare", "/case/{case_id}/with/{study_id}",
        "/api/studies/{study_id}", "/api/studies/{study_id}/films/{row}", "/api/cases/{case_id}/why/{study_id}",
        "/api/sets/{set_id}/export", "/api/sets/{set_id}/slides.pdf", "/api/sets/{set_id}/anki",
        "/api/sets/{set_id}/results", "/learn/sets/{set_id}/results", "/api/practice/export",
        "/api/practice/export/anki", "/api/library/refusals",
    ]
)  # fmt: skip
"""Reading that is written down."""
QUIET = frozenset(["/csp-reports", "/api/understand"])
SUBJECTS = "subjects"
"""Where a route puts the ids of the studies it was about, in the state of the request."""


class AuditTrail:
    """Use in a ``with`` statement: what waits is written at the end.

    Args:
        days: for how long the trail is kept.
    """

    def __init__(self, library: Library, days: float) -> None:
        self._library, self._days = library, days
        self._waiting: list[AuditEvent] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="audit", daemon=True)

    def __enter__(self) -> AuditTrail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def note(self, scope: Mapping[str, Any], status: int, request_id: str) -> None:
        """Remember a request that was answered, if it is one to be written down."""
        route, method = getattr(scope.get("route"), "path", "-"), scope["method"]
        is_change = method not in ("GET", "HEAD", "OPTIONS") and route not in QUIET
        if not (status in (401, 403) or is_change or route in LOOKS):
            return
        actor = scope["state"].get("actor", NOBODY)
        name = CLASS.name if scope["path"].startswith("/class/") else actor.name
        now, kind = time.time(), f"{method if method.isalpha() and len(method) < 10 else '-'} {route}"
        keys = [pseudonym(self._library.secret, study) for study in _studies(scope, route)] or [""]
        with self._lock:
            self._waiting += [AuditEvent(now, name, kind, key, status, request_id) for key in keys]
            del self._waiting[:-KEPT]

    def _write_on(self) -> None:
        self._attempt(lambda: self._library.access.forget_events(time.time() - 86400 * self._days))
        while not self._stop.wait(EVERY):
            self.write()
        self.write()

    def write(self) -> None:
        """Write what waits; what cannot be written waits on."""
        with self._lock:
            events, self._waiting = self._waiting, []
        if events and not self._attempt(lambda: self._library.access.note(events)):
            with self._lock:
                self._waiting[:0] = events

    def _attempt(self, work: Any) -> bool:
        try:
            work()
        except LingulaError as error:
            note(logging.ERROR, "audit", code=error.code)
            return False
        return True


def _studies(scope: Mapping[str, Any], route: str) -> Iterable[str]:
    """Ids of the studies that a request was about."""
    if told := scope["state"].get(SUBJECTS):
        return tuple(told)
    if "study_id" in scope.get("path_params", {}):
        return (str(scope["path_params"]["study_id"]),)
    if route == "/compare":
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        named = [value for key in ("a", "b") for value in query.get(key, [])[:1]]
        return tuple(each for each in named if not each.startswith("case:"))
    return ()
