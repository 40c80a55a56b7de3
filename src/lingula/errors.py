"""One small error tree: every refusal has a stable code, a message that names the value, and a remedy.

The codes are the same in Python (``error.code``), on the command line (``--json``) and over HTTP. A *warning* never
stops a study; it travels with it and is shown beside every answer.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from lingula.plain import DISCLAIMER


def _codes(words: str) -> frozenset[str]:
    return frozenset(words.split())


CAUSES = {
    "not_found": "There is no such file, folder, preset, split or vocabulary, or it cannot be opened.",
    "empty_file": "The file has no bytes.",
    "too_large": "It exceeds file_bytes, a report xml_bytes.",
    "unsupported_format": (
        "A picture that is none of PNG, JPEG, TIFF, BMP, WebP and JPEG XL (HEIC, GIF), a packed "
        "file in a collection, or a table that lacks its columns."
    ),
    "image_without_report": "An image in a collection that none of its reports names.",
    "not_a_chest_film": (
        "Findings were asked of films none of which looks like a chest radiograph (Python; elsewhere it is a warning)."
    ),
    "bad_request": (
        "The question makes no sense: nothing to read, two reports, an unknown label, method, mode "
        "or split part, k out of range, a target that exists."
    ),
    "not_dicom": "Neither a DICOM file nor a picture, by content.",
    "truncated": "The file ends inside an element.",
    "bad_header": "A value the image depends on is missing, damaged or contradicts another.",
    "nesting_too_deep": "Sequences are nested deeper than sequence_depth.",
    "decompression_bomb": "A deflated data set exceeds inflated_bytes.",
    "not_an_image": "The object has no pixels (a report, a presentation state).",
    "unsupported_modality": (
        "Modality is another one; or it is absent, OT, SC and the like, and neither SOP class nor "
        "body part nor description makes it a radiograph of the chest."
    ),
    "wrong_body_part": (
        "The header names another body part (and no description of the series the chest), or an animal."
    ),
    "unsupported_transfer_syntax": "A compression that is not read (video, private ones).",
    "unsupported_photometric": (
        "Colours over more than a tenth of the picture that no tint explains, a palette, or another"
        " interpretation that is not grey."
    ),
    "multiframe": "More than one frame, or an animated picture.",
    "image_too_small": "A side is below 32 pixels.",
    "image_bomb": "Rows × columns exceed pixels.",
    "pixel_mismatch": (
        "Header and pixel data, or header and codestream, disagree on the size; or the pixels are "
        "encapsulated and the transfer syntax says they are not."
    ),
    "decode_failed": "The codec refused the data, the image is cut, or the child process died (memory).",
    "burned_in_annotation": (
        "The header says that text is burned into the picture, and such films were to be refused."
    ),
    "decode_timeout": "Reading took longer than seconds.",
    "image_decode_failed": "A picture that is damaged or cut.",
    "uid_conflict": (
        "One identifier names different contents: in the files given, in a collection, or in the library."
    ),
    "several_studies": (
        "The films name several patients; or they name none and are not one frontal and one lateral"
        " film; or there are more than two of one view."
    ),
    "xml_malformed": "Not well-formed XML.",
    "xml_encoding": "The declared encoding is unknown or wrong.",
    "xml_forbidden_dtd": "A document type declaration, which could expand or fetch entities.",
    "xml_too_deep": "Elements are nested deeper than xml_depth.",
    "not_a_report": (
        "Well-formed, but no Open-i report; a PDF, Word document or table; JSON without one FHIR "
        "DiagnosticReport, HL7 without report text, or one entered in error; binary data; or a "
        "study with neither image nor text."
    ),
    "text_reader_missing": "Text in pictures was to be found, and the program for it (Tesseract) is not installed.",
    "report_empty": (
        "There is no film, and nothing in the report was read: no text, none that tells of a chest, or none in English."
    ),
    "archive_unsafe_path": "A member's name leads out of the archive, or it is a link.",
    "archive_unsupported_member": "A device, pipe, sparse file or odd compression.",
    "archive_bomb": "A member exceeds file_bytes, or all together archive_bytes.",
    "archive_too_many": "More members than archive_members.",
    "archive_bad": "Damaged, encrypted, not an archive, or a name occurs twice.",
}
"""Why a file is refused, in words that hold nothing of the file: what others than its owner may read."""
INPUT_CODES = frozenset(CAUSES)
HEADER_CODES = _codes(
    "bad_header unsupported_modality wrong_body_part unsupported_transfer_syntax unsupported_photometric not_an_image"
)
"""Refusals whose messages may quote what stands in the header of a file."""
MODEL_CODES = _codes("model_checksum_mismatch model_bad_file model_unsafe_format model_mismatch")
LIBRARY_CODES = _codes(
    "index_corrupt library_missing library_newer library_empty study_unknown set_unknown set_changed"
)
FETCH_CODES = _codes("fetch_failed fetch_checksum disk_full storage_unavailable")
SERVER_CODES = _codes(
    "busy forbidden unauthorized case_unknown job_unknown link_unknown page_unknown method_unknown too_slow "
    "reader_unavailable model_unavailable internal"
)
NODE_CODES = _codes("peer_unreachable peer_refused not_stored receiver_failed queue_late drift")
WARNING_CODES = _codes(
    "no_part10_header bad_window bad_rescale bad_charset blank_image rgb_converted burned_in_annotation "
    "polyglot_preamble polarity_suspect out_of_distribution not_a_chest_film unlike_training_films report_empty "
    "report_language identifiers_removed no_images bad_image_ref body_part_absent view_uncertain text_cut "
    "judged_by_prediction no_ages no_texts nothing_alike film_in_library training_film condition_relaxed "
    "orientation_corrected bad_orientation bad_header range_adjusted encoding_repaired missing_uid invalid_uid "
    "modality_assumed body_part_conflict colour_ignored first_picture_only one_study_assumed no_marks"
)


def cause(code: str) -> str:
    """Why a file was refused, in words that hold nothing of the file."""
    return CAUSES.get(code, "It was refused.")


class LingulaError(Exception):
    """Base of everything lingula refuses.

    Args:
        code: stable identifier of the cause, one of the class's ``codes``.
        message: what was wrong, with the offending value.
        hint: what the user can do about it; empty when there is nothing to suggest.
    """

    codes: frozenset[str] = INPUT_CODES | MODEL_CODES | LIBRARY_CODES | FETCH_CODES | SERVER_CODES | NODE_CODES

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        if code not in self.codes:
            raise ValueError(f"{code!r} is not a code of {type(self).__name__}")
        super().__init__(code, message, hint)
        self.code, self.message, self.hint = code, message, hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() + f" [{self.code}]"

    def answer(self, request_id: str | None = None) -> ErrorAnswer:
        """The same as commands print it and routes answer it."""
        return ErrorAnswer(self.code, self.message, self.hint, request_id)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Why something was refused: a stable code, words, a remedy; ``request_id`` names a request in a server's log."""

    code: str
    message: str
    hint: str = ""
    request_id: str | None = None
    disclaimer: str = DISCLAIMER


