"""Result objects: what readers in use need of them, judged by programs of other projects where they are installed."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from tests.node_films import MODEL, PREDICTIONS, peer, picture, result_of, validator_errors, with_model, write_film

from lingula.errors import InputError
from lingula.node.kinds import KINDS, checked_kinds
from lingula.node.objects import result_objects
from lingula.node.secondary_capture import drawing
from lingula.node.source_film import SourceFilm
from lingula.reading.dicom.reader import read_dicom
from lingula.reading.dicom.source import read_source
from lingula.reading.sandbox import Sandbox
from lingula.study import DISCLAIMER

ODD: dict[str, dict[str, object]] = {
    "plain": {},
    "monochrome1": {"PhotometricInterpretation": "MONOCHROME1"},
    "inverse": {"PresentationLUTShape": "INVERSE"},
    "both": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "mirrored": {"PatientOrientation": ["R", "F"]},
    "upside down": {"PatientOrientation": ["L", "H"]},
    "turned": {"PatientOrientation": ["F", "L"]},
    "not square": {"PixelSpacing": ["0.4", "0.2"]},
    "rescaled": {"RescaleSlope": "2", "RescaleIntercept": "-100", "RescaleType": "US"},
    "windowed": {"WindowCenter": "2000", "WindowWidth": "3000"},
    "nameless": {"PatientName": "", "PatientID": "", "PatientBirthDate": "", "PatientSex": ""},
    "odd values": {"PatientSex": "W", "PatientBirthDate": "1950", "StudyTime": "25", "AccessionNumber": "A" * 16},
}


def objects(path: Path, **given: object) -> dict[str, Dataset]:
    made = result_objects(result_of(path, **given), KINDS)  # type: ignore[arg-type]
    return {each.kind: pydicom.dcmread(io.BytesIO(each.data)) for each in made}


def items(dataset: Dataset) -> Iterator[Dataset]:
    """Every content item of a report."""
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(dataset: Dataset, code: str) -> list[Dataset]:
    return [item for item in items(dataset) if "ConceptNameCodeSequence" in item
            and item.ConceptNameCodeSequence[0].CodeValue == code]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
@pytest.mark.parametrize("name", ODD)
def test_every_object_passes_the_validator(name: str, tmp_path: Path) -> None:
    result = result_of(write_film(tmp_path / "film.dcm", **ODD[name]))
    assert [each.kind for each in result_objects(result, KINDS)] == list(KINDS)
    for each in result_objects(result, KINDS):
        assert validator_errors(each.data, tmp_path) == [], each.kind


def test_objects_without_findings_pass_the_validator(tmp_path: Path) -> None:
    result = result_of(write_film(tmp_path / "film.dcm"), boxes=False, predictions=())
    for each in result_objects(result, KINDS):
        assert validator_errors(each.data, tmp_path) == [], each.kind


class TestReport:
    """The six rules of OHIF's reader of reports."""

    @pytest.fixture
    def report(self, tmp_path: Path) -> Dataset:
        films = [write_film(tmp_path / f"{n}.dcm", number=n, study="1.2.3.4") for n in (1, 2)]
        (made,) = result_objects(result_of(*films), ["sr"])
        return pydicom.dcmread(io.BytesIO(made.data))

    def test_its_title(self, report: Dataset) -> None:
        title = report.ConceptNameCodeSequence[0]
        assert (title.CodeValue, title.CodingSchemeDesignator) == ("126000", "DCM")

    def test_the_image_library_lists_the_films(self, report: Dataset, tmp_path: Path) -> None:
        (library,) = named(report, "111028")
        listed = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                  for item in items(library) if item.ValueType == "IMAGE"}  # fmt: skip
        assert listed == {str(pydicom.dcmread(tmp_path / f"{n}.dcm").SOPInstanceUID) for n in (1, 2)}

    def test_every_group_has_a_tracking_identifier_of_its_own(self, report: Dataset) -> None:
        groups = named(report, "125007")
        uids = [named(group, "112040")[0].UID for group in groups]
        assert len(groups) == 4 + 1  # two boxes on each of two films, and what is said of the whole study
        assert len(set(uids)) == len(groups)

    def test_no_number_stands_without_a_region(self, report: Dataset) -> None:
        numbers = [[item for item in items(group) if item.ValueType == "NUM"] for group in named(report, "125007")]
        assert [len(each) for each in numbers] == [1, 1, 1, 1, 0]
        assert numbers[0][0].ConceptNameCodeSequence[0].CodeMeaning == "Pleural effusion, probability"
        assert float(numbers[0][0].MeasuredValueSequence[0].NumericValue) == 83

    def test_every_group_has_a_region_on_an_image(self, report: Dataset, tmp_path: Path) -> None:
        """OHIF stops at the first group without one and shows no film at all; a film without boxes needs one, too."""
        (bare,) = result_objects(result_of(tmp_path / "1.dcm", boxes=False, predictions=()), ["sr"])
        for each in (report, pydicom.dcmread(io.BytesIO(bare.data))):
            for group in named(each, "125007"):
                (region,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
                assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    def test_finding_sites_are_of_snomed(self, report: Dataset) -> None:
        sites = [site.ConceptCodeSequence[0] for site in named(report, "363698007")]
        assert {site.CodingSchemeDesignator for site in sites} == {"SCT"}
        assert len(sites) == 5

    def test_each_region_names_its_film(self, report: Dataset) -> None:
        regions = [item for item in items(report) if item.ValueType == "SCOORD"]
        assert [len(region.GraphicData) for region in regions] == [10] * 5
        films = {next(items(region)).ReferencedSOPSequence[0].ReferencedSOPInstanceUID for region in regions}
        assert len(films) == 2
        rows, columns = picture().shape
        assert regions[-1].GraphicData[4:6] == [columns - 0.5, rows - 0.5]  # the frame of the film

    def test_each_label_says_its_probability_and_what_cannot_be_judged(self, report: Dataset) -> None:
        said = evaluations(report)
        assert len(said) == 5
        assert said["pleural effusion"] == ("Present", "0.830; 95 % 0.710 to 0.900")
        assert said["Lung nodule or mass"][0] == "Indeterminate"
        assert said["pneumothorax"][0] == "Absent"


def evaluations(report: Dataset) -> dict[str, tuple[str, str]]:
    """By finding what is said of the whole study, and its probability."""
    whole = named(report, "125007")[-1]
    coded = [item for item in whole.ContentSequence if item.ValueType == "CODE" and "ContentSequence" in item]
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            item.ConceptCodeSequence[0].CodeMeaning, item.ContentSequence[0].TextValue
        )
        for item in coded
    }  # fmt: skip


