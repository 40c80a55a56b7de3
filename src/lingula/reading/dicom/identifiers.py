"""What a header says of persons, places and numbers: whatever must not stand in words that are kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from lingula.errors import InputError
from lingula.reading.bounded_io import read_file, read_head
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.dicom.reader import parse_envelope
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.limits import Limits

_OWN = ("PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
        "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber", "StudyID",
        "AdmissionID", "InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber",
        "ReferringPhysicianName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName",
        "RequestingPhysician", "PhysiciansOfRecord", "PatientBirthDate",
        "RequestedProcedureID", "MedicalRecordLocator")  # fmt: skip
_MOST, _LONGEST = 200, 200


def identifiers_of(path: Path, limits: Limits) -> tuple[str, ...]:
    """Identifiers in the header of a DICOM file, each once; none of another file, or of one that cannot be read."""
    try:
        if sniff(read_head(path, HEAD), path.name) != "dicom":
            return ()
        data = read_file(path, limits.file_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = parse_envelope(open_part10(data, limits))
            found = dict.fromkeys(value.strip() for value in identifiers(dataset) if 1 < len(value) <= _LONGEST)
    except (InputError, MemoryError):
        return ()
    except Exception:  # pydicom raises whatever a damaged value makes it raise
        return ()
    return tuple(found)[:_MOST]


def identifiers(dataset: Dataset) -> Iterator[str]:
    """Values by which a header names persons, places and numbers, at any depth; also of what is named in no table."""
    for element in _texts(dataset):
        if element.keyword in _OWN or element.VR == "PN":
            for value in element.value if isinstance(element.value, MultiValue | list) else [element.value]:
                yield str(value or "")


def _texts(dataset: Dataset) -> Iterator[DataElement]:
    for tag in list(dataset.keys()):
        if tag == 0x7FE00010:
            continue
        try:
            element = dataset[tag]
        except Exception:  # it is removed where it stands
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        else:
            yield element
