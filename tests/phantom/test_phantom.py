"""Phantom studies: what is drawn, coded, boxed and written must be one and the same thing."""

from __future__ import annotations

import csv
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lingula.labels.vocabulary import Vocabulary
from lingula_phantom import KINDS, PhantomCase, PhantomFinding, draw_frontal, draw_lateral, generate, make_case
from lingula_phantom.anatomy import Patient
from lingula_phantom.findings import sample
from lingula_phantom.sentences import Writer
from lingula_phantom.write import FIRST

STUDIES, LONG_SIDE = 20, 192
LABELS = {
    "cardiomegaly": {"cardiomegaly"}, "effusion": {"pleural_effusion"}, "pneumothorax": {"pneumothorax"},
    "airspace_disease": {"airspace_disease"}, "opacity": {"lung_opacity"}, "nodule": {"nodule_mass"},
    "granuloma": {"granuloma"}, "atelectasis": {"atelectasis"}, "hyperinflation": {"hyperinflation"},
    "hypoinflation": {"hypoinflation"}, "elevated_diaphragm": {"elevated_diaphragm"}, "congestion": {"pulmonary_edema"},
    "tortuous_aorta": {"aortic_disease"}, "scoliosis": {"spinal_curvature"}, "rib_fracture": {"fracture"},
    "degenerative_spine": {"degenerative_spine"}, "pacemaker": {"device"}, "catheter": {"device"},
}  # fmt: skip
LOCAL = (
    "effusion",
    "pneumothorax",
    "airspace_disease",
    "opacity",
    "nodule",
    "granuloma",
    "atelectasis",
    "pacemaker",
    "catheter",
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("phantom"), studies=STUDIES, seed=3, long_side=LONG_SIDE)