def test_what_cannot_be_judged_is_coded_without_a_number(tmp_path: Path) -> None:
    unjudged = tuple(replace(each, decision="cannot_judge") for each in PREDICTIONS)
    result = result_of(write_film(tmp_path / "film.dcm"), boxes=False, predictions=unjudged)
    for each in result_objects(result, KINDS):
        assert validator_errors(each.data, tmp_path) == [], each.kind
    (made,) = result_objects(result, ["sr"])
    report = pydicom.dcmread(io.BytesIO(made.data))
    coded = [item for item in named(report, "125007")[-1].ContentSequence if item.ValueType == "CODE"]
    assert [item.ConceptCodeSequence[0].CodeValue for item in coded].count("cannot_judge") == len(PREDICTIONS)
    assert (evaluations(report), named(report, "probability")) == ({}, [])
    assert result.lines()[0] == "No finding that can be judged stands out."
    assert "Pleural effusion" in result.lines()[1]


def test_every_object_names_its_maker_and_says_what_it_is_not_for(tmp_path: Path) -> None:
    made = objects(write_film(tmp_path / "film.dcm"))
    for kind, each in made.items():
        assert (each.Manufacturer, each.ManufacturerModelName, each.DeviceSerialNumber) == (
            "lingula", "lingula node", MODEL)  # fmt: skip
        assert MODEL in str(each.SoftwareVersions)
        assert (each.PatientID, str(each.PatientName), each.AccessionNumber) == ("P-17", "Roe^Jäne", "A-99")
        assert DISCLAIMER in each.to_json(), kind


