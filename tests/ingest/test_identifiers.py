"""Reports lose the names of their patients on the way in, by whichever road they come, and again on the way out."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.node_films import write_film

from lingula.deidentification.burned_text import find_text, has_reader
from lingula.deidentification.handout import handout_film
from lingula.errors import InputError, Notice
from lingula.ingest.files import import_files
from lingula.ingest.openi import import_openi
from lingula.ingest.table import import_table
from lingula.labels.identifiers import MASK
from lingula.library import Entry, Library, preview
from lingula.library.export import export
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.study import Report, Study
from lingula.teaching.anki import set_cards
from lingula.teaching.sets import export_set, new_set
from lingula.teaching.tasks import Findings, GivenAnswer, TaskSession

PERSONS = {"PatientName": "Quandt^Irmgard", "PatientID": "MRN-0815", "AccessionNumber": "AC4711X",
           "ReferringPhysicianName": "Wexford^Hill", "PatientBirthDate": "19500203"}  # fmt: skip
MARKS = ("quandt", "irmgard", "0815", "4711", "wexford", "1950", "555-", "uhlenbrock", "feb")
TEXT = """Irmgard Quandt, MRN-0815, AC4711X, born 3 Feb 1950. Copy to wexford, phone 555-123-4567.
INDICATION: Mrs Quandt coughs.
FINDINGS: Small left pleural effusion. The heart is normal in size, irmgard.
IMPRESSION: Left effusion, discussed with Dr. Uhlenbrock on 03/02/2024.
"""


def left(text: str) -> list[str]:
    return [mark for mark in MARKS if mark in text.lower()]


def film(folder: Path, name: str = "film.dcm", number: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_film(folder / name, number=number, **PERSONS)


def of_folder(folder: Path, **into: object) -> None:
    film(folder).with_suffix(".txt").write_text(TEXT)
    import_files(root=folder, **into)  # type: ignore[arg-type]


def of_table(folder: Path, **into: object) -> None:
    film(folder)
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "report", "patient"], ["film.dcm", TEXT, "Quandt"]])
    import_table(file=folder / "cases.csv", **into)  # type: ignore[arg-type]


def of_collection(folder: Path, **into: object) -> None:
    film(folder, "9501-frontal.dcm")
    sections = "".join(
        f'<AbstractText Label="{name}">{line.partition(": ")[2]}</AbstractText>'
        for line in TEXT.splitlines() if (name := line.partition(":")[0]) in ("INDICATION", "FINDINGS", "IMPRESSION")
    )  # fmt: skip
    (folder / "9501.xml").write_text(
        f'<eCitation><uId id="CXR9501"/><MedlineCitation><Article><Abstract>{sections}</Abstract></Article>'
        '</MedlineCitation><parentImage id="9501-frontal"/></eCitation>'
    )
    import_openi(root=folder, **into)  # type: ignore[arg-type]


@pytest.mark.parametrize("road", [of_folder, of_table, of_collection])
def test_a_report_comes_in_without_its_patient(
    road, library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:  # fmt: skip
    road(tmp_path / "in", library=library, checkpoint=checkpoint, sandbox=sandbox)
    (study_id,) = library.ids()
    record = library.get(study_id)
    assert record.report is not None
    assert left(f"{record.report.text} {record.notices} {record.terms}") == []
    assert MASK in record.report.section("indication")
    assert record.report.section("findings").startswith("Small left pleural effusion. The heart is normal in size")
    assert {each.finding for each in library.assertions([study_id])[study_id]} >= {"effusion"}
    assert [each.code for each in record.notices if each.code == "identifiers_removed"]


def test_the_same_report_again_is_there_already_also_in_a_library_of_before(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film(tmp_path / "in").with_suffix(".txt").write_text(TEXT)
    monkeypatch.setattr("lingula.ingest.files.without_identifiers", lambda study, names: study)
    assert import_files(library, checkpoint, tmp_path / "in", sandbox).added == 1
    monkeypatch.undo()
    again = import_files(library, checkpoint, tmp_path / "in", sandbox)
    assert (again.added, again.present, again.refused) == (0, 1, ())


@pytest.fixture
def before(library: Library, checkpoint: Checkpoint) -> Library:
    """A library of before the guard, with a report as it was given."""
    report = Report.from_sections(
        indication="Mrs Quandt, 03/02/2024, cough.", impression="Left pleural effusion. Dr. Wexford"
    )
    pixels = np.full((64, 64), 0.5, np.float32)
    made = Study("study-000000000001", (_film(pixels),), report)
    vector = np.eye(1, library.about.dimension, dtype=np.float32)[0]
    library.add_many([Entry(made, {"image": vector, "joint": vector}, ())])
    return library


def _film(pixels: np.ndarray):  # type: ignore[no-untyped-def]
    from lingula.study import Radiograph

    return Radiograph("film-000000000001", pixels, "frontal")


def test_tables_sets_cards_and_a_class_get_no_names_of_an_older_library(before: Library, tmp_path: Path) -> None:
    studies, findings, _ = export(before, tmp_path / "tables", "csv")
    assert left(studies.read_text()) == []
    (row,) = csv.DictReader(studies.read_text().splitlines())
    (said, *_) = csv.DictReader(findings.read_text().splitlines())
    report = Report.from_sections(indication=row["indication"], impression=row["impression"])
    assert report.text[int(said["start"]) : int(said["stop"])].lower() in (
        "pleural effusion",
        "effusion",
        "left pleural effusion",
    )
    made = new_set(before, "Mrs Quandt", owner="me", study_ids=before.ids())
    known = replace(made, question="Where was Dr. Wexford?", cases=(replace(made.cases[0], key_point="MRN: 0815"),))
    assert left(export_set(known)) == []
    words = Findings({}, before.about.labels, None)
    (card,) = set_cards(before, known, words)
    assert left(card.front + card.back) == []
    session = TaskSession(before, known, "writing", "me", words, link_id="link")
    asked = session.next()
    assert asked is not None
    assert left(repr(asked)) == []
    shown = session.answer(asked.question_id, GivenAnswer(text="Effusion."), 0)
    assert left(repr(shown)) == []


@pytest.mark.skipif(not has_reader(), reason="needs tesseract-ocr")
def test_words_burned_into_a_film_are_covered_where_it_is_handed_out(before: Library) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (360, 300), 60)
    ImageDraw.Draw(picture).text((10, 8), "QUANDT IRMGARD", fill=255, font=ImageFont.load_default(20))
    (stored,) = before.get(before.ids()[0]).radiographs
    stored = replace(stored, png=preview.encode(np.asarray(picture, np.float32) / 255))
    assert find_text(stored.preview())
    shown = preview.decode(handout_film("study-000000000001", stored))
    assert find_text(shown) == ()
    assert np.array_equal(shown[60:], np.asarray(picture)[60:])


def test_a_film_with_words_is_not_handed_out_where_nobody_can_look(
    before: Library, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    (stored,) = before.get(before.ids()[0]).radiographs
    monkeypatch.setattr("lingula.deidentification.handout.has_reader", lambda: False)
    assert handout_film("study-000000000001", stored) == stored.png
    told = replace(stored, notices=(Notice("burned_in_annotation", "The header says so."),))
    with pytest.raises(InputError) as refused:
        handout_film("study-000000000001", told)
    assert refused.value.code == "text_reader_missing"
    assert handout_film("CXR17", told) == stored.png  # the published collection shows none
