"""What reading one film gives; needs no pydicom, so that whoever only receives films does without."""

from __future__ import annotations

from dataclasses import dataclass

from lingula.study import Radiograph


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A radiograph, and what its file says of study and patient.

    Attributes:
        study_uid: Study Instance UID, "" when the header has none.
        patient: digest of PatientID, "" when the header has none; to tell patients apart while reading, never stored.
    """

    radiograph: Radiograph
    study_uid: str
    patient: str = ""
