"""What goes into a library and what comes out of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, LingulaError, ModelError, Notice
from lingula.library import preview
from lingula.plain import DISCLAIMER, FLAT, JsonAnswer
from lingula.study import Mode, Radiograph, Report, Study, View

NORM_TOLERANCE = 1e-4  # float32 normalisation errs by 1e-7; a vector nobody normalised errs by far more
OLDEST = 90


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A study to be added.

    Attributes:
        embeddings: (D,) unit-norm vectors by mode; a mode the study lacks is left out.
        labels: codes of the labels present; None when nobody coded the study (unknown is not absent).
        patient: whose study it is, in its owner's words; kept as a keyed hash in the birth date's place.
        age: years at the study; by default as the films' dates tell.
        sender: who sent it, a name of a place or a machine; by it a sender's studies are deleted and its films watched.
        replaces: digest of the stored study whose place it takes, with its films and later ones; empty for a new one.
    """

    study: Study
    embeddings: Mapping[Mode, npt.NDArray[np.floating[Any]]]
    labels: tuple[str, ...] | None = None
    patient: str = field(default="", repr=False)
    age: int | None = None
    sender: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: ``error`` says why when it was refused."""

    study_id: str
    state: Literal["added", "present", "refused"]
    error: LingulaError | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file or study that could not be imported, and why."""

    source: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class LibraryDescription:
    """What a library is made for; written once, when it is created.

    Attributes:
        model: fingerprint of the model that encodes its studies.
        vocabulary: digest of the label vocabulary.
        labels: label codes, in the vocabulary's order.
        dimension: length D of an embedding.
    """

    model: str
    vocabulary: str
    labels: tuple[str, ...]
    dimension: int


