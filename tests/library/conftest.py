"""A small library of made-up studies, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import kill
from lingula.library import Entry, Library


@pytest.fixture(scope="session")
def specimen() -> Callable[[int], Entry]:
    return kill.specimen


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL database that tests may empty: ``LINGULA_POSTGRES``, or one on a server of their own."""
    if named := os.environ.get("LINGULA_POSTGRES"):
        yield named
        return
    pgserver = pytest.importorskip("pgserver", reason="needs pgserver, or an empty database named by LINGULA_POSTGRES")
    folder = tempfile.mkdtemp(prefix="lingula")  # short, for its socket, and open to the user it runs as
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it puts its lock file
        running = pgserver.get_server(folder)
    engine = sa.create_engine(sa.make_url(running.get_uri()).set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE DATABASE library")
    engine.dispose()
    yield running.get_uri("library")
    os.kill(running.get_pid(), signal.SIGQUIT)  # at once: nothing is to be kept
    running.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The same database, emptied; one that is named is shared by all processes that run tests, one test at a time."""
    name = f"lingula-{hashlib.sha256(server.encode()).hexdigest()[:16]}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _empty(server)
        yield server


def _empty(server: str) -> None:
    engine = sa.create_engine(sa.make_url(server).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.exec_driver_sql(f"{others} AND pid <> pg_backend_pid()")
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new library may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "gallery")
    url: str = request.getfixturevalue("url")
    return url


@pytest.fixture
def library(place: str) -> Iterator[Library]:
    """An empty library for embeddings of 16 dimensions, in either database."""
    with Library.create(place, **kill.ABOUT) as made:
        yield made


@pytest.fixture
def in_a_file(tmp_path: Path) -> Iterator[Library]:
    """An empty library at ``tmp_path/gallery``."""
    with Library.create(tmp_path / "gallery", **kill.ABOUT) as made:
        yield made
