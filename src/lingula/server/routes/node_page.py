"""The page of nodes next to an archive: what came, what was answered, what waits and why, and how senders do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lingula.errors import cause
from lingula.node.drift import SHARES, DriftSignal
from lingula.server.routes.dependencies import (
    Asked,
)
from lingula.server.routes.exchange import exchange_status
from lingula.server.routes.pages import _page

router = APIRouter()
SHOWN = 100
STATES = {
    "waiting": "waiting", "working": "being worked on", "answered": "answered", "refused": "refused",
    "copy": "sent twice", "stored": "read back in the archive",
}  # fmt: skip
KINDS = {
    "sr": "report", "gsps": "presentation state", "sc": "picture", "seg": "segments", "ko": "flagged films",
    "pdf": "document",
}  # fmt: skip


def by_sender(signals: Sequence[DriftSignal]) -> dict[str, list[DriftSignal]]:
    """Signals by whose they are, the latest sender first."""
    found: dict[str, list[DriftSignal]] = {}
    for signal in signals:
        found.setdefault(signal.sender, []).append(signal)
    return found


@router.get("/node")
async def node(request: Request, service: Asked) -> Response:
    """Inbox, outbox and drift."""
    library = service.library
    if library is None:
        return _page(request, "node.html", here="/library", status=None)
    status = await asyncio.to_thread(lambda: exchange_status(library.exchange, SHOWN))
    drift = await asyncio.to_thread(lambda: service.drift.report(fresh=True))
    return _page(
        request,
        "node.html",
        here="/library",
        status=status,
        drift=drift,
        states=STATES,
        kinds=KINDS,
        why=cause,
        signals=by_sender(drift.signals),
        shares=SHARES,
        clock=lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )
