"""What was read from a library at one revision, remembered for the answers that follow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.labels.assertions import Assertion
from lingula.library.catalogue import Roster, Rows
from lingula.library.record import Summary

T = TypeVar("T")
Doubles = npt.NDArray[np.float64]
KEPT = 20_000
"""Studies remembered: some 100 MB of reports."""


class NumbersCache:
    """Numbers made of studies' records, by kind. Threads may share it."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Numbers] = {}
        self._writing = Lock()

    def of(self, kind: Hashable, roster: Roster, rows: Rows, make: Callable[[list[str]], Doubles]) -> Doubles:
        """What is known of the studies in these N rows of a roster, (N, ...); the rest is made in one go and known from
        then on.

        Args:
            make: ids of studies to their numbers, a row each.
        """
        known = self._known.get(kind)
        slots = known.slots_of(roster, rows) if known else np.full(len(rows), -1, np.int32)
        missing = np.flatnonzero(slots < 0)
        if known and not len(missing):
            return known.values[slots]
        fresh = make([roster.ids[row] for row in rows[missing].tolist()])
        found = np.empty((len(rows), *fresh.shape[1:]))
        if known:
            found[slots >= 0] = known.values[slots[slots >= 0]]
        found[missing] = fresh
        with self._writing:
            known = self._known.get(kind)
            if known is None or known.roster is not roster or len(known.values) + len(fresh) > KEPT:
                known = _Numbers(roster, np.empty(0, np.int32), fresh[:0])
            self._known[kind] = known.extended(rows[missing], fresh)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """Numbers of studies of a roster: the row of ``values`` (K, ...) in which a study's are, -1 where none are."""

    roster: Roster
    slots: Rows
    values: Doubles

    def slots_of(self, roster: Roster, rows: Rows) -> Rows:
        found = np.full(len(rows), -1, np.int32)
        if self.roster is roster:
            inside = rows < len(self.slots)
            found[inside] = self.slots[rows[inside]]
        return found

    def extended(self, rows: Rows, values: Doubles) -> _Numbers:
        slots = np.full(len(self.roster.ids), -1, np.int32)
        slots[: len(self.slots)] = self.slots
        slots[rows] = np.arange(len(self.values), len(self.values) + len(rows), dtype=np.int32)
        return _Numbers(self.roster, slots, np.concatenate([self.values, values]))


@dataclass(slots=True, eq=False)
class RecordCache:
    """Threads may share it: whatever is put in was read at its revision or later, and at a later one nobody asks it."""

    revision: int
    count: int | None = None
    summaries: dict[str, Summary] = field(default_factory=dict)
    assertions: dict[str, tuple[Assertion, ...]] = field(default_factory=dict)
    made: dict[Hashable, dict[str, Any]] = field(default_factory=dict)
    numbers: NumbersCache = field(default_factory=NumbersCache)


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
