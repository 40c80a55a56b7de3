"""Made-up films, reports and files that are none, for measuring imports of one's own folders."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

CANARY = "QZX7"
CANARY_UID = "1.2.999.7767."
CANARY_DATE = "19610713"
CANARIES = (CANARY, CANARY_UID, CANARY_DATE)
_LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64, "ST": 64, "LT": 64, "UT": 64, "UC": 64, "UR": 64}
_NEEDED = {"Modality", "PhotometricInterpretation", "BodyPartExamined", "SpecificCharacterSet", "SOPClassUID",
           "BurnedInAnnotation", "PresentationLUTShape", "PatientOrientation", "PixelIntensityRelationship",
           "VOILUTFunction", "PatientSpeciesDescription", "AnatomicRegionSequence"}  # fmt: skip
GATES = ("Modality", "BodyPartExamined", "PhotometricInterpretation", "PatientSpeciesDescription", "Rows")


def film(seed: int, rows: int = 96, columns: int = 80) -> np.ndarray:
    """(rows, columns) uint8: noise around a soft slope."""
    slope = 60 + 80 * np.mgrid[0:rows, 0:columns][1] / columns
    return (slope + np.random.default_rng(seed).normal(0, 12, (rows, columns))).clip(0, 255).astype(np.uint8)


def picture(seed: int, kind: str = "PNG", note: str = "") -> bytes:
    """A film as PNG or JPEG, with a note among its metadata."""
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Comment", note)
    options: dict[str, Any] = {"pnginfo": info} if kind == "PNG" else {"comment": note.encode()}
    Image.fromarray(film(seed)).save(file, kind, **options)
    return file.getvalue()


def dicom(seed: int, *, study: str = "", canaries: bool = False, **attributes: Any) -> bytes:
    """A film as DICOM.

    Args:
        study: Study Instance UID; by default one made from the seed.
        canaries: fill every attribute of the dictionary that holds text, a UID or a date with something to be found.
        attributes: by keyword, put in at the end; None removes one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that the attributes cannot have
        return _dicom(seed, study, canaries, attributes)


def _dicom(seed: int, study: str, canaries: bool, attributes: dict[str, Any]) -> bytes:
    pixels = film(seed)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    if canaries:
        _fill(dataset)
    dataset.SOPInstanceUID = f"{CANARY_UID}{seed}" if canaries else generate_uid(entropy_srcs=[f"film {seed}"])
    made = f"{CANARY_UID}8.{seed}" if canaries else generate_uid(entropy_srcs=[f"study {seed}"])
    dataset.StudyInstanceUID = study or made
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.BodyPartExamined = "CR", "CHEST"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _fill(dataset: Dataset) -> None:
    for tag, (vr, multiplicity, _, retired, keyword) in DicomDictionary.items():
        if retired or not keyword or keyword in _NEEDED or tag >> 16 <= 0x2 or keyword_for_tag(tag) != keyword:
            continue
        if multiplicity not in ("1", "1-n") or tag >> 16 == 0x28:
            continue
        if vr in _LONGEST:
            setattr(dataset, keyword, f"{CANARY} {keyword.upper() if vr == 'CS' else keyword}"[: _LONGEST[vr]])
        elif vr == "UI":
            setattr(dataset, keyword, f"{CANARY_UID}{tag}")
        elif vr == "DA":
            setattr(dataset, keyword, CANARY_DATE)


def own_folder(root: Path, good: int = 20, bad: int = 300) -> Path:
    """A folder as it comes: films in folders, pictures of equal names, DICOM without endings, and what is none."""
    for number in range(good):
        folder = root / f"patient {number // 4}" / f"exam {number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        if number % 2:
            (folder / f"IM{number:04}").write_bytes(dicom(number))
        else:
            (folder / "image.png").write_bytes(picture(number))
    (root / "[bold red]bad[=red]").mkdir(parents=True)
    for number in range(bad):
        name, data = _bad(number)
        (root / "[bold red]bad[=red]" / name).write_bytes(data)
    return root


def _bad(number: int) -> tuple[str, bytes]:
    """Each of another content, so that none is a copy."""
    seed = 10_000 + number
    made: list[tuple[str, bytes]] = [
        ("cut.dcm", dicom(seed)[: 2000 + number]),
        ("cut.png", picture(seed)[: 1500 + number]),
        ("ct.dcm", dicom(seed, Modality="CT")),
        ("knee.dcm", dicom(seed, BodyPartExamined="KNEE")),
        ("colour.dcm", dicom(seed, PhotometricInterpretation="PALETTE COLOR")),
        ("no pixels.dcm", dicom(seed, PixelData=None)),
        ("mismatch.dcm", dicom(seed, Rows=500)),
        ("letter.doc", b"\xd0\xcf\x11\xe0" + bytes([number % 256]) * 500),
        ("program.exe", b"MZ" + bytes(range(256)) + str(number).encode()),
        ("archive.zip", b"PK\x03\x04" + str(number).encode() * 40),
        ("report alone.txt", f"FINDINGS: Clear lungs, number {number}.".encode()),
        ("small.png", _small(number)),
    ]
    name, data = made[number % len(made)]
    return f"{number:03}=\x1b[31m {name}", data


def _small(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(film(number, 16, 16)).save(file, "PNG")
    return file.getvalue()