@dataclass(frozen=True, slots=True)
class StoredRadiograph:
    """One image of a stored study.

    Attributes:
        digest: SHA-256, hex, of the file it came from, or of its pixels when it never was a file.
        rows, columns: size of the original.
        png: the preview, 8-bit grey, long side at most 512 px, encoded by us.
    """

    image_id: str
    view: View
    digest: str
    rows: int
    columns: int
    decoder: str
    attributes: tuple[tuple[str, str], ...]
    notices: tuple[Notice, ...]
    png: bytes = field(repr=False)

    def preview(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8 display values."""
        return preview.decode(self.png)

    def radiograph(self) -> Radiograph:
        """The radiograph again, at the preview's resolution."""
        pixels = self.preview().astype(np.float32) / np.float32(255)
        return Radiograph(
            self.image_id, pixels, self.view, self.decoder, self.attributes, self.notices, digest=self.digest
        )


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as the library holds it.

    Attributes:
        digest: SHA-256, hex, of its content (see ``content_digest``).
        labels: codes of the labels present; None when nobody coded the study.
        age: years at the study date, 90 for everybody older; None when unknown.
        birth_key: equal for studies with equal birth dates; empty when unknown (see ``birth_key``).
        modes: the embeddings it has.
    """

    study_id: str
    digest: str
    report: Report | None
    terms: tuple[str, ...] | None
    labels: tuple[str, ...] | None
    notices: tuple[Notice, ...]
    age: int | None
    birth_key: str
    modes: tuple[Mode, ...]
    radiographs: tuple[StoredRadiograph, ...]

    def study(self) -> Study:
        """The study again, its images at the previews' resolution."""
        images = tuple(stored.radiograph() for stored in self.radiographs)
        return Study(self.study_id, images, self.report, self.terms, self.notices)


@dataclass(frozen=True, slots=True)
class ShownImage:
    """What an answer tells of an image; ``digest`` is equal for equal files."""

    image_id: str
    view: View
    digest: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A study as an answer shows it: a record without previews, cheap to read.

    ``labels`` is empty, too, where nobody coded the study, which is then not ``coded``.
    """

    study_id: str
    report: Report | None = field(repr=False)
    labels: tuple[str, ...]
    age: int | None
    birth_key: str
    images: tuple[ShownImage, ...]
    coded: bool = True


@dataclass(frozen=True, slots=True)
class LibraryStatus(JsonAnswer):
    """Counts for a reader, by name.

    ``uncoded`` counts the studies whose labels nobody knows, which ``labels`` leaves out; ``mentioned`` counts the
    studies whose report mentions a finding, in whatever way. ``outdated``: assertions were read by other rules than
    today's, which ``reindex`` mends. ``location`` is None where it must not be told.
    """

    location: str | None
    about: LibraryDescription = field(metadata=FLAT)
    studies: int
    radiographs: int
    uncoded: int
    labels: Mapping[str, int]
    views: Mapping[str, int]
    embeddings: Mapping[str, int]
    refused: Mapping[str, int]
    mentioned: Mapping[str, int]
    outdated: bool
    disclaimer: str = DISCLAIMER


def unit(vector: npt.ArrayLike, dimension: int, owner: str) -> npt.NDArray[np.float32]:
    """Check an embedding and return it as (D,) float32 of unit norm.

    Raises:
        ModelError: ``model_mismatch`` when the length is not ``dimension``, a value is not finite, or the norm is
            further than 1e-4 from 1.
    """
    values = np.asarray(vector, dtype=np.float64)
    if values.shape != (dimension,):
        raise ModelError(
            "model_mismatch",
            f"the embedding of {owner} has shape {values.shape}, the library holds ({dimension},).",
            "Encode with the model that filled the library.",
        )
    norm = float(np.linalg.norm(values))
    if not abs(norm - 1) <= NORM_TOLERANCE:  # NaN and infinity land here too
        raise ModelError("model_mismatch", f"the embedding of {owner} has norm {norm:.6g}, not 1.", "Normalise it.")
    return (values / norm).astype(np.float32)


def image_digest(image: Radiograph) -> str:
    """SHA-256, hex, of the image's file, or of its size and pixels when it never was a file."""
    if image.digest:
        return image.digest
    shape = np.array(image.pixels.shape, dtype="<i8").tobytes()
    return hashlib.sha256(shape + image.pixels.astype("<f4", copy=False).tobytes()).hexdigest()


def study_digest(study: Study) -> str:
    """The ``content_digest`` of a study."""
    images = tuple((image.image_id, image_digest(image)) for image in study.radiographs)
    return content_digest(study.study_id, study.report, study.terms, images)


def content_digest(
    study_id: str, report: Report | None, terms: tuple[str, ...] | None, images: tuple[tuple[str, str], ...]
) -> str:
    """SHA-256, hex, of what was supplied: identifier, report, coding and (image id, image digest) pairs.

    View, decoder and notices are left out: they are our reading of the same files and may improve.

    Raises:
        InputError: ``bad_request`` when a text holds NUL or lone surrogates, which databases do not store.
    """
    texts = "".join((study_id, report.text if report else "", *(terms or ()), *(image_id for image_id, _ in images)))
    if "\0" in texts or any("\ud800" <= character <= "\udfff" for character in texts):
        raise InputError("bad_request", f"study {study_id!r} holds NUL characters or lone surrogates.", "Remove them.")
    told = None if report is None else [report.text, [[part.name, part.start, part.end] for part in report.sections]]
    content = json.dumps([study_id, told, terms, images], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def age_in_years(birth_date: str, study_date: str) -> int | None:
    """Completed years between two YYYYMMDD dates, at most 90 (HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C))."""
    if not (len(birth_date) == len(study_date) == 8 and (birth_date + study_date).isdecimal()):
        return None
    years = (int(study_date) - int(birth_date)) // 10_000
    return min(years, OLDEST) if years >= 0 else None


def birth_key(secret: bytes, birth_date: str) -> str:
    """16 hex digits that are equal for equal birth dates within one library; empty for an unknown date.

    A hint at the same patient, keyed by a secret of the library so that two libraries cannot be joined on it. Whoever
    holds the database file holds the secret too and can try all dates: this hides dates from readers of exports, not
    from the owner of the file.
    """
    return hmac.new(secret, birth_date.encode(), hashlib.sha256).hexdigest()[:16] if birth_date else ""
