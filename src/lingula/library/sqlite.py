"""Everything particular to SQLite: where the file is, how a connection is set up, what its errors mean."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from lingula.durable_file import sync
from lingula.errors import InputError, LibraryError, LingulaError, storage_error
from lingula.library.database import Candidates, damaged, unanswerable
from lingula.library.leftovers import sweep
from lingula.library.private_file import make_private
from lingula.library.schema import StudyRow
from lingula.study import Mode

FILE_NAME = "library.sqlite"
SUFFIXES = (".sqlite", ".sqlite3", ".db")
WAIT_SECONDS = 30  # for another writer
DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_CONSTRAINT", "SQLITE_SCHEMA", "SQLITE_MISMATCH")
"""What only a file that is not as it was written gives; a value that cannot be asked for is no damage."""
_LACKS = re.compile(r"no such (table|column|module)|malformed|has no column")


class Sqlite:
    """A library in one file; its vectors are searched in memory.

    Args:
        file: where it is.
        is_new: whether the file may be made; else one that is not there stays so.
    """

    searches = False

    def __init__(self, file: Path, *, is_new: bool = False) -> None:
        self.file = file
        self.place = str(file)
        self._is_new = is_new
        self._sound: tuple[int, int] | None = None  # when the file was last found whole: mtime, size
        self._identity: tuple[int, int] | None = None  # of the file first opened: device, inode
        self._watch: sqlite3.Connection | None = None  # that is told of commits, and makes none
        self._watching = threading.Lock()

    @classmethod
    def at(cls, path: Path) -> Self:
        """``demo/library`` is a folder that holds ``library.sqlite``; ``x.sqlite`` is the file itself."""
        return cls(path if path.suffix in SUFFIXES or path.is_file() else path / FILE_NAME)

    @contextmanager
    def created(self) -> Iterator[Sqlite]:
        try:
            make_folder(self.file.parent)
            self.sweep()
            if self.file.exists():
                yield self
                return
            part = Sqlite(self.file.with_name(f"{self.file.name}.{secrets.token_hex(4)}.part"), is_new=True)
            make_private(part.file)  # SQLite gives -wal and -shm the same permissions
            try:
                yield part
                self._put_in_place(part.file)
            finally:
                for ending in ("", "-wal", "-shm", "-journal"):
                    part.file.with_name(part.file.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, f"{self.file} cannot be made") from error

    def _put_in_place(self, made: Path) -> None:
        """Give a whole library its name, unless another took it meanwhile."""
        try:
            os.link(made, self.file)
        except FileExistsError:
            raise InputError(
                "bad_request", f"{self.place} exists already.", "Open it, or name another place."
            ) from None
        except OSError:  # a file system without hard links
            os.rename(made, self.file)
        sync(self.file.parent)

    def check(self) -> None:
        """Through a connection of its own, as one that is open would answer from memory."""
        known = self.file.stat()
        if (seen := (known.st_mtime_ns, known.st_size)) == self._sound:
            return
        try:
            with closing(sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            raise damaged(self.place, found)
        self._sound = seen

    def sweep(self) -> int:
        name = re.escape(self.file.name)
        parts = sweep(self.file.parent, re.compile(rf"{name}\.[0-9a-f]{{8}}\.part(-wal|-shm|-journal)?"))
        parts += sweep(self.file.parent, re.compile(rf"{name}-[a-z]+\.cells\.[0-9]+\.part"))
        return parts + sweep(self.file.with_name(f"{self.file.name}-patches"), re.compile(r"\w+\.[0-9]+\.part"))

    def connect(self) -> sa.Engine:
        query = {"mode": "rwc" if self._is_new else "rw", "uri": "true"}
        url = sa.URL.create("sqlite", database=self.file.absolute().as_uri(), query=query)
        engine = sa.create_engine(url, connect_args={"timeout": WAIT_SECONDS})
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", self._begin)
        return engine

    def _begin(self, connection: sa.Connection) -> None:
        """Start a transaction in the file that was opened, not in one that lost its name: what were written there
        would be lost, too."""
        identity = self._current()
        self._identity = self._identity or identity
        if identity is None or identity != self._identity:
            message = f"{self.file} was removed or replaced while it was open."
            raise LibraryError("library_missing", message, "Put it back, or start again.")
        connection.exec_driver_sql("BEGIN")

    def _current(self) -> tuple[int, int] | None:
        """Device and inode of the file that bears the name; None where none does."""
        try:
            known = self.file.stat()
        except OSError:
            return None
        return known.st_dev, known.st_ino

    def changes(self) -> int | None:
        if self._identity is None or self._current() != self._identity:
            return None
        try:
            with self._watching:
                if self._watch is None:
                    uri = f"{self.file.absolute().as_uri()}?mode=rw"
                    self._watch = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
                return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def close(self) -> None:
        with self._watching:
            if self._watch is not None:
                self._watch.close()
            self._watch = None

    def require(self) -> None:
        if not self.file.is_file():
            message = f"there is no library at {self.file}."
            raise LibraryError("library_missing", message, "Check the path, or import one.")
        if not self.file.stat().st_size:
            raise damaged(self.place, "the file is empty")

    def prepare(self, connection: sa.Connection) -> None:
        pass

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

    def forget_text(self, connection: sa.Connection, study_ids: Sequence[str]) -> None:
        for study_id in study_ids:
            connection.exec_driver_sql("DELETE FROM study_text WHERE study_id = ?", (study_id,))
        connection.exec_driver_sql("INSERT INTO study_text (study_text) VALUES ('optimize')")  # merged: words are gone

    def overwrite(self, engine: sa.Engine) -> tuple[str, ...]:
        """Freed pages are zeroed (``secure_delete``); the file is written anew and its log emptied, which waits for
        whoever reads."""
        until = time.monotonic() + WAIT_SECONDS
        with closing(engine.raw_connection()) as connection:
            cursor, is_written = connection.cursor(), False
            while True:
                with suppress(sqlite3.OperationalError):  # another writes
                    if not is_written:
                        cursor.execute("VACUUM")
                        is_written = True
                    if not cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                        return ()
                if time.monotonic() > until:
                    return (f"{self.place}-wal, until others that read it have ended",)
                time.sleep(0.05)

    def derived_file(self, name: str) -> Path | None:
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
        name, said = getattr(error.orig, "sqlite_errorname", ""), str(error.orig)
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHM", "SQLITE_IOERR_FSYNC")):
            return LingulaError("disk_full", f"no space left for {self.file}.", "Free some space; nothing was lost.")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return InputError("bad_request", f"{self.file} is being written by another process.", "Try again later.")
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR")):
            message = f"{self.file} cannot be read or written."
            return LingulaError("storage_unavailable", message, "Check its permissions and its disk.")
        if name.startswith("SQLITE_CANTOPEN"):
            message = f"{self.file} cannot be opened."
            return LibraryError("library_missing", message, "Check the path and its permissions.")
        if name.startswith(DAMAGES) or (isinstance(error, OperationalError) and (not name or _LACKS.search(said))):
            return damaged(self.place, said)
        return unanswerable(error)

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
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {setting}").close()


def make_folder(folder: Path) -> None:
    """Make a folder and put its name on the disk, as a commit inside it would otherwise not."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync(path.parent)
