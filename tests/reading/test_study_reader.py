"""Files and text to one study."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingula.errors import InputError
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.identity import study_id as made_study_id
from lingula.reading.grouping import one_study
from lingula.reading.limits import Limits
from lingula.reading.report_text import decode_text, parse_report
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula.reading.view_classifier import ViewClassifier
from lingula.study import Radiograph
from lingula_phantom.case import draw_frontal, draw_lateral, sample_case

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR7"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">Both lungs are drawn with a ruler.</AbstractText>
<AbstractText Label="IMPRESSION">A geometric chest.</AbstractText>
</Abstract></Article></MedlineCitation><MeSH><major>normal</major></MeSH></eCitation>"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40)).save(path)
    return path


def refusal(*args: object, **how: object) -> str:
    with pytest.raises(InputError) as refused:
        read_study(*args, **how)
    return refused.value.code


def test_picture_and_text(film: Path) -> None:
    study = read_study([film], text="FINDINGS: A rib.\nIMPRESSION: None.")
    assert study.study_id == made_study_id(study.radiographs[0].digest)
    assert len(study.radiographs) == 1
    assert study.report is not None
    assert study.report.section("findings") == "A rib."
    assert study.terms is None
    assert study.notices == ()


def test_report_by_content_not_by_name(film: Path, tmp_path: Path) -> None:
    disguised = tmp_path / "report.dat"
    disguised.write_text(XML, encoding="utf-8")
    for study in (read_study([film, disguised]), read_study([film], report=disguised)):
        assert study.study_id == "CXR7"
        assert study.report is not None
        assert study.report.section("impression") == "A geometric chest."
        assert study.terms == ("normal",)
        assert "no_images" not in [notice.code for notice in study.notices]
    renamed = tmp_path / "film.dcm"
    film.rename(renamed)
    assert read_study([renamed], study_id="mine").study_id == "mine"


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "dictated.txt"
    path.write_bytes("The heart is a circle, 3 m² wide.".encode("cp1252"))
    study = read_study([path])
    assert study.study_id.startswith("report-")
    assert study.study_id == read_study([path.rename(tmp_path / "other.txt")]).study_id
    path = tmp_path / "other.txt"
    assert [notice.code for notice in study.all_notices] == ["bad_charset"]
    assert study.report is not None
    assert study.report.section("findings") == "The heart is a circle, 3 m² wide."
    path.rename(tmp_path / "dictated.dcm")
    assert refusal([tmp_path / "dictated.dcm"]) == "not_dicom"


def test_refusals(film: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    assert refusal([]) == "bad_request"
    assert refusal([film, tmp_path / "a.txt"], text="two") == "bad_request"
    assert refusal([tmp_path / "none.dcm"]) == "not_found"
    assert refusal([film], report=film) == "not_a_report"


def test_sandbox_gives_the_same_study(film: Path) -> None:
    with Sandbox() as sandbox:
        study = read_study([film, film], sandbox=sandbox)
    assert len(study.radiographs) == 1  # the same file twice is one radiograph
    np.testing.assert_array_equal(study.radiographs[0].pixels, read_study([film]).radiographs[0].pixels)


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("Clear lungs.", {"findings": "Clear lungs."}),
        ("findings: Clear.\n impression : Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("FINDINGS: Clear. IMPRESSION: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("Findings: The impression: of a rib.", {"findings": "The impression: of a rib."}),
        ("TECHNIQUE: Drawn. FINDINGS: Clear.", {"findings": "Clear."}),
        ("Clear lungs. CONCLUSION: Normal.", {"findings": "Clear lungs.", "impression": "Normal."}),
        ("Clinical history: Cough.\nComparison: None.", {"indication": "Cough.", "comparison": "None."}),
        ("FINDINGS: \nIMPRESSION: Normal.", {"impression": "Normal."}),
    ],
)
def test_sections_of_plain_text(text: str, sections: dict[str, str]) -> None:
    report, notices = parse_report(text)
    assert report.text == text
    assert {part.name: text[part.start : part.end] for part in report.sections} == sections
    assert notices == ()


def test_long_and_empty_text() -> None:
    report, notices = parse_report("Lungs are clear.", Limits(text_characters=5))
    assert (report.text, [notice.code for notice in notices]) == ("Lungs", ["text_cut"])
    assert [notice.code for notice in parse_report(" \n")[1]] == ["report_empty"]


def test_text_encodings() -> None:
    assert decode_text("ảnh".encode("utf-8-sig"))[0] == "ảnh"
    assert decode_text("ảnh".encode("utf-16"))[0] == "ảnh"
    with pytest.raises(InputError):
        decode_text(b"a\0b")


def seen(view: str, *, uid: str = "", patient: str = "", born: str = "") -> DicomFile:
    """A film of a drawn chest that says so much of itself."""
    number = next(NUMBERS)
    radiograph = Radiograph(f"1.2.{number}", drawn(view, number), digest=f"{number:064}", birth_date=born)
    return DicomFile(radiograph, uid, patient)


def drawn(view: str, number: int) -> np.ndarray:
    """(256, ...) float32 pixels of a chest, drawn until the view is recognised."""
    while True:
        rng = np.random.default_rng(number)
        case = sample_case(number, rng, None)
        pixels = (draw_frontal if view == F else draw_lateral)(case, rng, 256).astype(np.float32)
        if ViewClassifier.shipped().annotate(Radiograph("film", pixels)).view == view:
            return pixels
        number += 1000


F, L = "frontal", "lateral"
NUMBERS = count(1)


@pytest.mark.parametrize(
    ("views", "how", "answer"),
    [
        ([F, L], {}, "one_study_assumed"),
        ([L, F], {}, "one_study_assumed"),
        ([F], {}, ""),
        ([F, F], {}, "several_studies"),
        ([L, L], {}, "several_studies"),
        ([F, F, L], {}, "several_studies"),
        ([F, F], {"uid": "1"}, ""),
        ([F, F, L, L], {"uid": "1"}, ""),
        ([F, F, F], {"uid": "1"}, "several_studies"),
    ],
)
def test_films_of_one_study(views: list[str], how: dict[str, str], answer: str) -> None:
    films = [seen(view, **how) for view in views]
    if answer == "several_studies":
        with pytest.raises(InputError) as refused:
            one_study(films)
        assert refused.value.code == answer
        assert "--same-study" in refused.value.hint
    else:
        assert "".join(notice.code for notice in one_study(films)[1]) == answer
    assert one_study(films, same_study=True) == (how.get("uid", ""), ())


@pytest.mark.parametrize("who", ["patient", "born"])
def test_films_of_two_patients_are_never_one_study(who: str) -> None:
    films = [seen(F, uid="1", **{who: "1"}), seen(L, uid="1", **{who: "2"})]
    for vouched in (False, True):
        with pytest.raises(InputError) as refused:
            one_study(films, same_study=vouched)
        assert refused.value.code == "several_studies"
    one_study([films[0], seen(L, uid="1")])


def test_two_pictures_of_two_patients_are_asked_about(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for number, path in enumerate(paths):
        Image.fromarray((drawn(F, 90 + number) * 255).astype(np.uint8)).save(path)
    assert refusal(paths) == "several_studies"
    study = read_study(paths, same_study=True)
    assert len(study.radiographs) == 2
    assert study.study_id == read_study(paths[::-1], same_study=True).study_id


def test_real_dicom_files(shared_data: Path) -> None:
    files = sorted(shared_data.glob("dicom_chest/RG1_*.dcm"))
    study = read_study(files[:1])
    assert study.study_id.startswith("1.3.6.1.4.1.5962")
    assert refusal([files[0], shared_data / "dicom_chest" / "gdcm-CR-MONO1-10-chest.dcm"]) == "uid_conflict"
