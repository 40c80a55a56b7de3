"""What tells a file apart before anything is decoded: its digest, and which study a DICOM header files it under."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.bounded_io import read_file
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.limits import Limits


@dataclass(frozen=True, slots=True)
class FileKey:
    """Attributes:
    digest: SHA-256 of the file's bytes, hex.
    study: SHA-256 of its Study Instance UID, hex; empty for a picture, and where the header names none.
    """

    digest: str
    study: str = ""


def read_key(path: Path, limits: Limits | None = None) -> FileKey:
    """The key of a file. Nothing is judged: whatever is wrong with the file is said when it is read.

    Hostile files belong in a child process: see ``Sandbox.read_keys``.

    Raises:
        InputError: not_found, empty_file, too_large.
    """
    limits = limits or Limits()
    data = read_file(path, limits.file_bytes)
    digest = hashlib.sha256(data).hexdigest()
    if sniff(data[:HEAD], path.name) != "dicom":
        return FileKey(digest)
    from lingula.reading.dicom.reader import study_uid_of  # pulls in pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            uid = study_uid_of(data, limits)
        except InputError:
            uid = ""
    return FileKey(digest, hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest() if uid else "")
