"""One report of the Open-i collection: an ``eCitation`` XML file, read as untrusted input.

The file is taken whole into a capped buffer and parsed by defusedxml with document type declarations refused: no report
of the collection has one, and without it there are no entities to expand and nothing outside to fetch. Depth is counted
while parsing, so a deep file is refused before it becomes a tree.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors as expat

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file
from lingula.reading.language import in_english
from lingula.reading.limits import Limits
from lingula.reading.typography import plain_text
from lingula.study import SECTIONS, Report

_LIMITS = Limits()
_STUDY_ID = re.compile(r"CXR\d{1,18}")
_IMAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENCODING_ERRORS = {expat.codes[expat.XML_ERROR_UNKNOWN_ENCODING], expat.codes[expat.XML_ERROR_INCORRECT_ENCODING]}


@dataclass(frozen=True, slots=True)
class OpeniReport:
    """A report and what its file says of the study.

    Attributes:
        study_id: ``CXR1000``.
        report: comparison, indication, findings, impression; text as in the file, inline markup dropped.
        terms: ``<MeSH><major>``, the human coding, ``Heading/qualifier/...`` in the file's order; empty when uncoded.
        image_ids: as in the file, each once: ``CXR1000_IM-0003-1001``.
        notices: report_empty, report_language, no_images, bad_image_ref, text_cut.
        digest: SHA-256 of the file's bytes, hex.
    """

    study_id: str
    report: Report
    terms: tuple[str, ...]
    image_ids: tuple[str, ...]
    notices: tuple[Notice, ...]
    digest: str


def read_report(source: Path | bytes, *, limits: Limits = _LIMITS) -> OpeniReport:
    """Read one report from a file or from its bytes.

    Raises:
        InputError: not_found, empty_file, too_large, xml_malformed, xml_encoding, xml_forbidden_dtd, xml_too_deep, or
            not_a_report for another root element or an ``uId`` that is not the collection's.
    """
    data = _buffer(source, limits)
    root = _parse(data, limits.xml_depth)
    if root.tag != "eCitation":
        raise InputError("not_a_report", f"The root element is <{root.tag[:60]}>, an Open-i report has <eCitation>.")
    study_id = _attribute(root.find("uId"))
    if not _STUDY_ID.fullmatch(study_id):
        raise InputError("not_a_report", f"uId is {study_id[:60]!r}, an Open-i report has 'CXR' and a number.")
    report, text_notices = _report(root, limits.text_characters)
    image_ids, image_notices = _image_ids(root)
    terms = (_text(major) for major in root.findall("MeSH/major"))
    return OpeniReport(
        study_id=study_id,
        report=report,
        terms=tuple(term for term in terms if term),
        image_ids=image_ids,
        notices=text_notices + image_notices,
        digest=hashlib.sha256(data).hexdigest(),
    )


def _buffer(source: Path | bytes, limits: Limits) -> bytes:
    if isinstance(source, Path):
        return read_file(source, limits.xml_bytes)
    if not source:
        raise InputError("empty_file", "The report has no bytes.")
    if len(source) > limits.xml_bytes:
        raise InputError("too_large", f"The report has more than {limits.xml_bytes} bytes.")
    return source


class _ShallowBuilder(TreeBuilder):
    """Builds the tree and refuses an element deeper than ``limit`` (the root has depth 1)."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit, self._depth = limit, 0

    def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
        self._depth += 1
        if self._depth > self._limit:
            raise InputError("xml_too_deep", f"Elements are nested more than {self._limit} deep.")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _parse(data: bytes, depth: int) -> Element:
    parser = DefusedXMLParser(target=_ShallowBuilder(depth), forbid_dtd=True)
    try:
        parser.feed(data)
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise InputError("xml_forbidden_dtd", "The report has a document type declaration.") from error
    except ParseError as error:
        code = "xml_encoding" if error.code in _ENCODING_ERRORS else "xml_malformed"
        raise InputError(code, f"Not well-formed XML: {error}.") from error
    except (LookupError, ValueError) as error:  # from the codec the declaration names
        raise InputError("xml_encoding", f"The declared encoding cannot be read: {error}.") from error
    return root


def _report(root: Element, limit: int) -> tuple[Report, tuple[Notice, ...]]:
    """Sections by label, those of one label joined by a line break. Text under another label is kept but not marked;
    text without a label counts as findings. What is not English is kept and not marked either."""
    parts: dict[str, list[str]] = defaultdict(list)
    for part in root.iter("AbstractText"):
        if text := _text(part):
            parts[part.get("Label", "findings").strip().lower()].append(text)
    known = {label: "\n".join(texts) for label, texts in parts.items() if label in SECTIONS}
    report = Report.from_sections(**known)
    for label, texts in parts.items():
        if label not in SECTIONS:
            report = replace(report, text=f"{report.text}\n\n{label.upper()}: ".lstrip() + "\n".join(texts))
    notices = []
    if len(report.text) > limit:
        notices.append(Notice("text_cut", f"Of {len(report.text)} characters those after {limit} are cut."))
        kept = (replace(part, end=min(part.end, limit)) for part in report.sections if part.start < limit)
        report = Report(report.text[:limit], tuple(kept))
    report, read = in_english(report)
    return report, (*notices, *read)


def _image_ids(root: Element) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    named = dict.fromkeys(_attribute(image) for image in root.iter("parentImage"))
    image_ids = tuple(image_id for image_id in named if _IMAGE_ID.fullmatch(image_id))
    notices = [
        Notice("bad_image_ref", f"{image_id[:60]!r} is not an image identifier.")
        for image_id in named
        if image_id not in image_ids
    ]
    if not image_ids:
        notices.append(Notice("no_images", "The report names no images."))
    return image_ids, tuple(notices)


def _attribute(element: Element | None) -> str:
    return "" if element is None else element.get("id", "").strip()


def _text(element: Element) -> str:
    return plain_text("".join(element.itertext())).strip()