class InputError(LingulaError):
    """A file, report, archive or argument that cannot be accepted."""

    codes = INPUT_CODES


class ModelError(LingulaError):
    """A checkpoint that is damaged, unsafe, or not the one the answer needs."""

    codes = MODEL_CODES


class LibraryError(LingulaError):
    """A library that is missing, empty, damaged, or lacks the study asked for."""

    codes = LIBRARY_CODES


class FetchError(LingulaError):
    """A download that could not be completed."""

    codes = FETCH_CODES


class ServerError(LingulaError):
    """A request that the web application does not answer."""

    codes = SERVER_CODES


class NodeError(LingulaError):
    """Another system of the network that does not answer, refuses, or has not stored what it received."""

    codes = NODE_CODES


STORAGE_ERRNOS = frozenset(
    [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EIO]
)
"""What the system says of a disk that cannot be written."""


def storage_error(error: OSError, what: str) -> LingulaError:
    """What an error of the system means for something that was to be written: ``disk_full`` or ``storage_unavailable``.

    Args:
        what: what could not be done, in words, with no full stop.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LingulaError("disk_full", f"{what}: no space left.", "Free some space; nothing was lost.")
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    return LingulaError("storage_unavailable", f"{what}: {reason}.", "Check that the folder is there and writable.")


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that travels with a study.

    Attributes:
        code: one of ``WARNING_CODES``.
        message: one sentence for a reader.
    """

    code: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in WARNING_CODES:
            raise ValueError(f"{self.code!r} is not a warning code")
