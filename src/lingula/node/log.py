"""The node's log: lines on standard error, without anything of a patient."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

_FIELD = re.compile(r"(?:^| )([a-z_]+)=(\S*)")


class JsonLines(logging.Formatter):
    """``study answered films=2 refused=0`` as ``{"event": "study answered", "films": "2", "refused": "0", …}``."""

    def format(self, record: logging.LogRecord) -> str:
        told = record.getMessage()
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = _FIELD.sub("", told).strip()
        return json.dumps({"time": at, "level": record.levelname, "event": event, **dict(_FIELD.findall(told))})


def write_log(level: int = logging.INFO, *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Write what nodes note, with times, to standard error or another stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if as_json else plain)
    logger = logging.getLogger("lingula.node")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    for name in ("pynetdicom", "dicomweb_client", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they quote what peers send
