"""The text of a DICOM document: a structured report (PS3.3 A.35) or encapsulated text (A.45)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from lingula.errors import InputError
from lingula.reading.dicom.elements import element, text
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.dicom.reader import parse_envelope
from lingula.reading.limits import Limits

OWN = "lingula"
"""Manufacturer of documents that are results of this software: they are no reports of a radiologist."""


def document_text(data: bytes, limits: Limits) -> str:
    """What a document says, a line an item, under the names that its concepts have.

    Raises:
        InputError: not_a_report for another object, a PDF, or a result of ours; any code of ``open_part10``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = parse_envelope(open_part10(data, limits))
            if text(dataset, "Manufacturer") == OWN:
                raise InputError("not_a_report", "a result of this software, no report.")
            if "ContentSequence" in dataset:
                found = "\n".join(_lines(dataset, limits.sequence_depth))
            else:
                found = _encapsulated(dataset)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # pydicom raises whatever a damaged value makes it raise
            raise InputError("bad_header", f"unreadable document ({type(error).__name__})") from error
    if not found.strip():
        raise InputError("not_a_report", "a DICOM object without text.")
    return found


def _lines(dataset: Dataset, depth: int) -> Iterator[str]:
    for item in element(dataset, "ContentSequence", default=()) or ():
        kind, name = text(item, "ValueType"), _meaning(item, "ConceptNameCodeSequence")
        if kind == "CONTAINER" and name:
            yield f"{name}:"
        elif kind == "TEXT":
            yield f"{name}: {text(item, 'TextValue')}" if name else text(item, "TextValue")
        elif kind == "CODE" and text(item, "RelationshipType") == "CONTAINS":
            yield f"{name}: {_meaning(item, 'ConceptCodeSequence')}"
        if depth > 0:
            yield from _lines(item, depth - 1)


def _meaning(item: Dataset, keyword: str) -> str:
    codes: Any = element(item, keyword) or ()
    return text(codes[0], "CodeMeaning") if len(codes) else ""


def _encapsulated(dataset: Dataset) -> str:
    kind = text(dataset, "MIMETypeOfEncapsulatedDocument").lower()
    if not kind.startswith("text/"):
        raise InputError("not_a_report", f"a DICOM object that is no text ({kind or 'no document'}).")
    value = element(dataset, "EncapsulatedDocument", default=b"")
    return bytes(value).rstrip(b"\0").decode("utf-8", "replace")
