"""A report of any form to a ``Study`` without films: what a reading child does with one."""

from __future__ import annotations

from pathlib import Path

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file, read_head
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.limits import Limits
from lingula.reading.report_formats import refuse_document
from lingula.reading.report_text import decode_text, parse_report
from lingula.study import Report, Study, unique_notices


def report_study(source: Path | bytes | str, limits: Limits) -> Study:
    """A study with nothing but what a report says, read in this process; its id is empty where the report gives none.

    Raises:
        InputError: as ``report_openi.read_report`` for XML; not_a_report for other documents and binary data;
            not_found, empty_file, too_large.
    """
    return _from_text(source, limits) if isinstance(source, str) else _read_report(source, limits)


def _read_report(source: Path | bytes, limits: Limits) -> Study:
    head = read_head(source, HEAD) if isinstance(source, Path) else source[:HEAD]
    name = source.name if isinstance(source, Path) else ""
    if sniff(head, name) == "xml":
        from lingula.reading import report_openi  # pulls in the XML parser, which images do without

        found = report_openi.read_report(source, limits=limits)
        return Study(found.study_id, (), found.report, found.terms or None, found.notices)
    if sniff(head, name) == "dicom":
        from lingula.reading.dicom.document import document_text  # pulls in pydicom

        said = document_text(read_file(source, limits.xml_bytes) if isinstance(source, Path) else source, limits)
        return _from_text(said, limits)
    refuse_document(head, name)
    data = read_file(source, limits.xml_bytes) if isinstance(source, Path) else source
    if len(data) > limits.xml_bytes:
        raise InputError("too_large", f"The report has more than {limits.xml_bytes} bytes.")
    if not data:
        raise InputError("empty_file", "The report has no bytes.")
    decoded, notices = decode_text(data)
    study = _from_text(decoded, limits)
    return Study("", (), study.report, None, unique_notices([*notices, *study.notices]))


def _from_text(text: str, limits: Limits) -> Study:
    found: tuple[Report, tuple[Notice, ...]] = parse_report(text, limits)
    return Study("", (), found[0], None, found[1])
