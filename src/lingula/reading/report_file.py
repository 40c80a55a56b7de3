"""A report of any form to a ``Study`` without films: what a reading child does with one."""

from __future__ import annotations

from pathlib import Path

from lingula.errors import Notice
from lingula.reading.bounded_io import read_file, read_head
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.limits import Limits
from lingula.reading.report_text import decode_text, parse_report
from lingula.study import Report, Study, unique_notices


def report_study(source: Path | bytes | str, limits: Limits) -> Study:
    """A study with nothing but what a report says, read in this process.

    Raises:
        InputError: why it cannot be accepted.
    """
    return _from_text(source, limits) if isinstance(source, str) else _read_report(source, limits)


def _read_report(path: Path | bytes, limits: Limits) -> Study:
    """A study with nothing but what a report file says."""
    if isinstance(path, bytes):
        return _from_text(decode_text(path)[0], limits)
    if sniff(read_head(path, HEAD), path.name) == "xml":
        from lingula.reading.report_openi import read_report  # pulls in the XML parser, which images do without

        found = read_report(path, limits=limits)
        return Study(found.study_id, (), found.report, found.terms or None, found.notices)
    decoded, notices = decode_text(read_file(path, limits.xml_bytes))
    study = _from_text(decoded, limits)
    return Study("", (), study.report, None, unique_notices([*notices, *study.notices]))


def _from_text(text: str, limits: Limits) -> Study:
    found: tuple[Report, tuple[Notice, ...]] = parse_report(text, limits)
    return Study("", (), found[0], None, found[1])
