"""One small error tree: every refusal has a stable code, a message that names the value, and a remedy.

The codes are the same in Python (``error.code``), on the command line (``--json``) and over HTTP. A *warning* never
stops a study; it travels with it and is shown beside every answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INPUT_CODES = frozenset(
    [
        "empty_file",
        "too_large",
        "not_dicom",
        "truncated",
        "bad_header",
        "nesting_too_deep",
        "decompression_bomb",
        "not_an_image",
        "unsupported_modality",
        "wrong_body_part",
        "unsupported_transfer_syntax",
        "unsupported_photometric",
        "multiframe",
        "image_too_small",
        "pixel_mismatch",
        "decode_failed",
        "decode_timeout",
        "uid_conflict",
        "several_studies",
        "xml_malformed",
        "xml_encoding",
        "xml_forbidden_dtd",
        "xml_too_deep",
        "not_a_report",
        "image_bomb",
        "image_decode_failed",
        "unsupported_format",
        "archive_unsafe_path",
        "archive_unsupported_member",
        "archive_bomb",
        "archive_too_many",
        "archive_bad",
        "not_found",
        "bad_request",
        "report_empty",  # a warning beside a film, a refusal without one
        "not_a_chest_film",
    ]
)
MODEL_CODES = frozenset(["model_checksum_mismatch", "model_bad_file", "model_unsafe_format", "model_mismatch"])
LIBRARY_CODES = frozenset(["index_corrupt", "library_missing", "library_newer", "library_empty", "study_unknown"])
FETCH_CODES = frozenset(["fetch_failed", "fetch_checksum", "disk_full"])
SERVER_CODES = frozenset(
    ["busy", "forbidden", "unauthorized", "case_unknown", "job_unknown", "page_unknown", "method_unknown", "internal"]
)
WARNING_CODES = frozenset(
    [
        "no_part10_header",
        "bad_window",
        "bad_rescale",
        "bad_charset",
        "blank_image",
        "rgb_converted",
        "burned_in_annotation",
        "polyglot_preamble",
        "polarity_suspect",
        "out_of_distribution",
        "not_a_chest_film",
        "unlike_training_films",
        "report_empty",
        "report_language",
        "no_images",
        "bad_image_ref",
        "body_part_absent",
        "view_uncertain",
        "text_cut",
        "judged_by_prediction",
        "no_texts",
        "orientation_corrected",
        "bad_orientation",
        "bad_header",
        "range_adjusted",
        "encoding_repaired",
        "missing_uid",
        "invalid_uid",
        "modality_assumed",
        "body_part_conflict",
        "colour_ignored",
        "first_picture_only",
        "one_study_assumed",
    ]
)


class LingulaError(Exception):
    """Base of everything lingula refuses.

    Args:
        code: stable identifier of the cause, one of the class's ``codes``.
        message: what was wrong, with the offending value.
        hint: what the user can do about it; empty when there is nothing to suggest.
    """

    codes: frozenset[str] = INPUT_CODES | MODEL_CODES | LIBRARY_CODES | FETCH_CODES | SERVER_CODES

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        if code not in self.codes:
            raise ValueError(f"{code!r} is not a code of {type(self).__name__}")
        super().__init__(code, message, hint)
        self.code, self.message, self.hint = code, message, hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() + f" [{self.code}]"

    def to_json(self) -> dict[str, Any]:
        """The body of an error answer."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


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

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}