def test_the_same_result_is_the_same_object_and_another_model_another_series(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.dcm")
    first, again = (result_objects(result_of(path), KINDS) for _ in range(2))
    other = result_objects(with_model(result_of(path), "f" * 16), KINDS)
    assert [each.sop_instance for each in first] == [each.sop_instance for each in again]
    assert not {each.sop_instance for each in first} & {each.sop_instance for each in other}
    series = [{pydicom.dcmread(io.BytesIO(each.data)).SeriesInstanceUID for each in made} for made in (first, other)]
    assert len(series[0]) == len(series[1]) == len(KINDS)
    assert not series[0] & series[1]


def test_a_presentation_state_leaves_the_window_to_its_reader(tmp_path: Path) -> None:
    state = objects(write_film(tmp_path / "film.dcm", WindowCenter="2000", WindowWidth="3000"))["gsps"]
    assert "SoftcopyVOILUTSequence" not in state


POLYLINE = re.compile(r"coordinates: (.*)")


@pytest.mark.parametrize("name", ["plain", "monochrome1", "inverse", "both", "mirrored", "upside down", "turned",
                                  "not square"])  # fmt: skip
def test_film_and_presentation_state_are_what_our_picture_shows(name: str, tmp_path: Path) -> None:
    """dcmtk renders the film by the presentation state and reads its graphics; both agree with our own picture."""
    path = write_film(tmp_path / "film.dcm", **ODD[name])
    result = result_of(path)
    (tmp_path / "state.dcm").write_bytes(result_objects(result, ["gsps"])[0].data)
    told = subprocess.run(
        [peer("dcmp2pgm"), "-v", "-p", tmp_path / "state.dcm", path, tmp_path / "out.pgm"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = Image.open(tmp_path / "out.pgm").convert("F")
    ours = result.films[0].radiograph.pixels
    size = (ours.shape[1], ours.shape[0])
    assert np.corrcoef(np.asarray(theirs.resize(size)).ravel(), ours.ravel())[0, 1] > 0.999
    outlines = [
        [tuple(map(float, pair.split("\\"))) for pair in line.strip(" ,").split(", ")]
        for line in POLYLINE.findall(told.stdout + told.stderr)
    ]
    assert len(outlines) == 2
    for outline, box in zip(outlines, result.boxes, strict=True):
        shown = _filled(tmp_path / "filled.dcm", outline, ODD[name], result.films[0].is_inverted)
        drawn = np.zeros(shown.shape, bool)
        drawn[round(box.y) : round(box.y + box.height), round(box.x) : round(box.x + box.width)] = True
        assert (shown & drawn).sum() / (shown | drawn).sum() > 0.9


def _filled(path: Path, outline: list[tuple[float, float]], elements: dict[str, object], dark: bool) -> np.ndarray:
    """Where the outline, filled into the stored pixels, shows when our reader opens the film."""
    pixels = picture() // 8
    xs, ys = [round(x) for x, _ in outline], [round(y) for _, y in outline]
    pixels[min(ys) : max(ys), min(xs) : max(xs)] = 1900  # below half of the range: a higher jump looks like a sign
    pixels = 2047 - pixels if dark else pixels
    window = {"WindowCenter": "1024", "WindowWidth": "2048"}
    return read_dicom(write_film(path, pixels=pixels, **{**elements, **window})).pixels > 0.5


def test_the_picture_has_the_disclaimer_and_the_boxes_burnt_in(tmp_path: Path) -> None:
    result = result_of(write_film(tmp_path / "film.dcm"))
    capture = objects(tmp_path / "film.dcm")["sc"]
    assert capture.BurnedInAnnotation == "YES"
    burnt = np.asarray(drawing(result, 0))
    assert np.array_equal(capture.pixel_array, burnt)
    plain = np.asarray(drawing(result_of(tmp_path / "film.dcm", boxes=False), 0))
    assert (burnt[:, : burnt.shape[1] - 400] != plain[:, : plain.shape[1] - 400]).any()
    foot = burnt[-96:, -400:].reshape(-1, 3)
    assert (foot.astype(int).max(axis=1) > 200).sum() > 500  # words stand there


def test_a_film_without_identifiers_gets_no_results(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.dcm", StudyInstanceUID=None)
    with pytest.raises(InputError) as refused:
        SourceFilm(read_dicom(path), read_source(path))
    assert refused.value.code == "bad_header"


def test_the_sandbox_gives_a_header_that_is_well_formed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.dcm", PatientComments="never leaves", PatientBirthDate="1950")
    with Sandbox() as sandbox:
        header = sandbox.read_source(path)
    assert header == read_source(path)
    assert header["PatientName"] == "Roe^Jäne"
    assert "PatientBirthDate" not in header
    assert "never leaves" not in str(header)


def test_kinds_are_checked() -> None:
    assert checked_kinds(["sc", "sr"]) == ("sr", "sc")
    with pytest.raises(InputError) as refused:
        checked_kinds(["sr", "stl"])
    assert refused.value.code == "bad_request"
