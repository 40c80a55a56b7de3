"""Backups, restoring, moving between databases, and tables for others."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

import kill
from lingula.errors import InputError, LingulaError, ModelError
from lingula.library import Entry, Library
from lingula.library.export import export
from lingula.study import Report, Section, Study

Specimen = Callable[[int], Entry]


@pytest.fixture
def filled(library: Library, specimen: Specimen) -> Library:
    library.add_many([specimen(number) for number in range(7)])
    library.add(Study("bare"), {}, None)
    library.refuse("b.dcm", "truncated", "too short")
    return library


def test_a_backup_is_a_library_and_comes_back(filled: Library, place: str, tmp_path: Path) -> None:
    """Out of either database into one file, and from the file into the other."""
    file = tmp_path / "backup.sqlite"
    seen: list[tuple[int, int]] = []
    filled.backup(file, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(8, 8)]
    assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.sqlite"]
    with Library.open(file) as copy, Library.create(tmp_path / "other", **kill.ABOUT) as back:
        assert [one.state for one in back.copy_from(copy)] == ["added"] * 8
        for one in (copy, back):
            assert one.fingerprint == filled.fingerprint
            assert one.verify() == ()
            assert one.refusals() == filled.refusals()
            for study_id in filled.ids():
                assert one.get(study_id) == filled.get(study_id)
            assert one.assertions(filled.ids()) == filled.assertions(filled.ids())
        assert [one.state for one in filled.copy_from(copy)] == ["present"] * 8
    with pytest.raises(InputError, match="exists already"):
        filled.backup(file)


def test_names_that_an_older_library_holds_are_masked_on_the_way(
    filled: Library, tmp_path: Path, specimen: Specimen
) -> None:  # fmt: skip
    one = specimen(20)
    text = "FINDINGS: Seen with Dr. Quandt, MRN 4711-08. No pleural effusion. IMPRESSION: Cardiomegaly."
    at = text.index("IMPRESSION")
    report = Report(text, (Section("findings", 10, at - 1), Section("impression", at + 12, len(text))))
    filled.add(replace(one.study, report=report), one.embeddings, one.labels)
    filled.backup(tmp_path / "backup.sqlite")
    with Library.open(tmp_path / "backup.sqlite") as copy:
        told = copy.get("S20").report
        assert told is not None
        assert not any(each in told.text for each in ("Quandt", "4711"))
        assert told.section("impression") == "Cardiomegaly."
        words = {told.text[each.start : each.end] for each in copy.assertions(["S20"])["S20"]}
        assert {"pleural effusion", "Cardiomegaly"} <= words
        assert copy.verify() == ()


def test_a_backup_that_was_stopped_goes_on(filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingula.library.library.COPIED", 3)
    file = tmp_path / "backup.sqlite"

    def stop(done: int, of: int) -> None:
        if done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.backup(file, progress=stop)
    assert not file.exists()
    written: list[str] = []
    take = filled.rows_of
    monkeypatch.setattr(filled, "rows_of", lambda ids: written.extend(ids) or take(ids))
    filled.backup(file)
    assert len(written) == 2
    with Library.open(file) as copy:
        assert copy.fingerprint == filled.fingerprint


def test_copying_mends_nothing_and_mixes_nothing(filled: Library, tmp_path: Path, specimen: Specimen) -> None:
    with Library.create(tmp_path / "a", **kill.ABOUT) as other:
        changed = replace(specimen(1), study=replace(specimen(1).study, radiographs=()))
        other.add_many([changed, specimen(20)])
        states = {one.study_id: one.state for one in filled.copy_from(other)}
        assert states["S20"] == "added"
        assert len(filled.get("S1").radiographs) == 2
        assert (filled.get("S20").birth_key, bool(filled.get("S2").birth_key)) == ("", True)
    another = {**kill.ABOUT, "model": "m2"}
    with Library.create(tmp_path / "b", **another) as other, pytest.raises(ModelError, match="m2"):
        filled.copy_from(other)


def test_tables_for_others(filled: Library, tmp_path: Path, specimen: Specimen) -> None:
    files = export(filled, tmp_path / "csv", "csv")
    studies, findings, images = (list(csv.DictReader(StringIO(file.read_text()))) for file in files)
    assert [row["study_id"] for row in studies] == list(filled.ids())
    one, bare = studies[0], studies[-1]
    assert (one["age"], one["label_normal"], one["label_pleural_effusion"], one["impression"]) == (
        "49", "1", "0", "心拡大 🫁 naïve",
    )  # fmt: skip
    assert (bare["study_id"], bare["age"], bare["label_normal"]) == ("bare", "", "")
    assert len(findings) == sum(map(len, filled.assertions(filled.ids()).values()))
    report = filled.get("S0").report
    assert report
    assert [report.text[int(row["start"]) : int(row["stop"])] for row in findings if row["study_id"] == "S0"] == [
        "pneumothorax"
    ]
    assert len(images) == 14

    pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install 'lingula[parquet]'")
    table = pq.read_table(export(filled, tmp_path / "parquet", "parquet")[0]).to_pylist()
    assert table[0]["label_pleural_effusion"] == 0
    assert table[-1]["embedding_joint"] is None
    np.testing.assert_array_equal(np.float32(table[0]["embedding_joint"]), filled.vectors(["S0"])["S0"])

    (run,) = export(filled, tmp_path / "trec", "trec")
    lines = [line.split() for line in run.read_text().splitlines()]
    assert len(lines) == 7 * 6
    assert lines[0][:2] + lines[0][3:4] + lines[0][5:] == ["S0", "Q0", "1", "lingula"]
    assert lines[0][2] == filled.search(specimen(0).embeddings["joint"], k=1, exclude=["S0"])[0].study_id
    for wrong in ("csv", "xml"):
        with pytest.raises(LingulaError, match="bad_request"):
            export(filled, tmp_path / "csv", wrong)  # type: ignore[arg-type]
