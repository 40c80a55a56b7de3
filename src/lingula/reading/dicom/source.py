"""What objects made from a film repeat of its header: whose it is, in which study, and how its pixels lie.

Results that go back to an archive must carry the patient and study of the film they were made from. A reading child
gives these elements as text, each in a form that its value representation allows; nothing else of the header leaves it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydicom.datadict import dictionary_VR

from lingula.errors import InputError
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.elements import text
from lingula.reading.dicom.identity import is_uid
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.dicom.reader import parse_envelope
from lingula.reading.limits import Limits

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
         "StudyDescription")  # fmt: skip
FILM = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ViewPosition", "Laterality",
        "PatientOrientation", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PresentationLUTShape",
        "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing", "ImagerPixelSpacing",
        "PixelAspectRatio", "RescaleIntercept", "RescaleSlope", "RescaleType", "FrameOfReferenceUID")  # fmt: skip
KEYWORDS = (*PATIENT, *STUDY, *FILM)
MOST = 1024
"""Characters of one value."""

_FORMS = {
    "UI": r"\d+(\.\d+)+",
    "DA": r"\d{8}",
    "TM": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "CS": r"[A-Z0-9 _]{1,16}(\\[A-Z0-9 _]{1,16})*",
    "AS": r"\d{3}[DWMY]",
    "US": r"\d{1,5}",
    "DS": r"[-+0-9.eE]{1,16}(\\[-+0-9.eE]{1,16})*",
    "IS": r"[-+]?\d{1,10}(\\[-+]?\d{1,10})*",
}
_LONGEST = {"LO": 64, "SH": 16, "PN": 64}


def read_source(path: Path, limits: Limits | None = None) -> dict[str, str]:
    """Elements of a film's header by keyword, those of ``KEYWORDS`` that it has in a form the Standard allows.

    A film without the UIDs of SOP instance, study or series is given none: nothing can be filed beside it.

    Raises:
        InputError: not_found, empty_file, too_large; any code of ``open_part10``; bad_header.
    """
    limits = limits or Limits()
    data = read_file(path, limits.file_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            envelope = open_part10(data, limits)
            dataset = parse_envelope(envelope)
            found = {keyword: text(dataset, keyword) for keyword in KEYWORDS}
        except (InputError, MemoryError):
            raise
        except Exception as error:  # pydicom raises whatever a damaged value makes it raise
            raise InputError("bad_header", f"unreadable header ({type(error).__name__})") from error
    found["SOPClassUID"] = found["SOPClassUID"] or envelope.sop_class
    found["SOPInstanceUID"] = found["SOPInstanceUID"] or envelope.sop_instance
    return well_formed(found)


def well_formed(elements: Mapping[str, str]) -> dict[str, str]:
    """Those of ``elements`` that are known, not empty, and of the form and length of their value representation."""
    kept = {}
    for keyword, value in elements.items():
        if keyword not in KEYWORDS or not value or len(value) > MOST:
            continue
        vr = dictionary_VR(keyword)
        clean = "".join(char for char in value if char.isprintable())
        if form := _FORMS.get(vr):
            clean = clean if re.fullmatch(form, clean, re.ASCII) else ""
        else:
            clean = clean.replace("\\", " ")[: _LONGEST.get(vr, 64)].strip()
        if clean and (vr != "UI" or is_uid(clean)) and (vr != "DA" or _is_date(clean)):
            kept[keyword] = clean
    return kept


def _is_date(value: str) -> bool:
    try:
        datetime.strptime(value, "%Y%m%d")
    except ValueError:
        return False
    return True
