"""The node's log: lines on standard error, without anything of a patient."""

from __future__ import annotations

import logging
import sys


def write_log(level: int = logging.INFO) -> None:
    """Write what nodes note, with times, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("lingula.node")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    for name in ("pynetdicom", "dicomweb_client", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they quote what peers send
