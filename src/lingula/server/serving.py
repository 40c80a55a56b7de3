"""The HTTP server around the application: what is sent too slowly is cut off, and an end comes within seconds."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from lingula.server.settings import Settings

DRAIN_SECONDS = 2
"""What answers that are under way are given when the server is to end; then they are cut off."""
END_SECONDS = 4.0
"""Seconds after which the process ends whatever still runs. What was acknowledged is on the disk."""
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class TimedProtocol(H11Protocol):
    """HTTP/1.1 whose request line and headers must be there within some seconds of a connection's or request's start.

    Args:
        seconds: how many.
    """

    def __init__(self, *given: Any, seconds: float, **options: Any) -> None:
        super().__init__(*given, **options)
        self._seconds = seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """Headers, unless a request is being answered; time runs from the first look."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._seconds, self._cut)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            cycle: RequestResponseCycle | None = self.cycle
            if cycle is None:  # nothing was ever answered here: the client still listens
                self.transport.write(_SLOW)
            self.transport.close()


class Server(uvicorn.Server):
    """Ends ``END_SECONDS`` after the signal at the latest."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        last = threading.Timer(END_SECONDS, os._exit, (0,))
        last.daemon = True
        last.start()


def config_of(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        app,
        http=partial(TimedProtocol, seconds=settings.header_seconds),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        **options,
    )