def display(path: Path) -> np.ndarray:
    """Window and polarity applied by hand, [0, 1]."""
    file = pydicom.dcmread(path)
    top = 2**file.BitsStored - 1
    stored = np.frombuffer(file.PixelData, "<u2").reshape(file.Rows, file.Columns).astype(float)
    assert stored.max() <= top
    centre, width = float(file.get("WindowCenter", top / 2 + 0.5)), float(file.get("WindowWidth", top + 1))
    shown = np.clip((stored - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    return 1 - shown if file.PhotometricInterpretation == "MONOCHROME1" else shown


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    def digests(out: Path, seed: int, studies: int) -> dict[str, str]:
        generate(out, studies=studies, seed=seed, long_side=96)
        return {
            str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in out.rglob("*.[dx]*")
            if p.is_file()
        }

    first, again, longer, other = (
        digests(tmp_path / name, seed, n) for name, seed, n in (("a", 1, 3), ("b", 1, 3), ("c", 1, 5), ("d", 2, 3))
    )
    assert len(first) > 6
    assert first == again
    assert first.items() <= longer.items()  # a study does not depend on how many are made
    assert not set(first.values()) & set(other.values())


def test_every_finding_is_coded_with_its_label_and_nothing_else() -> None:
    vocabulary = Vocabulary.load("openi22")
    assert set(LABELS) == set(KINDS)
    for kind, expected in LABELS.items():
        for seed in range(12):
            finding = sample(kind, np.random.default_rng(seed))
            assert set(vocabulary.present(finding.terms())) == expected, finding
    assert vocabulary.present(PhantomCase(1, Patient(50, False)).terms) == ("normal",)


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_local_finding_shows_in_its_box_on_its_side(kind: str, side: str) -> None:
    patient = replace(Patient.sample(np.random.default_rng(5)), tilt=1.5)
    zone = "base" if kind == "atelectasis" else "lower lobe" if "upper lobe" in KINDS[kind].zones else ""
    case = PhantomCase(1, patient, (PhantomFinding(kind, side, zone, severity=1, seed=7),))  # type: ignore[arg-type]
    healthy = PhantomCase(1, patient)
    change = draw_frontal(case, np.random.default_rng(9), 384) - draw_frontal(healthy, np.random.default_rng(9), 384)
    ((x, y, width, height),) = case.boxes(case.findings[0], 384)
    inside = np.zeros(change.shape, bool)
    inside[y : y + height, x : x + width] = True
    sign = -1 if kind == "pneumothorax" else 1
    assert sign * change[inside].mean() > 0.01
    assert abs(change[inside].mean()) > 3 * abs(change[~inside].mean())
    middle = change.shape[1] / 2
    assert (x > middle - 25) if side == "left" else (x + width < middle + 25)  # the patient's left is the image's right


def test_cardiomegaly_widens_the_heart_and_inflation_moves_the_diaphragm() -> None:
    patient = Patient(60, False)

    def film(*findings: PhantomFinding) -> np.ndarray:
        return draw_frontal(PhantomCase(1, patient, findings), np.random.default_rng(0), 256)

    normal = film()
    rows, columns = normal.shape
    left_border = (slice(int(0.66 * rows), int(0.72 * rows)), slice(int(0.7 * columns), int(0.8 * columns)))
    assert film(PhantomFinding("cardiomegaly", severity=2))[left_border].mean() > normal[left_border].mean() + 0.05

    def dome(image: np.ndarray) -> int:  # row of the steepest step from dark to bright on the right side
        profile = image[rows // 2 : -rows // 12, columns // 4 - 6 : columns // 4 + 6].mean(axis=1)
        return int(np.argmax(profile[6:] - profile[:-6]))

    assert (
        dome(film(PhantomFinding("hypoinflation", severity=2)))
        < dome(normal)
        < dome(film(PhantomFinding("hyperinflation", severity=2)))
    )


def test_films_are_display_values() -> None:
    case, rng = make_case(2, seed=1)
    for draw in (draw_frontal, draw_lateral):
        image = draw(case, rng, 160)
        assert image.dtype == np.float32
        assert max(image.shape) == 160
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.std() > 0.15


def test_monochrome1_files_are_the_inverted_ones(collection: Path) -> None:
    files = sorted((collection / "NLMCXR_dcm").rglob("*.dcm"))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    assert {h.PhotometricInterpretation for h in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert len({h.BitsStored for h in headers}) >= 3
    assert 0 < sum("WindowCenter" not in h for h in headers) < len(headers)
    laterals = {h.get("ViewPosition", "") for h, path in zip(headers, files, strict=True) if "-2001" in path.name}
    assert laterals >= {"", "PA"}
    for path in files:
        if "-1001" in path.name:
            shown = display(path)
            corner = shown[: LONG_SIDE // 20, : LONG_SIDE // 20]  # open beam or shoulder
            rows, columns = shown.shape
            lung, belly = (
                shown[int(0.35 * rows) : int(0.5 * rows), columns // 5 : columns // 3],
                shown[int(0.8 * rows) :],
            )
            assert lung.mean() < belly[:, columns // 3 : -columns // 3].mean(), path.name
            assert corner.mean() < 0.6, path.name


def test_window_and_polarity_bring_back_what_was_drawn(collection: Path) -> None:
    met = set()
    for number in range(FIRST, FIRST + 12):
        case, rng = make_case(number, seed=3)
        drawn = draw_frontal(case, rng.spawn(5)[2], LONG_SIDE)
        path = collection / f"NLMCXR_dcm/{number}/{number}_IM-0001-1001.dcm"
        np.testing.assert_allclose(display(path), drawn, atol=0.002)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        met.add((header.PhotometricInterpretation, "WindowCenter" in header))
    assert len(met) == 4


def test_films_of_a_study_name_one_patient(collection: Path) -> None:
    studies: dict[str, set[tuple[str, str, str]]] = {}
    for path in sorted(collection.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        named = (header.PatientID, header.PatientBirthDate, header.StudyDate)
        studies.setdefault(header.StudyInstanceUID, set()).add(named)
    assert {len(named) for named in studies.values()} == {1}
    assert len({born for named in studies.values() for _, born, _ in named}) > 1


def test_reports_parse_and_match_the_images(collection: Path) -> None:
    with open(collection / "indiana_projections.csv", encoding="utf-8") as table:
        projections = {row["filename"].removesuffix(".dcm.png"): row["projection"] for row in csv.DictReader(table)}
    on_disk = {path.stem for path in (collection / "NLMCXR_dcm").rglob("*.dcm")}
    assert set(projections) == on_disk
    named = set()
    for number in range(FIRST, FIRST + STUDIES):
        root = ElementTree.parse(collection / f"NLMCXR_reports/ecgen-radiology/{number}.xml").getroot()
        images = [image.attrib["id"].removeprefix("CXR") for image in root.iter("parentImage")]
        named |= set(images)
        assert projections[images[0]] == "Frontal"
        assert [a.attrib["Label"] for a in root.iter("AbstractText")] == [
            "COMPARISON",
            "INDICATION",
            "FINDINGS",
            "IMPRESSION",
        ]
        assert root.findtext("ccLicense") == "cc0"
        assert "Synthetic" in (root.findtext("note") or "")
        assert tuple(major.text for major in root.iter("major")) == make_case(number, 3)[0].terms
    assert named == on_disk


def test_reports_do_not_deny_what_is_drawn() -> None:
    denials = {
        "effusion": r"\b(no|neither|without)\b[^.;]*(effusion|pleural fluid)",
        "pneumothorax": r"\b(no|neither|nor)\b[^.;]* pneumothorax|Pneumothorax is not seen",
        "nodule": r"\bno\b[^.;]*nodule",
        "cardiomegaly": r"\bno cardiomegaly|not enlarged|heart[^.;]*(normal|usual)",
        "airspace_disease": r"\bno\b[^.;]*(consolidation|airspace|infiltrate)",
        "rib_fracture": r"\bno\b[^.;]*fracture|intact",
    }
    writer, absent = Writer(), {kind: 0 for kind in denials}
    for number in range(1, 241):
        case, rng = make_case(number, seed=11)
        wording = writer.report(case, rng)
        text = f"{wording.findings} {wording.impression}"
        assert not re.search(r"[\[\]{}|]|  |\ba (unusual|enlarged)| \.", text), text
        for kind, pattern in denials.items():
            if kind in {finding.kind for finding in case.findings}:
                assert not re.search(pattern, text, re.IGNORECASE), (kind, text)
            else:
                absent[kind] += bool(re.search(pattern, text, re.IGNORECASE))
    assert all(absent.values()), absent


def test_collection_mixture() -> None:
    cases = [make_case(number, seed=0)[0] for number in range(1, 49)]
    assert {finding.kind for case in cases for finding in case.findings} == set(KINDS)
    assert 0.35 < np.mean([not case.findings for case in cases]) < 0.45
