"""What becomes of attributes, dates, UIDs, burned-in text and words."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from lingula.deidentification import deidentify, explain_profile
from lingula.deidentification.burned_text import cover_text, find_text, has_reader
from lingula.deidentification.film import LIMITS
from lingula.errors import InputError
from lingula.labels.identifiers import MASK, Names
from lingula.library.identity import pseudonym

NEEDS_READER = pytest.mark.skipif(not has_reader(), reason="needs tesseract-ocr")
SECRET = b"a secret of sixteen bytes"


def film(number: int = 1, pixels: np.ndarray | None = None, **values: object) -> Dataset:
    """A film of Jane Doe with what a header has of her, in the data set and within a sequence."""
    made = Dataset()
    made.SOPClassUID = ComputedRadiographyImageStorage
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    made.SOPInstanceUID = f"1.2.3.4.5.{number}"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "Doe^Jane", "MRN0815", "19520310", "F"
    made.StudyDate, made.StudyTime, made.SeriesDate = "20200229", "101112", "20200301"
    made.AcquisitionDateTime = "20200229101112.5"
    made.AccessionNumber, made.ReferringPhysicianName, made.StudyID = "ACC4711", "House^Gregory", "77"
    made.InstitutionName, made.StationName, made.StudyDescription = "Princeton General", "ROOM9", "Chest of Jane"
    made.Modality, made.BodyPartExamined, made.Manufacturer, made.ViewPosition = "CR", "CHEST", "Agfa", "PA"
    made.ProtocolName, made.KVP = "Doe protocol", "120"
    made.ImageComments = "Jane called"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3.4.5.99"
    made.ReferencedImageSequence = Sequence([item])
    block = made.private_block(0x0099, "MAKER", create=True)
    block.add_new(1, "LO", "Jane Doe again")
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) if pixels is None else pixels
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.SourceApplicationEntityTitle = "ROOM9"
    made.set_pixel_data(pixels, "MONOCHROME2", 8 * pixels.itemsize, generate_instance_uid=False)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def written(folder: Path, *films: Dataset) -> Path:
    folder.mkdir(exist_ok=True)
    for number, each in enumerate(films):
        each.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def run(tmp_path: Path, *films: Dataset, **options: object) -> list[Dataset]:
    given = {"secret": SECRET, "pixels": False, **options}
    report = deidentify(written(tmp_path / "in", *films), tmp_path / "out", **given)  # type: ignore[arg-type]
    assert report.refused == ()
    return [dcmread(file) for file in sorted((tmp_path / "out").rglob("*.dcm"))]


def test_nothing_of_the_patient_is_left_and_the_film_is(tmp_path: Path) -> None:
    given = film()
    (made,) = run(tmp_path, given)
    data = next((tmp_path / "out").rglob("*.dcm")).read_bytes().lower()
    for mark in (
        b"jane",
        b"doe",
        b"mrn0815",
        b"19520310",
        b"2020",
        b"acc4711",
        b"house",
        b"princeton",
        b"room9",
        b"1.2.3.4",
    ):
        assert mark not in data, mark
    assert made.PixelData == given.PixelData
    assert (made.Modality, made.ViewPosition, made.BodyPartExamined, made.KVP) == ("CR", "PA", "CHEST", 120)
    assert (made.PatientSex, made.PatientAge, made.PatientBirthDate) == ("F", "067Y", "")
    assert made.PatientIdentityRemoved == "YES"
    assert made.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [code.CodeValue for code in made.DeidentificationMethodCodeSequence] == [
        "113100",
        "113108",
        "113107",
        "113104",
    ]
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert not any(element.tag.is_private for element in made)


def test_uids_patients_and_days_are_the_same_in_every_file_of_one_secret(tmp_path: Path) -> None:
    second = film(2, StudyDate="20200307", StudyInstanceUID="1.2.3.5")
    other = film(3, PatientID="MRN0816", StudyInstanceUID="1.2.3.6")
    first, later, stranger = _by_number(run(tmp_path, film(1), second, other))
    assert first.PatientID == later.PatientID != stranger.PatientID
    assert first.SeriesInstanceUID == later.SeriesInstanceUID == stranger.SeriesInstanceUID
    assert first.StudyInstanceUID != later.StudyInstanceUID
    assert (_day(later.StudyDate) - _day(first.StudyDate)).days == 7
    assert (_day(first.SeriesDate) - _day(first.StudyDate)).days == 1
    assert first.AcquisitionDateTime == first.StudyDate + "101112.5"
    assert first.StudyTime == "101112"
    assert first.ReferencedImageSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")
    assert first.ReferencedImageSequence[0].ReferencedSOPClassUID == ComputedRadiographyImageStorage


def _by_number(films: list[Dataset]) -> list[Dataset]:
    by_uid = {each.SOPInstanceUID: each for each in films}
    return [by_uid[pseudonym(SECRET, f"1.2.3.4.5.{number}")] for number in (1, 2, 3)]


def _day(date: str) -> datetime:
    return datetime.strptime(date, "%Y%m%d")


def test_options_change_what_the_profile_says(tmp_path: Path) -> None:
    (made,) = run(tmp_path, film(), options=("full_dates", "institution", "uids"))
    assert (made.StudyDate, made.InstitutionName, made.StudyInstanceUID) == ("20200229", "Princeton General", "1.2.3.4")
    assert "PatientAge" not in made
    assert made.LongitudinalTemporalInformationModified == "UNMODIFIED"
    with pytest.raises(InputError, match="kept or shifted"):
        explain_profile(("full_dates", "shifted_dates"))
    rows = {row["keyword"]: row for row in explain_profile()}
    assert rows["PatientName"]["basic"] == "Z"
    assert rows["StudyDate"] == {
        "tag": "(0008,0020)", "keyword": "StudyDate", "basic": "Z", "option": "shifted_dates", "action": "shift",
    }  # fmt: skip
    assert len(rows) > 600


def test_names_and_numbers_go_from_reports_and_the_findings_stay() -> None:
    text = (
        "Jane Doe, MRN 12345678, seen 03/04/2019 by Dr. Gregory House. Small left effusion at T8, 2.5 cm; heart 15/32. "
        "Discussed with Lisa Cuddy MD on March 4, 2019. Call 555-123-4567."
    )
    cleaned, count = Names(["Doe^Jane", "House^Gregory"]).cleaned(text)
    for mark in ("Jane", "Doe", "12345678", "03/04/2019", "House", "Gregory", "Cuddy", "March", "555"):
        assert mark not in cleaned, mark
    assert "Small left effusion at T8, 2.5 cm" in cleaned
    assert MASK in cleaned
    assert count >= 6
    assert Names([]).cleaned("The heart is enlarged. No pneumothorax.") == (
        "The heart is enlarged. No pneumothorax.",
        0,
    )


def test_a_report_beside_a_film_is_cleaned_of_the_names_in_its_header(tmp_path: Path) -> None:
    folder = written(tmp_path / "in", film())
    (folder / "report.txt").write_text("FINDINGS: jane has a clear chest, says house.")
    report = deidentify(folder, tmp_path / "out", pixels=False)
    (text,) = (tmp_path / "out").glob("*.txt")
    assert text.read_text() == f"FINDINGS: {MASK} has a clear chest, says {MASK}."
    assert (report.files, report.words, report.unread) == (2, 2, 1)


def lettered(words: str, *, dark: bool = False) -> np.ndarray:
    """A soft picture with words in a corner."""
    rows, columns = np.mgrid[0:600, 0:500]
    picture = (90 + 60 * np.cos(rows / 180) * np.sin(columns / 150)).astype(np.uint8)
    drawing = Image.fromarray(picture)
    font = ImageFont.load_default(22)
    ImageDraw.Draw(drawing).text((20, 16), words, fill=10 if dark else 250, font=font)
    return np.asarray(drawing)


@NEEDS_READER
@pytest.mark.parametrize("dark", [False, True])
def test_burned_in_text_is_covered_until_none_is_read(dark: bool) -> None:
    picture = lettered("DOE JANE 0815", dark=dark)
    assert find_text(picture)
    covered, boxes, is_clean = cover_text(picture, lambda values: values.astype(np.uint8))
    assert is_clean
    assert boxes
    assert find_text(covered.astype(np.uint8)) == ()
    changed = covered != picture
    assert 0 < changed.mean() < 0.02
    assert not changed[100:].any()


@NEEDS_READER
def test_words_on_a_border_of_dark_and_bright_are_covered_whole() -> None:
    ground = np.full((600, 500), 40, np.uint8)
    ground[:, 110:] = 215  # the edge of a collimated field
    drawing = Image.fromarray(ground)
    ImageDraw.Draw(drawing).text((20, 16), "DOE JANE 0815", fill=255, font=ImageFont.load_default(22))
    picture = np.asarray(drawing)
    covered, _, is_clean = cover_text(picture, lambda values: values.astype(np.uint8))
    ink = picture != ground
    assert is_clean
    assert (covered != picture)[ink].mean() > 0.99


@NEEDS_READER
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_faint_words_amid_noise_are_covered_whole_also_where_they_are_turned(turns: int) -> None:
    noise = np.random.default_rng(1).normal(0, 4, (600, 500))
    rows, columns = np.mgrid[0:600, 0:500]
    ground = np.clip(90 + 60 * np.cos(rows / 180) * np.sin(columns / 150) + noise, 0, 255).astype(np.uint8)
    mask = Image.new("L", (500, 600))
    place = (150, 300) if turns == 0 else (150, 16)  # amid the film; along its sides
    ImageDraw.Draw(mask).text(place, "DOE JANE 0815", fill=60, font=ImageFont.load_default(22))
    picture = np.clip(ground + np.asarray(mask).astype(np.int16), 0, 255).astype(np.uint8)
    covered, _, is_clean = cover_text(np.rot90(picture, turns), lambda values: values.astype(np.uint8))
    changed = np.rot90(covered, -turns) != picture
    assert is_clean
    assert changed[np.asarray(mask) > 30].mean() > 0.9
    assert changed.mean() < 0.03


@NEEDS_READER
def test_words_a_little_brighter_than_all_else_are_covered(tmp_path: Path) -> None:
    pixels = np.full((600, 500), 3790, np.uint16)  # where nothing was in the beam
    pixels[100:] = np.linspace(800, 3790, 500).astype(np.uint16)
    mask = Image.new("L", (500, 600))
    ImageDraw.Draw(mask).text((20, 16), "DOE JANE 0815", fill=255, font=ImageFont.load_default(22))
    ink = np.asarray(mask) > 127
    pixels[ink] = 4095
    assert deidentify(written(tmp_path / "in", film(1, pixels)), tmp_path / "out").covered
    (file,) = (tmp_path / "out").rglob("*.dcm")
    assert (dcmread(file).pixel_array != pixels)[ink].mean() > 0.9


@NEEDS_READER
def test_a_picture_without_text_is_left_as_it_is() -> None:
    picture = lettered("")
    covered, boxes, is_clean = cover_text(picture, lambda values: values.astype(np.uint8))
    assert (boxes, is_clean) == ((), True)
    assert np.array_equal(covered, picture)


def test_a_missing_text_reader_is_said_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as refused:
        deidentify(written(tmp_path / "in", film()), tmp_path / "out")
    assert refused.value.code == "text_reader_missing"
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_a_target_within_the_source_and_other_files_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "in", film())
    with pytest.raises(InputError, match="within"):
        deidentify(folder, folder / "out")
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4 Jane Doe")
    report = deidentify(folder, tmp_path / "out", pixels=False)
    assert [each.code for each in report.refused] == ["not_dicom"]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
def test_the_validator_finds_no_new_error(tmp_path: Path) -> None:
    def errors(file: Path) -> set[str]:
        told = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        return {line for line in (told.stderr + told.stdout).splitlines() if line.startswith("Error")}

    folder = written(tmp_path / "in", film())
    deidentify(folder, tmp_path / "out", pixels=False)
    assert errors(next((tmp_path / "out").rglob("*.dcm"))) <= errors(folder / "0.dcm")


def test_the_content_of_a_structured_report_is_cleaned_and_its_findings_stay(tmp_path: Path) -> None:
    def item(kind: str, name: str, relation: str = "CONTAINS", **values: object) -> Dataset:
        made, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121071", "DCM", name
        made.RelationshipType, made.ValueType, made.ConceptNameCodeSequence = relation, kind, Sequence([code])
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return made

    report = film(7)
    del report.PixelData
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.22", "SR"
    inner = item("TEXT", "Impression", TextValue="Small effusion. Discussed with Dr. House, call 555-123-4567.")
    container = item("CONTAINER", "Section")
    container.ContentSequence = Sequence([inner])
    report.ContentSequence = Sequence([
        item("TEXT", "Findings", TextValue="Jane Doe, MRN0815: heart 15/32, left effusion at T8."),
        item("PNAME", "Observer", "HAS OBS CONTEXT", PersonName="House^Gregory"),
        item("DATE", "Date", Date="20200229"),
        item("UIDREF", "Film", "HAS OBS CONTEXT", UID="1.2.3.4.5.1"),
        container,
    ])  # fmt: skip
    folder = tmp_path / "in"
    folder.mkdir()
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    done = deidentify(folder, tmp_path / "out", secret=SECRET)
    assert done.refused == ()
    (file,) = (tmp_path / "out").rglob("*.dcm")
    for mark in (b"jane", b"doe", b"mrn0815", b"house", b"gregory", b"555", b"20200229", b"1.2.3.4"):
        assert mark not in file.read_bytes().lower(), mark
    findings, observer, date, image, section = dcmread(file).ContentSequence
    assert findings.TextValue.endswith("heart 15/32, left effusion at T8.")
    assert str(observer.PersonName).startswith("X")  # the profile's dummy
    assert date.Date != "20200229"
    assert pseudonym(SECRET, "1.2.3.4.5.1") == image.UID
    assert section.ContentSequence[0].TextValue.startswith("Small effusion.")


def test_a_film_that_costs_too_much_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in a child with limited memory and time; another film of the folder comes through."""
    folder = written(tmp_path / "in", film())
    bomb = film(2)
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    bomb.add_new(0x7FE10010, "OB", bytes(300 << 20))
    bomb.save_as(folder / "bomb.dcm", enforce_file_format=True)
    assert (folder / "bomb.dcm").stat().st_size < 1 << 20
    report = deidentify(folder, tmp_path / "out", pixels=False)
    assert ([each.code for each in report.refused], report.files) == (["decompression_bomb"], 1)
    monkeypatch.setattr("lingula.deidentification.film.LIMITS", replace(LIMITS, seconds=0.0))
    report = deidentify(folder, tmp_path / "late", pixels=False)
    assert {each.code for each in report.refused} == {"decode_timeout"}
    assert not [file for file in (tmp_path / "late").rglob("*") if file.is_file()]
