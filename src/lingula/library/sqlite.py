"""Everything particular to SQLite: where the file is, how a connection is set up, what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from lingula.errors import InputError, LibraryError, LingulaError

FILE_NAME = "library.sqlite"
SUFFIXES = (".sqlite", ".sqlite3", ".db")
WAIT_SECONDS = 30  # for another writer


def location(url_or_path: str | Path) -> Path:
    """The database file meant by a folder, a file or a ``sqlite:///`` URL.

    ``demo/library`` is a folder that holds ``library.sqlite``; ``x.sqlite`` is the file itself.

    Raises:
        InputError: ``bad_request`` for a URL that is not SQLite or names no file.
    """
    text = str(url_or_path)
    if "://" in text:
        try:
            url = sa.make_url(text)
        except ArgumentError as error:
            raise InputError("bad_request", f"{text!r} is not a database URL.") from error
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            shown = url.render_as_string(hide_password=True)
            raise InputError("bad_request", f"{shown} names no library.", "Give a path or sqlite:///path.")
        return Path(str(url.database))
    path = Path(text)
    return path if path.suffix in SUFFIXES or path.is_file() else path / FILE_NAME


def connect(file: Path) -> sa.Engine:
    """An engine whose commits are on the disk when they return."""
    url = sa.URL.create("sqlite", database=str(file))
    engine = sa.create_engine(url, connect_args={"timeout": WAIT_SECONDS})
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver starts no transaction of its own: _begin does, also before DDL
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def problems(connection: sa.Connection) -> tuple[str, ...]:
    """What SQLite's own checks find wrong; empty when all is well."""
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return (*found, *(f"row {row[1]} of {row[0]} belongs to no study" for row in orphans))


def translated(error: DBAPIError, file: Path) -> LingulaError:
    """What a database error means to the user. Anything not known to be harmless is damage."""
    name = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return LingulaError("disk_full", f"no space left for {file}.", "Free some space; nothing was lost.")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return InputError("bad_request", f"{file} is being written by another process.", "Try again later.")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return InputError("bad_request", f"{file} cannot be written.", "Check its permissions.")
    if name.startswith("SQLITE_CANTOPEN"):
        return LibraryError("library_missing", f"{file} cannot be opened.", "Check the path and its permissions.")
    return damaged(file, str(error.orig))


def damaged(file: Path, why: str) -> LibraryError:
    return LibraryError("index_corrupt", f"{file} is damaged: {why}.", "Restore a copy or import the studies again.")


def make_folder(folder: Path) -> None:
    """Make a folder and put its name on the disk, as a commit inside it would otherwise not."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
