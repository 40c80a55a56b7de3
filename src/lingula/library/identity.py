"""Identifiers of what a library holds: they find a study again and say nothing of a patient.

UIDs of DICOM files are replaced by others that are made from them with a secret of the library (HMAC), under the root
2.25 for UIDs made from numbers (PS3.5 section B.2): the same file has the same identifiers in one library, others in
another, and nobody without the secret can tell whose they were. What has no UID is named after its content, never after
its file.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Collection
from dataclasses import replace

from lingula.reading.dicom.identity import film_id, is_uid
from lingula.study import Study

_HEX = 12  # digits of a digest in an identifier
_IDENTIFIER = re.compile(r"CXR\d{1,18}|2\.25\.\d{1,39}|(file|film|study|report)-[0-9a-f]{12}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def pseudonym(secret: bytes, uid: str) -> str:
    """``2.25.`` and a number of 122 bits: the UID that stands for another one in the library with this secret."""
    made = uuid.UUID(bytes=_keyed(secret, "uid", uid)[:16], version=4)
    return f"2.25.{made.int}"


def file_name(secret: bytes, name: str) -> str:
    """``file-`` and 12 hex digits: what stands for a file that was refused where its own name may not be shown."""
    return f"file-{_keyed(secret, 'file', name).hex()[:_HEX]}"


def public_name(secret: bytes, name: str) -> str:
    """What stands for a refused file or study: an identifier as it is, any other name as ``file_name`` has it."""
    return name if _IDENTIFIER.fullmatch(name) else file_name(secret, name)


def patient_key(secret: bytes, patient: str) -> str:
    """16 hex digits that are equal for equal patients of one library; empty for an unknown one."""
    return _keyed(secret, "patient", patient).hex()[:16] if patient else ""


def content_id(digests: Collection[str], text: str = "") -> str:
    """The identifier of a study without a UID: of its film, of its films in whatever order, or of its report."""
    films = sorted(set(digests))
    if len(films) == 1:
        return film_id(films[0])
    if films:
        return f"study-{_digest(' '.join(films))[:_HEX]}"
    return f"report-{_digest(text)[:_HEX]}"


def study_name(secret: bytes, name: str) -> str:
    """The identifier for a study that its owner named: the name, where it is a plain one of at most 64 characters and
    no UID; else one made from it."""
    if is_uid(name):
        return pseudonym(secret, name)
    return name if _NAME.fullmatch(name) else f"study-{_keyed(secret, 'study', name).hex()[:_HEX]}"


def deidentified(study: Study, secret: bytes, *, name: str = "") -> Study:
    """The study as a library may hold it.

    Args:
        study: its films have digests. An id that is a UID is replaced; one of the collection's or made from content
            stays; any other, as one that was made from a file's name, gives way to the content's.
        name: given by its owner; outranks the id.
    """
    films = tuple(
        replace(film, image_id=pseudonym(secret, film.image_id) if is_uid(film.image_id) else film_id(film.digest))
        for film in study.radiographs
    )
    if name:
        study_id = study_name(secret, name)
    elif is_uid(study.study_id):
        study_id = pseudonym(secret, study.study_id)
    elif _IDENTIFIER.fullmatch(study.study_id):
        study_id = study.study_id
    else:
        study_id = content_id([film.digest for film in films], study.report.text if study.report else "")
    return replace(study, study_id=study_id, radiographs=films)


def without_uids(study: Study) -> Study:
    """The study with names made from content in place of UIDs: for a page that may be given away."""
    films = tuple(
        replace(film, image_id=film_id(film.digest)) if is_uid(film.image_id) and film.digest else film
        for film in study.radiographs
    )
    if not is_uid(study.study_id):
        return replace(study, radiographs=films)
    name = content_id([film.digest for film in films], study.report.text if study.report else "")
    return replace(study, study_id=name, radiographs=films)


def stored_ids(study: Study, secret: bytes) -> frozenset[str]:
    """Under which ids an import would have stored a study that was read from files."""
    made = {study.study_id}
    if is_uid(study.study_id):
        made.add(pseudonym(secret, study.study_id))
    if digests := [film.digest for film in study.radiographs if film.digest]:
        made.add(content_id(digests))
    return frozenset(made)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _keyed(secret: bytes, purpose: str, text: str) -> bytes:
    return hmac.new(secret, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
