"""Whose films are shown: the line that a slide or card of a film carries."""

from __future__ import annotations

from lingula.openi.published import is_published

OPENI = "Open-i, U.S. National Library of Medicine; Indiana University hospitals; CC BY-NC-ND 4.0"


def credit_of(study_id: str) -> str:
    """The credit of a study: the collection with its licence, or the library's own name for it."""
    return f"{study_id}, {OPENI}" if is_published(study_id) else f"Study {study_id} of an own library"
