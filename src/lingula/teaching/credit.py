"""Whose films are shown: the line that a slide or card of a film carries."""

from __future__ import annotations

import re

OPENI = "Open-i, U.S. National Library of Medicine; Indiana University hospitals; CC BY-NC-ND 4.0"


def credit_of(study_id: str) -> str:
    """The credit of a study: the collection with its licence, or the library's own name for it."""
    collection = re.fullmatch(r"CXR\d+", study_id)
    return f"{study_id}, {OPENI}" if collection else f"Study {study_id} of an own library"
