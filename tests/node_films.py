"""Made-up films as DICOM files, and results of them without a model."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

pytest.importorskip("highdicom", reason="needs the extra pacs")

from highdicom import sr
from highdicom.sr.coding import CodedConcept
from tests.mark_files import saved

from lingula.errors import Notice
from lingula.labels.vocabulary import Vocabulary
from lingula.node.region import EvidenceBox
from lingula.node.result import StudyResult
from lingula.node.settings import ReceiveSettings
from lingula.node.source_film import SourceFilm
from lingula.reading.dicom.reader import read_dicom
from lingula.reading.dicom.source import read_source
from lingula.study import Analysis, Prediction, Study

DX = "1.2.840.10008.5.1.4.1.1.1.1.1"
COMPUTED = "1.2.840.10008.5.1.4.1.1.1"
MODEL = "0123456789abcdef"


def picture(rows: int = 96, columns: int = 80) -> np.ndarray:
    """Dark in one corner, bright in another, with a bright square that is nowhere near the middle."""
    down, along = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    values = 0.1 + 0.5 * along + 0.2 * down
    values[rows // 8 : rows // 4, columns // 8 : columns // 4] = 1.0
    return np.rint(values * 4095).clip(0, 4095).astype(np.uint16)


def write_film(path: Path, *, number: int = 1, study: str = "", **elements: object) -> Path:
    """A film of 12 bits as a DICOM file; ``elements`` by keyword, None to leave one out."""
    stored = np.asarray(elements.pop("pixels", picture()), np.uint16)
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = COMPUTED, generate_uid(entropy_srcs=["film", path.name, str(number)])
    made.StudyInstanceUID = study or generate_uid(entropy_srcs=["study", str(number)])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "Roe^Jäne", "P-17", "19500203", "F"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20240102", "101500", "7", "A-99"
    made.ReferringPhysicianName, made.Modality, made.BodyPartExamined = "", "CR", "CHEST"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = stored.shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = stored.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are what some films are made for
        for keyword, value in elements.items():
            if value is None:
                delattr(made, keyword)
            else:
                setattr(made, keyword, value)
    return saved(made, path)


PREDICTIONS = (
    Prediction("normal", "Normal", 0.08, 0.5, "absent"),
    Prediction("pleural_effusion", "Pleural effusion", 0.83, 0.4, "present", (0.71, 0.9)),
    Prediction("cardiomegaly", "Cardiomegaly", 0.62, 0.4, "present", (0.5, 0.7)),
    Prediction("nodule_mass", "Lung nodule or mass", 0.06, 0.05, "abstain", (0.02, 0.2)),
    Prediction("pneumothorax", "Pneumothorax", 0.01, 0.1, "absent", (0.0, 0.03)),
)
NOTICES = (Notice("view_uncertain", "Film 1: its view is uncertain."),)


def result_of(*paths: Path, boxes: bool = True, predictions: tuple[Prediction, ...] = PREDICTIONS) -> StudyResult:
    """A result with two boxes for one finding on each film, from an eighth to a quarter of its sides and below it."""
    films = tuple(SourceFilm(read_dicom(path), read_source(path)) for path in paths)
    study = Study(films[0].study_instance, tuple(film.radiograph for film in films))
    analysis = Analysis(study, "image", predictions, (), (), MODEL, "", NOTICES)
    found = []
    for number, film in enumerate(films):
        rows, columns = film.radiograph.pixels.shape
        for share in (1 / 8, 1 / 2):
            at = (share * columns, share * rows, columns / 8, rows / 8)
            found.append(EvidenceBox("pleural_effusion", "Pleural effusion", number, *at))
    return StudyResult(analysis, films, tuple(found) if boxes else (), Vocabulary.load("openi22"))


def with_model(result: StudyResult, model: str) -> StudyResult:
    return replace(result, analysis=replace(result.analysis, model=model))


SYSTEM = "/usr/bin:/usr/local/bin:/opt/homebrew/bin:/usr/sbin:/usr/local/sbin"


def peer(name: str) -> str:
    """The path of a program of another project; the test is skipped where it is not installed."""
    found = shutil.which(name, path=SYSTEM)  # pynetdicom brings programs of the same names
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def validator_errors(data: bytes, folder: Path) -> list[str]:
    """What ``dciodvfy`` of dicom3tools finds wrong with an object."""
    (file := folder / "object.dcm").write_bytes(data)
    told = subprocess.run([peer("dciodvfy"), str(file)], capture_output=True, text=True, errors="replace")
    return [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


def send(settings: ReceiveSettings, *paths: Path, aet: str = "MODALITY") -> int:
    command = [peer("storescu"), "-R", "-aet", aet, "-aec", settings.aet, "127.0.0.1", str(settings.port)]
    told = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60)
    print(told.stdout, told.stderr)  # shown where a test fails
    return told.returncode


SAID = "Small left pleural effusion. No pneumothorax."
NAMED = "Seen with Jäne Roe, A-99."
"""What a report says beside it: names that an import takes out."""


def report_of(film: Path, place: Path) -> Path:
    """A basic text report of a radiologist on the study of a film."""
    source = result_of(film).films[0].dataset
    contains = sr.RelationshipTypeValues.CONTAINS
    root = sr.ContainerContentItem(CodedConcept("18748-4", "LN", "Diagnostic Imaging Report"))
    finding = CodedConcept("121071", "DCM", "Findings")
    root.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(finding, f"{SAID} {NAMED}", relationship_type=contains)], is_root=False
    )
    made = sr.EnhancedSR([source], root, "1.2.3.77", 1, "1.2.3.78", 1, manufacturer="A dictation system")
    made.save_as(place, enforce_file_format=True)
    return place
