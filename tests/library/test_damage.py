"""Files that are missing, foreign or damaged, and records that were tampered with."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import kill
from lingula.errors import InputError, LibraryError, LingulaError, ModelError
from lingula.library import Aged, Asserts, Entry, Labelled, Library, Says, sqlite

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
    for page in range(len(content) // 4096 * 3 // 4, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 2048] = bytes(2048)
    file.write_bytes(content)
    with Library.open(file) as opened:
        assert opened.verify()


def refusal_of(ask: Callable[[], object]) -> str:
    with pytest.raises(LingulaError) as refused:
        ask()
    return refused.value.code


@pytest.mark.parametrize(("statement", "value", "told"), [
    ("UPDATE embedding SET vector = ? WHERE study_id = 'S3' AND mode = 'joint'", bytes.fromhex("0000c07f") * 16, "S3"),
    ("UPDATE embedding SET vector = ? WHERE study_id = 'S3' AND mode = 'joint'", bytes(63), "64 bytes"),
    ("UPDATE embedding SET vector = ? WHERE study_id = 'S3' AND mode = 'joint'", kill.unit(99).tobytes(),
     "joint embedding of S3"),
    ("UPDATE embedding SET vector = (SELECT vector FROM embedding WHERE study_id = 'S4' AND mode = 'text') "
     "WHERE study_id = 'S3' AND mode = ?", "text", "text embedding of S3"),
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
        named = "the text embedding of S4 is not what was stored"
        assert opened.verify() == (named, "the text index and the records hold different vectors")
        tamper(file, "DELETE FROM embedding WHERE study_id = ? AND mode = 'text'", "S5")
        assert opened.verify() == (named, "the text index and the records differ in 1 studies")


def test_damaged_vectors_and_previews_give_no_answers(file: Path, specimen: Specimen) -> None:
    tamper(file, "UPDATE embedding SET vector = ? WHERE study_id = 'S3'", bytes(64))
    tamper(file, "UPDATE radiograph SET png = ? WHERE study_id = 'S3'", b"not a picture")
    with Library.open(file) as opened:
        with pytest.raises(LibraryError, match="S3 has no unit norm"):
            opened.search(specimen(1).embeddings["joint"])
        with pytest.raises(LibraryError, match="preview is damaged"):
            opened.study("S3")


@pytest.mark.parametrize(
    "text", ["a\0b", "\0", "\ud800", "effusion \udfff", "a" * 100_000, '"', "\u200b a", "a\x1b[2Jb"]
)
def test_odd_text_is_no_damage(library: Library, specimen: Specimen, text: str) -> None:
    """Whatever is asked, the file is sound, and says so."""
    library.add_many([specimen(number) for number in range(3)])
    asked: list[Callable[[], object]] = [
        lambda: library.matching(Says(text)),
        lambda: library.matching(Labelled(text)),
        lambda: library.matching(Asserts(text)),
        lambda: library.matching(Aged(0, 10**30)),
        lambda: library.get(text),
        lambda: library.vectors([text]),
        lambda: library.search(specimen(1).embeddings["joint"], exclude=[text]),
        lambda: library.refuse(text, "truncated", text),
    ]
    codes: set[str] = set()
    for ask in asked:
        try:
            ask()
        except LingulaError as error:
            codes.add(error.code)
    assert codes <= {"bad_request", "study_unknown"}
    assert library.verify() == ()


def test_a_file_that_lost_its_name_takes_no_more_studies(file: Path, specimen: Specimen, tmp_path: Path) -> None:
    with Library.open(file) as opened:
        assert len(opened) == 10
        aside = file.rename(tmp_path / "aside")
        for ask in (lambda: len(opened), lambda: opened.add_many([specimen(11)]), opened.status):
            with pytest.raises(LibraryError) as gone:
                ask()
            assert gone.value.code == "library_missing"
            assert not file.exists()
        shutil.copy(aside, file)  # a copy put in its place is another library
        assert refusal_of(opened.status) == "library_missing"
        file.unlink()
        aside.rename(file)
        assert opened.add_many([specimen(11)])[0].state == "added"
    with Library.open(file) as again:
        assert len(again) == 11
        assert again.verify() == ()


KILLED = """
import os, sys
import kill
from lingula.library import Library, migrations, store

at, place = sys.argv[1:]
made = store.Store._make
if at == "start":
    store.Store._make = lambda *_: os._exit(9)
elif at == "tables":
    migrations.upgrade = lambda *_, **__: os._exit(9)
elif at == "row":
    store.Store._make = lambda *given: (made(*given), os._exit(9))
else:
    store.Store.close = lambda _: os._exit(9)
Library.create(place, **kill.ABOUT)
"""


@pytest.mark.parametrize("at", ["start", "tables", "row", "end"])
def test_a_killed_creation_blocks_no_other(tmp_path: Path, at: str, specimen: Specimen) -> None:
    place = tmp_path / "library.sqlite"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", KILLED, at, str(place)], env=paths, check=False, timeout=120)
    assert run.returncode == 9
    assert refusal(place) == "library_missing"
    left = list(tmp_path.iterdir())
    for path in left:
        os.utime(path, (0, 0))
    (tmp_path / "library.sqlite.part").write_text("not ours")
    (tmp_path / "other.sqlite.0123abcd.part").write_text("not ours")
    with Library.create(place, **kill.ABOUT) as made:
        made.add_many([specimen(1)])
        assert made.verify() == ()
    assert {path.name for path in tmp_path.iterdir()} == {
        "library.sqlite", "library.sqlite.part", "other.sqlite.0123abcd.part"
    }  # fmt: skip


def test_old_temporary_files_are_swept(file: Path) -> None:
    patches = file.with_name("library.sqlite-patches")
    patches.mkdir()
    ours = [file.with_name("library.sqlite.0123abcd.part"), file.with_name("library.sqlite.0123abcd.part-wal"),
            file.with_name("library.sqlite-joint.cells.77.part"), patches / "basis.77.part"]  # fmt: skip
    others = [
        file.with_name("joint.cells.77.part"),
        file.with_name("library.sqlite.part.sqlite"),
        patches / "note.part",
    ]
    for path in (*ours, *others):
        path.write_text("x")
    with Library.open(file) as opened:
        assert opened.sweep() == 0  # somebody may be writing them
        for path in (*ours, *others, file):
            os.utime(path, (0, 0))
        assert opened.sweep() == len(ours)
        assert all(path.exists() for path in others)
        assert opened.verify() == ()


def test_places_that_cannot_be_written_have_a_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    assert (
        refusal_of(lambda: Library.create(tmp_path / "file" / "library.sqlite", **kill.ABOUT)) == "storage_unavailable"
    )
    for number, code in ((errno.EROFS, "storage_unavailable"), (errno.EACCES, "storage_unavailable"),
                         (errno.ENOSPC, "disk_full")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _, number=number: (_ for _ in ()).throw(OSError(number, "no")))
            assert refusal_of(lambda: Library.create(tmp_path / "new" / "er", **kill.ABOUT)) == code
        shutil.rmtree(tmp_path / "new")


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
