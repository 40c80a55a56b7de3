"""Which database a folder, a file or a URL means."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from lingula.errors import InputError
from lingula.library.database import Database
from lingula.library.sqlite import Sqlite
from lingula.types import FilePath


def database_at(url_or_path: FilePath) -> Database:
    """The database meant by a folder, a file, a ``sqlite:///`` or a ``postgresql://`` URL.

    Raises:
        InputError: ``bad_request`` for a URL of another kind or one that names no library.
    """
    text = os.fspath(url_or_path)
    if "://" not in text:
        return Sqlite.at(Path(text))
    try:
        url = sa.make_url(text)
    except ArgumentError as error:
        raise InputError("bad_request", f"{text!r} is not a database URL.") from error
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return Sqlite(Path(str(url.database)))
    if backend in ("postgresql", "postgres") and url.database:
        from lingula.library.postgres import Postgres  # with the dialect, which a file does without

        return Postgres(url.set(drivername="postgresql+psycopg"))
    shown = url.render_as_string(hide_password=True)
    raise InputError("bad_request", f"{shown} names no library.", "Give a path, sqlite:///path or postgresql://…/name.")
