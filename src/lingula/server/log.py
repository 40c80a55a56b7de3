"""The log of the server: one line a request, a job, a trouble. No text that was sent, no names, no paths."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

OWN, LIBRARIES = "lingula.server", ("uvicorn.error",)
"""Loggers whose lines are written; of the second only what kind of thing happened."""


class _Event:
    """What happened, in words once somebody reads them."""

    def __init__(self, event: str, fields: dict[str, str | int | float]) -> None:
        self.event, self.fields = event, fields

    def __str__(self) -> str:
        return " ".join([self.event, *(f"{name}={value}" for name, value in self.fields.items())])


def note(level: int, event: str, **fields: str | int | float) -> None:
    """Write a line: what happened, and values that tell nothing of who asked or what was sent."""
    logger = logging.getLogger(OWN)
    if logger.isEnabledFor(level):  # without a look at who called, which takes longer than all the rest
        logger.handle(logger.makeRecord(OWN, level, "", 0, _Event(event, fields), (), None))


class Lines(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO request method=GET route=/api/health status=200``, or the same as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = record.msg
        if not isinstance(told, _Event):  # of a library: its words could hold what was sent
            kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "-"
            told = _Event("server", {"kind": kind})
        if self._as_json:
            return json.dumps({"time": stamp, "level": record.levelname, "event": told.event, **told.fields})
        return f"{stamp} {record.levelname} {told}"


def write_log(stream: TextIO | None = None, *, as_json: bool = False) -> logging.Handler:
    """Write the log to a stream, by default standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines(as_json=as_json))
    for name, level in ((OWN, logging.INFO), *((each, logging.WARNING) for each in LIBRARIES)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate = False
        logger.handlers[:] = [handler]
    return handler
