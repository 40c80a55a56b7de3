"""What was read from a library at one revision, remembered for the answers that follow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lingula.labels.assertions import Assertion
from lingula.library.record import Summary

T = TypeVar("T")
KEPT = 20_000
"""Studies remembered: some 100 MB of reports."""


@dataclass(slots=True, eq=False)
class RecordCache:
    """Threads may share it: whatever is put in was read at its revision or later, and at a later one nobody asks it."""

    revision: int
    count: int | None = None
    summaries: dict[str, Summary] = field(default_factory=dict)
    assertions: dict[str, tuple[Assertion, ...]] = field(default_factory=dict)
    made: dict[Hashable, dict[str, Any]] = field(default_factory=dict)


def remembered(
    known: dict[str, T], asked: Collection[str], read: Callable[[Collection[str]], dict[str, T]]
) -> dict[str, T]:
    """What is known of these studies; the rest is read in one go and known from then on."""
    found = {study: value for study in asked if (value := known.get(study)) is not None}
    if missing := [study for study in asked if study not in found]:
        fresh = read(missing)
        if len(known) + len(fresh) > KEPT:
            known.clear()
        known.update(fresh)
        found |= fresh
    return found
