"""Who a film is: its UIDs where they are UIDs (PS3.5 section 9.1), else names made from what the file holds."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingula.errors import Notice
from lingula.reading.dicom.elements import text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_NAME = 12  # hex digits of a digest in a made-up identifier


@dataclass(frozen=True, slots=True)
class Identity:
    """Identifiers of a film.

    Attributes:
        image_id: SOP Instance UID, or ``film-`` and the beginning of the file's digest.
        study_uid: Study Instance UID; ``study-`` and a digest where an anonymiser wrote something else in its place, so
            that films of one study still find each other; empty where there is none.
        patient: digest of PatientID and its issuer, for telling patients apart while files are read; never stored.
    """

    image_id: str
    study_uid: str
    patient: str
    notices: tuple[Notice, ...]


def film_id(digest: str) -> str:
    """The name of a film that has no UID, from the SHA-256 of its file."""
    return f"film-{digest[:_NAME]}"


def study_id(*digests: str) -> str:
    """The name of a study that has no UID, from the digests of its films, whatever their order."""
    return f"study-{_digest(chr(0).join(sorted(set(digests))))}"


def identify(dataset: Dataset, media_sop_instance: str, digest: str) -> Identity:
    """Identifiers of a film; with *missing_uid* or *invalid_uid* where one had to be made up.

    Args:
        media_sop_instance: (0002,0003), the same UID as SOP Instance UID (PS3.10 table 7.1-1).
        digest: SHA-256 of the file, hex.
    """
    sop, study = text(dataset, "SOPInstanceUID") or media_sop_instance, text(dataset, "StudyInstanceUID")
    notices = (*_uid_notices(sop, "SOP Instance UID"), *_uid_notices(study, "Study Instance UID"))
    if not is_uid(sop):
        sop = film_id(digest)
    if not is_uid(study):
        study = f"study-{_digest(study)}" if study else ""
    patient = "\\".join(text(dataset, keyword) for keyword in ("PatientID", "IssuerOfPatientID"))
    return Identity(sop, study, _digest(patient) if patient.strip("\\") else "", notices)


def _uid_notices(uid: str, name: str) -> tuple[Notice, ...]:
    stands = "a name made from the content stands for it."
    if not uid:
        return (Notice("missing_uid", f"The header has no {name}; {stands}"),)
    return () if is_uid(uid) else (Notice("invalid_uid", f"What the header gives as {name} is none; {stands}"),)


def is_uid(value: str) -> bool:
    """Digits and dots, at most 64 (PS3.5 section 9.1), two components or more. Leading zeros in a component are let
    pass: archives hold many of them."""
    return len(value) <= 64 and re.fullmatch(r"\d+(\.\d+)+", value, re.ASCII) is not None


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_NAME]
