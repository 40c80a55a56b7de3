"""A study that was deleted is nowhere: in no table, of today or of later, in no file, in no answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors.numpy import save_file
from sqlalchemy.orm import Session

import kill
from lingula.deletion import delete_studies
from lingula.errors import InputError, LibraryError, Notice
from lingula.library import Entry, Library, Says
from lingula.library.export import export
from lingula.library.schema import Base
from lingula.plain import plain
from lingula.study import Report

MARK = "Zanarkand"
GONE, KEPT = "Zanarkand-1", "Zanarkand-2"


def marked(study_id: str, number: int) -> Entry:
    """A study with a mark of its own in everything that text is kept of."""
    given = kill.specimen(number)
    word = f"q{study_id.replace('-', 'q')}"
    films = tuple(
        replace(
            film, image_id=f"{word}-film{at}", decoder=word, attributes=(("Rows", word),),
            notices=(Notice("bad_window", word),), digest=f"{number}{at}" * 16,
        )
        for at, film in enumerate(given.study.radiographs)
    )  # fmt: skip
    report = Report.from_sections(findings=f"Left effusion. {word} near the {word} ribs.", impression=word)
    notices = (Notice("text_cut", word),)
    study = replace(given.study, study_id=study_id, radiographs=films, report=report, terms=(word,), notices=notices)
    return replace(given, study=study, patient=f"{word} patient", sender=f"{word}-sender")


@pytest.fixture
def library(place: str) -> Iterator[Library]:
    with Library.create(place, **kill.ABOUT) as made:
        made.add_many([marked(GONE, 1), marked(KEPT, 2), *(kill.specimen(number) for number in range(3, 30))])
        yield made


def fill_every_table(library: Library) -> None:
    """A row that names the study in each table that has none yet, and ids within its JSON values."""
    body = {"items": [{"study_id": GONE, "note": MARK}, {"study_id": KEPT}], "order": [GONE, KEPT], GONE: 1}
    with Session(library._engine) as session:
        for number, mapper in enumerate(sorted(Base.registry.mappers, key=lambda each: each.class_.__name__)):
            columns = mapper.local_table.c
            if mapper.class_.__tablename__ in ("library", "study", "radiograph", "finding", "label", "embedding"):
                continue
            values = {
                column.key: GONE if column.key in ("study_id", "source", "study")
                else body if isinstance(column.type, sa.JSON)
                else True if isinstance(column.type, sa.Boolean)
                else number if isinstance(column.type, sa.Integer | sa.Double | sa.Float)
                else b"" if isinstance(column.type, sa.LargeBinary)
                else f"text {number}"
                for column in columns
                if not column.foreign_keys or column.key == "study_id"
            }  # fmt: skip
            session.add(mapper.class_(**values))
        session.commit()


def naming(library: Library, words: str) -> set[str]:
    """Tables with a row in which the words stand."""
    found = set()
    with library._engine.connect() as connection:
        tables = sa.MetaData()
        tables.reflect(connection, only=lambda name, _: not name.startswith("study_text_"))
        for table in tables.sorted_tables:
            rows = connection.execute(sa.select(table)).all()
            if any(words in json.dumps([str(value) for value in row]) for row in rows):
                found.add(table.name)
    return found


def test_no_table_names_a_deleted_study_and_the_others_stay(library: Library) -> None:
    fill_every_table(library)
    named = naming(library, GONE)
    assert {"study", "radiograph", "finding", "label", "embedding", "refused", "review", "teaching_set"} <= named
    receipt = delete_studies(library, [GONE])
    assert naming(library, GONE) == set()
    assert naming(library, f"q{GONE.replace('-', 'q')}") == set()
    assert {"study", "radiograph", "embedding", "teaching_set"} <= naming(library, KEPT)
    assert receipt.rows["study"] == 1
    assert receipt.rows["radiograph"] == 2
    assert receipt.changed["teaching_set"] == 1
    assert MARK not in json.dumps({**plain(receipt), "copies": []})
    assert library.verify() == ()


def test_a_deleted_study_answers_nothing_also_in_other_processes(library: Library, place: str) -> None:
    with Library.open(place) as other:
        query = other.vectors([GONE])[GONE]
        assert other.nearest(query, k=2)[0][0] == GONE
        assert other.matching(Says("q" + GONE.replace("-", "q"))) == {GONE}
        library.delete([GONE])
        for each in (library, other):
            assert GONE not in each.ids()
            assert len(each) == 28
            assert GONE not in dict(each.nearest(query, k=28))
            assert len(each.nearest(query, k=40)) == 28
            assert each.matching(Says("q" + GONE.replace("-", "q"))) == frozenset()
            with pytest.raises(LibraryError, match="no study"):
                each.get(GONE)
    assert library.add_many([marked(GONE, 1)])[0].state == "added"


def test_an_unknown_study_deletes_nothing(library: Library) -> None:
    with pytest.raises(LibraryError, match="no study 'nowhere'"):
        library.delete([GONE, "nowhere"])
    assert len(library) == 29


def test_studies_of_a_patient_or_a_sender_are_found(library: Library) -> None:
    word = "q" + GONE.replace("-", "q")
    assert library.owned(patient=f"{word} patient") == (GONE,)
    assert library.owned(patient=library.get(GONE).birth_key) == (GONE,)
    assert library.owned(sender=f"{word}-sender") == (GONE,)
    assert library.owned(sender="nobody") == ()
    with pytest.raises(InputError):
        library.owned()


def test_no_byte_of_it_is_left_in_any_file(tmp_path: Path) -> None:
    """Also where it was read and written before, patches lie beside, and another process has it open."""
    place = tmp_path / "library.sqlite"
    with Library.create(place, **kill.ABOUT) as library, Library.open(place) as other:
        library.add_many([marked(GONE, 1), marked(KEPT, 2), *(kill.specimen(number) for number in range(3, 60))])
        fill_every_table(library)
        library.reindex()
        other.get(GONE)
        other.matching(Says("ribs"))
        patches = tmp_path / "library.sqlite-patches"
        patches.mkdir()
        basis = {"about": json.dumps({"films": 400, "seal": ""})}
        save_file({"usual": np.zeros((1, 1), np.float32)}, patches / "basis.safetensors", basis)
        for name, study_id in (("a", GONE), ("b", KEPT)):
            about = {"about": json.dumps({"keys": [[study_id, 0, "d"]], "seal": ""})}
            save_file({"vectors": np.zeros((1, 2), np.float16)}, patches / f"{name}.safetensors", about)
        vector = library.vectors([GONE])[GONE].astype("<f4").tobytes()
        png = library.get(GONE).radiographs[0].png
        receipt = delete_studies(library, [GONE])
        marks = [GONE.encode(), b"q" + GONE.replace("-", "q").encode(), vector, png[60:120]]
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        left = {str(file): mark for file in files for mark in marks if mark.lower() in file.read_bytes().lower()}
    assert left == {}
    assert receipt.files == 1
    assert receipt.remains == ()
    assert [file.name for file in sorted(patches.iterdir())] == ["b.safetensors", "basis.safetensors"]


def test_the_receipt_lists_backups_and_exports(library: Library, tmp_path: Path) -> None:
    library.backup(tmp_path / "copy.sqlite")
    export(library, tmp_path / "tables", "csv")
    receipt = library.delete([GONE])
    assert [(one.kind, Path(one.place).name) for one in receipt.copies] == [
        ("backup", "copy.sqlite"), ("export csv", "tables"),
    ]  # fmt: skip
    with Library.open(tmp_path / "copy.sqlite") as backup:
        assert len(backup) == 29


def test_a_mean_of_few_films_goes_with_one_of_them(tmp_path: Path) -> None:
    from lingula.retrieval.region_index import forget_patches

    for name, about in (("basis", {"films": 3, "seal": ""}), ("a", {"keys": [[GONE, 0, "d"]], "seal": ""})):
        tensors: dict[str, np.ndarray] = {"vectors": np.zeros((1, 2), np.float16)}
        save_file(tensors, tmp_path / f"{name}.safetensors", {"about": json.dumps(about)})
    assert forget_patches(tmp_path, {"other"}) == 0
    assert forget_patches(tmp_path, {GONE}) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_longer_identifier_is_another_study(library: Library) -> None:
    """S3 is deleted, S30 … stay, also in JSON where the text of one holds the other's."""
    fill = {"items": ["S3", "S30", {"study_id": "S31"}]}
    with library._engine.begin() as connection:
        row = {"set_id": "s", "owner": "", "title": "", "version": 1, "body": fill}
        connection.execute(sa.insert(Base.metadata.tables["teaching_set"]), row)
    library.delete(["S3"])
    with library._engine.connect() as connection:
        body, version = connection.execute(sa.text("SELECT body, version FROM teaching_set")).one()
    held = json.loads(body) if isinstance(body, str) else body
    assert held == {"items": ["S30", {"study_id": "S31"}]}
    assert version == 2
