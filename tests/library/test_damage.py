"""Files that are missing, foreign or damaged, and records that were tampered with."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lingula.errors import InputError, LibraryError, LingulaError, ModelError
from lingula.library import Entry, Library, sqlite

Specimen = Callable[[int], Entry]


@pytest.fixture
def file(in_a_file: Library, specimen: Specimen, tmp_path: Path) -> Path:
    """A closed library of ten studies, in one file."""
    in_a_file.add_many([specimen(number) for number in range(10)])
    assert in_a_file.verify() == ()
    in_a_file.close()
    return tmp_path / "gallery" / "library.sqlite"


def tamper(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute(statement, values).rowcount != 0
        connection.commit()


def refusal(path: object, **options: str) -> str:
    with pytest.raises(LingulaError) as refused:
        Library.open(path, **options)  # type: ignore[arg-type]
    return refused.value.code


def test_a_library_goes_by_folder_file_or_url(file: Path, tmp_path: Path) -> None:
    for name in (file.parent, file, str(file), f"sqlite:///{file}"):
        with Library.open(name, model="m1") as opened:
            assert len(opened) == 10
    with pytest.raises(InputError, match="exists already"):
        Library.create(file.parent, model="m", vocabulary="v", labels=(), dimension=2)
    for name in ("x.sqlite", "deep/er"):
        Library.create(tmp_path / name, model="m", vocabulary="v", labels=(), dimension=2).close()
    assert (tmp_path / "x.sqlite").is_file()
    assert (tmp_path / "deep" / "er" / "library.sqlite").is_file()
    for url in ("sqlite://", "postgresql://user:secret@host", "mysql://host/db", "://"):
        assert refusal(url) == "bad_request"


def test_another_model_is_refused(file: Path) -> None:
    with pytest.raises(ModelError, match="filled by model m1, not by m2") as refused:
        Library.open(file, model="m2")
    assert refused.value.code == "model_mismatch"


def test_files_that_are_no_library(file: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == "library_missing"
    assert not (tmp_path / "nowhere").exists()
    tables = tmp_path / "tables.sqlite"
    with closing(sqlite3.connect(tables)) as connection:
        connection.execute("CREATE TABLE cake (slice)")
    assert refusal(tables) == "index_corrupt"
    for name, content in {"zero": b"", "text": b"not a database" * 99, "header": b"\1" * 99 + file.read_bytes()[99:],
                          "half": file.read_bytes()[:6000]}.items():  # fmt: skip
        (tmp_path / f"{name}.db").write_bytes(content)
        assert refusal(tmp_path / f"{name}.db") == "index_corrupt", name
    tamper(file, "UPDATE alembic_version SET version_num = '99'")
    assert refusal(file) == "library_newer"
    tamper(file, "DELETE FROM alembic_version")
    assert refusal(file) == "index_corrupt"


def test_zero_length_file(shared_data: Path, tmp_path: Path) -> None:
    shutil.copyfile(shared_data / "badinput/model/index/zero_length.sqlite", tmp_path / "copy.sqlite")
    assert refusal(tmp_path / "copy.sqlite") == "index_corrupt"


def test_overwritten_pages_are_noticed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for page in range(len(content) // 4096 // 2, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 2048] = bytes(2048)
    file.write_bytes(content)
    with Library.open(file) as opened:
        assert opened.verify()


@pytest.mark.parametrize(("statement", "value", "told"), [
    ("UPDATE embedding SET vector = ? WHERE study_id = 'S3' AND mode = 'joint'", bytes.fromhex("0000c07f") * 16, "S3"),
    ("UPDATE embedding SET vector = ? WHERE study_id = 'S3' AND mode = 'joint'", bytes(63), "64 bytes"),
    ("UPDATE study SET text = ? WHERE study_id = 'S3'", "all clear", "S3 is not what was stored"),
    ("UPDATE study SET sections = ? WHERE study_id = 'S3'", "[[", "damaged"),
    ("UPDATE radiograph SET png = substr(png, 1, ?) WHERE image_id = 'S3_2'", 90, "preview of S3_2"),
    ("DELETE FROM radiograph WHERE image_id = ?", "S3_2", "S3 is not what was stored"),
    ("DELETE FROM study WHERE study_id = ?", "S3", "belongs to no study"),
    ("DELETE FROM label WHERE study_id = ?", "S3", "label rows"),
    ("DELETE FROM study_text WHERE study_id = ?", "S3", "full-text"),
    ("UPDATE study_text_data SET block = ? WHERE id > 10", bytes(9), "full-text"),
    ("UPDATE finding SET polarity = 'present' WHERE study_id = ?", "S3", "assertions of S3"),
])  # fmt: skip
def test_verify_names_what_was_tampered_with(file: Path, statement: str, value: object, told: str) -> None:
    tamper(file, statement, value)
    with Library.open(file) as opened:
        assert told in " ".join(opened.verify())


def test_verify_compares_the_index_in_memory(file: Path) -> None:
    with Library.open(file) as opened:
        vector = opened.gallery("text").vectors[3]
        tamper(file, "UPDATE embedding SET vector = ? WHERE study_id = 'S4' AND mode = 'text'", vector.tobytes())
        assert opened.verify() == ("the text index and the records hold different vectors",)
        tamper(file, "DELETE FROM embedding WHERE study_id = ? AND mode = 'text'", "S5")
        assert opened.verify() == ("the text index and the records differ in 1 studies",)


def test_damaged_vectors_and_previews_give_no_answers(file: Path, specimen: Specimen) -> None:
    tamper(file, "UPDATE embedding SET vector = ? WHERE study_id = 'S3'", bytes(64))
    tamper(file, "UPDATE radiograph SET png = ? WHERE study_id = 'S3'", b"not a picture")
    with Library.open(file) as opened:
        with pytest.raises(LibraryError, match="S3 has no unit norm"):
            opened.search(specimen(1).embeddings["joint"])
        with pytest.raises(LibraryError, match="preview is damaged"):
            opened.study("S3")


def test_commits_wait_for_the_disk(file: Path) -> None:
    engine = sqlite.Sqlite(file).connect()
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                 for name in ("journal_mode", "synchronous", "foreign_keys")]  # fmt: skip
    engine.dispose()
    assert found == ["wal", 2, 1]  # 2 is FULL


def test_a_full_disk_loses_nothing(in_a_file: Library, specimen: Specimen, tmp_path: Path) -> None:
    """Files may not grow beyond a size: the import stops with a code, and goes on once there is room again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = []

    def fill() -> None:
        for number in range(1000):
            in_a_file.add_many([specimen(number)])
            acknowledged.append(f"S{number}")

    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
    try:
        with pytest.raises(LingulaError) as full:
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.code == "disk_full"
    assert 3 < len(acknowledged) < 1000
    with Library.open(tmp_path / "gallery") as opened:
        assert set(opened.ids()) == set(acknowledged)
        assert opened.verify() == ()
    assert in_a_file.add_many([specimen(number) for number in range(len(acknowledged) + 3)])[-1].state == "added"
    assert in_a_file.verify() == ()
