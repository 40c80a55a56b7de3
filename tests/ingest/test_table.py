"""Films with what their owner knows of them, from CSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lingula.errors import InputError
from lingula.ingest.table import import_table
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from own_films import dicom, picture

Run = Callable[[str], tuple[Library, dict[str, str]]]


@pytest.fixture
def run(library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path) -> Run:
    for number in range(1, 6):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    (tmp_path / "d.dcm").write_bytes(dicom(7, PatientBirthDate="19500101", StudyDate="19990101"))
    (tmp_path / "told.txt").write_text("FINDINGS: From a file.")

    def imported(text: str) -> tuple[Library, dict[str, str]]:
        (tmp_path / "cases.csv").write_text(text, "utf-8")
        result = import_table(library, checkpoint, tmp_path / "cases.csv", sandbox)
        counts = {"added": str(result.added), "present": str(result.present), "unused": ",".join(result.unused)}
        return library, {**{str(each.path): each.code for each in result.refused}, **counts}

    return imported


def test_rows_become_studies_with_all_they_say(run: Run) -> None:
    table = """\ufeffPath;Study;REPORT;Labels;Patient;Date;View;Age;Ward
1.png;first;FINDINGS: Large heart.;cardiomegaly;Ann;;PA;45;3
2.png;first;;;Ann;;lateral;;3
3.png;;told.txt;;Bob;;;102;
;third;IMPRESSION: Effusion.;;;;;;
d.dcm;;;;;2011-02-03;;;
"""
    library, told = run(table)
    assert told == {"added": "4", "present": "0", "unused": "Ward"}
    first = library.get("first")
    assert [image.view for image in first.radiographs] == ["frontal", "lateral"]
    assert (first.labels, first.age) == (("cardiomegaly",), 45)
    assert first.report
    assert first.report.section("findings") == "Large heart."
    others = [library.get(each) for each in library.ids() if each not in ("first", "third")]
    from_file = next(one for one in others if one.report)
    assert from_file.report
    assert (from_file.report.text, from_file.age, from_file.labels) == ("FINDINGS: From a file.", 90, None)
    assert next(one.age for one in others if not one.report) == 61  # the table's date, not the header's
    assert "Ann" not in str(first)
    assert first.birth_key not in ("", from_file.birth_key)
    assert library.get("third").radiographs == ()
    assert run(table)[1] == {"added": "0", "present": "4", "unused": "Ward"}


def test_what_is_not_understood_is_refused_and_costs_no_other_row(run: Run) -> None:
    library, told = run(
        "path,labels,age,view,report,study\n"
        "1.png,happiness,,,,\n2.png,,old,,,\n3.png,,,oblique,,\n4.png,,,,FINDINGS: One.,s\n5.png,,,,FINDINGS: Two.,s\n"
        "d.dcm,cardiomegaly | normal,,,,\nnone.png,,,,,\n,,4,,,\n"
    )
    named = {"1.png", "2.png", "3.png", "4.png", "5.png", "row 8"}
    assert {name for name, code in told.items() if code == "bad_request"} == named
    assert (told["none.png"], told["added"]) == ("not_found", "1")
    assert library.get(library.ids()[0]).labels is not None


def test_coding_changed_since_is_said(run: Run) -> None:
    run("path,labels\n1.png,cardiomegaly\n")
    _, told = run("path,labels\n1.png,normal\n")
    assert (told["1.png"], told["added"]) == ("uid_conflict", "0")


def test_names_of_studies_that_are_none_are_replaced(run: Run) -> None:
    library, told = run("path,study\n1.png,Müller, Hans\n".replace("Müller, Hans", '"Müller, Hans"'))
    assert told["added"] == "1"
    assert library.ids()[0].startswith("study-")


def test_parquet(library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'lingula[parquet]'")
    import pyarrow.parquet as pq

    (tmp_path / "1.png").write_bytes(picture(1))
    pq.write_table(pa.table({"PATH": ["1.png"], "labels": [["normal"]], "age": [31.0]}), tmp_path / "t.parquet")
    assert import_table(library, checkpoint, tmp_path / "t.parquet", sandbox).added == 1
    record = library.get(library.ids()[0])
    assert (record.age, record.labels) == (31, ("normal",))


@pytest.mark.parametrize(
    ("text", "code"),
    [("film,report\n1.png,x\n", "unsupported_format"), ("path,Path\n1,2\n", "bad_request"),
     ("path\n1.png,2\n", "unsupported_format"), ("PAR1 not really", "unsupported_format")],
)  # fmt: skip
def test_files_that_are_no_such_table(run: Run, text: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        run(text)
    assert refused.value.code == code
