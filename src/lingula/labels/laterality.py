"""The side of a coded finding."""

from __future__ import annotations

from typing import Literal

from lingula.labels.terms import Term

Side = Literal["left", "right", "bilateral"]

_RIGHT_ONLY = frozenset({"middle lobe"})
_LEFT_ONLY = frozenset({"lingula"})


def laterality(term: str) -> Side | None:
    """The patient's side a term names, None when it names none.

    ``left``, ``right`` and ``bilateral`` are said outright; the middle lobe is right and the lingula is left by
    anatomy. A term that names both sides is bilateral. On a frontal radiograph the patient's left is image right.
    """
    parts = Term.parse(term).qualifiers
    left = "left" in parts or bool(parts & _LEFT_ONLY)
    right = "right" in parts or bool(parts & _RIGHT_ONLY)
    if "bilateral" in parts or (left and right):
        return "bilateral"
    return "left" if left else "right" if right else None
