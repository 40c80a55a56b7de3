"""Studies deleted from every table, also from tables of later versions: whatever names a study in a column
``study_id``, by a foreign key, as the source of a refusal or anywhere in a JSON value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from lingula.plain import DISCLAIMER

OWNER = "study_id"
OWNERS = (OWNER, "study")
"""Columns that say whose a row is where no foreign key does."""
GONE = object()
MANY = 200
"""Studies named in one statement."""


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """A backup or an export that was made of a library: what kind, where, when (UTC, ISO 8601)."""

    kind: str
    place: str
    at: str


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    """What was deleted, without a word of whose it was.

    Attributes:
        at: when it was over, UTC.
        keys: 16 hex digits a study, keyed with the library's secret: its owner can prove that one was among them.
        rows: how many rows went, by table; ``changed`` lists and sets that named a study and no longer do.
        files: derived files that were removed or written anew.
        copies: backups and exports, made earlier, that may still hold them.
        remains: where else bytes may be left, in words.
    """

    at: str
    keys: tuple[str, ...]
    rows: Mapping[str, int]
    changed: Mapping[str, int]
    files: int
    copies: tuple[CopyRecord, ...]
    remains: tuple[str, ...]

    disclaimer: str = DISCLAIMER
    SHOWN: ClassVar = {"studies": "studies"}

    @property
    def studies(self) -> int:
        """How many were deleted."""
        return len(self.keys)


def erase(connection: sa.Connection, study_ids: Collection[str]) -> tuple[Counter[str], Counter[str]]:
    """Delete every row that is of these studies, and take them out of every JSON value that names them.

    Returns:
        Rows deleted by table, rows changed by table.
    """
    tables = sa.MetaData()
    tables.reflect(connection, only=_own_tables(connection))
    ids = sorted(study_ids)
    deleted: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    films, digests = _films(connection, tables, ids)
    for table in reversed(tables.sorted_tables):  # those that point at others first
        if (column := _owner(table)) is not None:
            deleted[table.name] += _delete(connection, column, ids)
        if "digest" in table.c and table.name not in ("study", "radiograph"):  # of a file
            deleted[table.name] += _delete(connection, table.c["digest"], digests)
        if "source" in table.c:
            deleted[table.name] += _delete(connection, table.c["source"], [*ids, *films])
        for column in table.c:
            if isinstance(column.type, sa.JSON) and table.name not in ("study", "radiograph"):
                changed[table.name] += _scrub(connection, column, frozenset(ids))
    return +deleted, +changed


def _own_tables(connection: sa.Connection) -> list[str]:
    """All but what the full-text index keeps by itself."""
    names = sa.inspect(connection).get_table_names()
    return [name for name in names if not name.startswith(("study_text", "alembic"))]


def _owner(table: sa.Table) -> sa.Column[Any] | None:
    """The column that says whose a row is."""
    keys = [key.parent for key in table.foreign_keys if key.column.table.name == "study"]
    return keys[0] if keys else next((table.c[name] for name in OWNERS if name in table.c), None)


def _films(connection: sa.Connection, tables: sa.MetaData, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and file digests of the studies' films."""
    film = tables.tables["radiograph"].c
    wanted = (sa.select(film.image_id, film.digest).where(film.study_id.in_(some)) for some in _parts(ids))
    rows = [row for one in wanted for row in connection.execute(one)]
    return [row.image_id for row in rows], [row.digest for row in rows]


def _delete(connection: sa.Connection, column: sa.Column[Any], values: Sequence[str]) -> int:
    return sum(connection.execute(sa.delete(column.table).where(column.in_(some))).rowcount for some in _parts(values))


def _scrub(connection: sa.Connection, column: sa.Column[Any], ids: frozenset[str]) -> int:
    """Take the studies out of one column; a row whose whole value is of one of them is deleted."""
    table = column.table
    keys = list(table.primary_key)
    text = sa.cast(column, sa.Text)
    changed = 0
    for some in _parts(sorted(ids)):
        names_one = sa.or_(*(text.contains(one, autoescape=True) for one in some))
        for row in connection.execute(sa.select(*keys, column).where(names_one)).all():
            *key, value = row
            if (kept := without(value, ids)) == value:
                continue  # another study, whose id holds this one's
            this = sa.and_(*(part == one for part, one in zip(keys, key, strict=True)))
            if kept is GONE:
                connection.execute(sa.delete(table).where(this))
            else:
                newer = {"version": table.c["version"] + 1} if "version" in table.c else {}
                connection.execute(sa.update(table).where(this).values({column.name: kept, **newer}))
            changed += 1
    return changed


def without(value: Any, ids: frozenset[str]) -> Any:
    """A JSON value without what is of these studies: items that are one, objects that name one as theirs."""
    if isinstance(value, str):
        return GONE if value in ids else value
    if isinstance(value, list):
        return [kept for each in value if (kept := without(each, ids)) is not GONE]
    if isinstance(value, dict):
        if value.get(OWNER) in ids:
            return GONE
        pairs = ((key, without(each, ids)) for key, each in value.items() if key not in ids)
        return {key: kept for key, kept in pairs if kept is not GONE}
    return value


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + MANY] for start in range(0, len(values), MANY)]
