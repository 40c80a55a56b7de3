"""Everything particular to SQLite: where the file is, how a connection is set up, what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from lingula.errors import InputError, LibraryError, LingulaError
from lingula.library.database import Candidates, damaged
from lingula.library.private_file import make_private
from lingula.library.schema import StudyRow
from lingula.study import Mode

FILE_NAME = "library.sqlite"
SUFFIXES = (".sqlite", ".sqlite3", ".db")
WAIT_SECONDS = 30  # for another writer


class Sqlite:
    """A library in one file; its vectors are searched in memory."""

    searches = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.place = str(file)

    @classmethod
    def at(cls, path: Path) -> Self:
        """``demo/library`` is a folder that holds ``library.sqlite``; ``x.sqlite`` is the file itself."""
        return cls(path if path.suffix in SUFFIXES or path.is_file() else path / FILE_NAME)

    def connect(self) -> sa.Engine:
        url = sa.URL.create("sqlite", database=str(self.file))
        engine = sa.create_engine(url, connect_args={"timeout": WAIT_SECONDS})
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def require(self) -> None:
        if not self.file.is_file():
            message = f"there is no library at {self.file}."
            raise LibraryError("library_missing", message, "Check the path, or import one.")
        if not self.file.stat().st_size:
            raise damaged(self.place, "the file is empty")

    def prepare(self, connection: sa.Connection | None) -> None:
        if connection is None:
            make_folder(self.file.parent)
            if not self.file.exists():
                make_private(self.file)  # SQLite gives -wal and -shm the same permissions

    def discard(self, connection: sa.Connection | None) -> None:
        if connection is None:
            for ending in ("", "-wal", "-shm"):
                self.file.with_name(self.file.name + ending).unlink(missing_ok=True)

    def lock(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def settle(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")

    def index_vectors(self, connection: sa.Connection, dimension: int) -> None:
        pass

    def index_text(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("DELETE FROM study_text")
        connection.exec_driver_sql("INSERT INTO study_text SELECT study_id, text FROM study WHERE text IS NOT NULL")

    def beside(self, name: str) -> Path | None:
        return self.file.with_name(f"{self.file.name}-{name}")

    def nearest(
        self, connection: sa.Connection, mode: Mode, query: npt.NDArray[np.float32], fetch: int,
        exclude: Collection[str], within: Collection[str] | None,
    ) -> Candidates:  # fmt: skip
        raise NotImplementedError

    def says(self, phrase: str) -> sa.ColumnElement[bool]:
        quoted = '"' + phrase.replace('"', " ") + '"'
        table = sa.table("study_text", sa.column("study_id"))
        found = sa.select(table.c.study_id).where(sa.literal_column("study_text").op("MATCH")(quoted))
        return StudyRow.study_id.in_(found)

    def translated(self, error: DBAPIError) -> LingulaError:
        name = getattr(error.orig, "sqlite_errorname", "")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHM", "SQLITE_IOERR_FSYNC")):
            return LingulaError("disk_full", f"no space left for {self.file}.", "Free some space; nothing was lost.")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return InputError("bad_request", f"{self.file} is being written by another process.", "Try again later.")
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
            return InputError("bad_request", f"{self.file} cannot be written.", "Check its permissions.")
        if name.startswith("SQLITE_CANTOPEN"):
            message = f"{self.file} cannot be opened."
            return LibraryError("library_missing", message, "Check the path and its permissions.")
        return damaged(self.place, str(error.orig))  # anything not known to be harmless

    def problems(self, connection: sa.Connection) -> tuple[str, ...]:
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        found += [f"row {row[1]} of {row[0]} belongs to no study" for row in orphans]
        if not _text_is_indexed(connection):
            found.append("the full-text index is not that of the reports: reindex")
        return tuple(found)


def _text_is_indexed(connection: sa.Connection) -> bool:
    missing = "SELECT study_id, text FROM study WHERE text IS NOT NULL EXCEPT SELECT study_id, text FROM study_text"
    try:
        connection.exec_driver_sql("INSERT INTO study_text (study_text, rank) VALUES ('integrity-check', 0)")
        return connection.exec_driver_sql(missing).first() is None
    except DBAPIError:
        return False


def _set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver starts no transaction of its own: _begin does, also before DDL
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def make_folder(folder: Path) -> None:
    """Make a folder and put its name on the disk, as a commit inside it would otherwise not."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
