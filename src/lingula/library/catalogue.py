"""Conditions on the records of a library, answered from columns in memory: for each value the studies that have it.

A column is read from the database when a condition first asks for it, and follows every write: studies only ever come
(their rows are put behind), and when some go or are read anew all is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lingula.library import conditions as kinds
from lingula.library.conditions import Condition

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int32]
Groups = Sequence[tuple[tuple[Any, ...], Sequence[str]]]
"""Values of a column, each with the ids of the studies that have it."""

SEVERAL = 5_000
"""Studies added since, from which reading everything again is as quick."""


class Columns(Protocol):
    """Where columns are read: the records of a library."""

    def last_revision(self) -> int: ...
    def erased(self) -> int: ...
    def ids(self) -> tuple[str, ...]: ...
    def count(self) -> int: ...
    def added(self, since: int) -> tuple[str, ...]: ...
    def column(self, name: str, among: Collection[str] | None = None) -> Groups: ...
    def saying(self, phrase: str) -> Collection[str]: ...


class Roster:
    """Study ids by row. Rows are only ever added, so that a row means the same study to every snapshot."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)
        self.row_of = {study_id: row for row, study_id in enumerate(self.ids)}

    def add(self, ids: Sequence[str]) -> None:
        for study_id in ids:
            self.row_of[study_id] = len(self.ids)
            self.ids.append(study_id)

    def rows(self, ids: Collection[str]) -> Rows:
        """Rows of studies; those that are not here are left out."""
        known = self.row_of
        return np.fromiter((known[each] for each in ids if each in known), np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Selection(Set[str]):
    """Ids of studies as a mask (N,) over the first N rows of a roster; combined with its like without a loop."""

    roster: Roster
    mask: Mask

    def __contains__(self, study_id: object) -> bool:
        row = self.roster.row_of.get(study_id) if isinstance(study_id, str) else None
        return row is not None and row < len(self.mask) and bool(self.mask[row])

    def __iter__(self) -> Iterator[str]:
        ids = self.roster.ids
        return (ids[row] for row in np.flatnonzero(self.mask))

    def __len__(self) -> int:
        return int(np.count_nonzero(self.mask))

    def __bool__(self) -> bool:
        return bool(self.mask.any())

    def __hash__(self) -> int:
        return self._hash()

    @classmethod
    def _from_iterable(cls, ids: Any) -> Any:
        return frozenset(ids)

    def __and__(self, other: Any) -> Any:
        if self._is_like(other):
            return Selection(self.roster, self.mask & other.mask)
        return Set.__and__(self, other)

    def __or__(self, other: Any) -> Any:
        if self._is_like(other):
            return Selection(self.roster, self.mask | other.mask)
        return Set.__or__(self, other)

    def __sub__(self, other: Any) -> Any:
        if self._is_like(other):
            return Selection(self.roster, self.mask & ~other.mask)
        if isinstance(other, Collection) and len(other) < len(self):
            return Selection(self.roster, self._without(other))
        return Set.__sub__(self, other)

    def _is_like(self, other: object) -> bool:
        return isinstance(other, Selection) and other.roster is self.roster and len(other.mask) == len(self.mask)

    def _without(self, ids: Collection[str]) -> Mask:
        mask, rows = self.mask.copy(), self.roster.rows(ids)
        mask[rows[rows < len(mask)]] = False
        return mask

    def at(self, rows: Rows) -> Mask:
        """(M,) which of these rows of the roster are selected; none that is -1 or came later."""
        there = (rows >= 0) & (rows < len(self.mask))
        if there.all():
            return self.mask[rows]
        found = np.zeros(len(rows), np.bool_)
        found[there] = self.mask[rows[there]]
        return found


class Catalogue:
    """Which studies of a library meet conditions, at the revision it was last brought up to. Threads may share it."""

    def __init__(self, source: Columns) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._revision = -1
        self._roster = Roster(())
        self._columns: dict[str, dict[tuple[Any, ...], Rows]] = {}

    def roster(self, revision: int) -> Roster:
        """The studies at this revision or a later one."""
        with self._lock:
            self._follow(revision)
            return self._roster

    def matching(self, conditions: Sequence[Condition], revision: int) -> Selection:
        """The studies that meet all conditions, at this revision or a later one.

        Raises:
            InputError: ``bad_request`` for a phrase without a word.
        """
        with self._lock:
            while True:
                self._follow(revision)
                mask = np.ones(len(self._roster.ids), np.bool_)
                for condition in conditions:
                    mask &= self._meeting(condition)
                if self._source.erased() <= self._revision:
                    return Selection(self._roster, mask)
                revision = self._source.last_revision()  # studies went while a column was read

    def _follow(self, revision: int) -> None:
        if self._revision >= revision:
            return
        now, source = self._source.last_revision(), self._source
        if self._revision >= 0 and self._revision >= source.erased():
            added = [each for each in source.added(self._revision) if each not in self._roster.row_of]
            if len(added) <= SEVERAL and len(self._roster.ids) + len(added) == source.count():
                self._extend(added)
                self._revision = now
                return
        self._roster, self._columns = Roster(source.ids()), {}
        self._revision = now

    def _extend(self, added: Sequence[str]) -> None:
        if not added:
            return
        self._roster.add(added)
        for name, groups in self._columns.items():
            for value, ids in self._source.column(name, added):
                rows = self._roster.rows(ids)
                groups[value] = np.concatenate([groups[value], rows]) if value in groups else rows

    def _column(self, name: str) -> Mapping[tuple[Any, ...], Rows]:
        if name not in self._columns:
            self._columns[name] = {value: self._roster.rows(ids) for value, ids in self._source.column(name)}
        return self._columns[name]

    def _having(self, name: str, holds: Callable[..., bool] = lambda *value: True) -> Mask:
        """The studies with a value for which something holds."""
        mask = np.zeros(len(self._roster.ids), np.bool_)
        for value, rows in self._column(name).items():
            if holds(*value):
                mask[rows] = True
        return mask

    def _meeting(self, condition: Condition) -> Mask:
        match condition:
            case kinds.Asserts(finding=finding):
                return self._having(f"finding {finding}", condition.holds)
            case kinds.Says(phrase):
                mask = np.zeros(len(self._roster.ids), np.bool_)
                mask[self._roster.rows(self._source.saying(phrase))] = True
                return mask
            case kinds.Labelled(label):
                return self._having("label", lambda value: value == label)
            case kinds.Coded():
                return self._having("coded")
            case kinds.Reported():
                return self._having("reported")
            case kinds.Shows(view):
                return self._having("view", lambda value: value == view)
            case kinds.Aged(youngest, oldest):
                return self._having("age", lambda value: youngest <= value <= oldest)
            case kinds.Not(inner):
                return ~self._meeting(inner)
            case kinds.AnyOf(several):
                mask = np.zeros(len(self._roster.ids), np.bool_)
                for one in several:
                    mask |= self._meeting(one)
                return mask
