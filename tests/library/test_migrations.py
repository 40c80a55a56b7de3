"""A library made by an earlier version goes on; one made by a later version is left alone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects.postgresql.base import ischema_names

from lingula.library import Asserts, Labelled, Library, Says
from lingula.library.database_url import database_at
from lingula.library.schema import Base, _PgVector

FINGERPRINT = "085e8ee89231251a988e4be34ccdb2bc42640f4bf46b4ea341ddb1b9ff00ee9f"  # as version 1 gave it
DATABASES_OWN = {"study_text", "words", "study_words"}  # full text, and the vector indexes


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Three made-up studies, written by lingula before its tables had versions."""
    return Path(shutil.copy(Path(__file__).with_name("version1.sqlite"), tmp_path / "old.sqlite"))


def test_an_old_library_is_brought_up_to_date(old: Path) -> None:
    with Library.open(old, model="m1") as library:
        assert library.fingerprint == FINGERPRINT
        assert library.verify() == ()
        assert library.matching(Asserts("pneumothorax", ("absent",))) == {"S0"}
        assert library.matching(Asserts("effusion", ("present",), sides=("left",))) == {"S0"}
        assert library.matching(Labelled("cardiomegaly")) == library.matching(Says("heart is enlarged")) == {"S1"}
        assert (library.get("S2").labels, library.get("S2").report, library.get("S0").age) == (None, None, 49)
        assert [refusal.code for refusal in library.refusals()] == ["truncated"]
    with Library.open(old) as again:
        assert again.ids() == ("S0", "S1", "S2")


def test_vectors_of_an_old_library_get_checksums(old: Path) -> None:
    Library.open(old).close()
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT count(*), min(length(checksum)) FROM embedding").fetchone()[1] == 16
        swap = (
            "UPDATE embedding SET vector = (SELECT vector FROM embedding WHERE study_id = 'S1') WHERE study_id = 'S0'"
        )
        connection.execute(swap)
        connection.commit()
    with Library.open(old) as library:
        assert any("embedding of S0 is not what was stored" in problem for problem in library.verify())


def test_an_upgrade_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.drop_column", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Library.open(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT version FROM library").fetchall() == [(1,)]
        assert not connection.execute(
            "SELECT * FROM sqlite_master WHERE name IN ('finding', 'alembic_version')"
        ).fetchall()
    Library.open(old).close()


def test_the_migrations_make_what_the_program_reads(
    library: Library, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ischema_names, "vector", _PgVector)
    engine = database_at(place).connect()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    surplus = [change for change in differences if not _is_the_databases_own(change)]
    assert surplus == []


def _is_the_databases_own(change: tuple) -> bool:
    name = str(getattr(change[-1], "name", ""))
    return change[0].startswith("remove_") and (
        name in DATABASES_OWN or name.startswith("study_text_") or name.endswith("_hnsw")
    )
