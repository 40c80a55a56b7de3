"""A report given as plain text: where its sections are."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from lingula.errors import InputError, Notice
from lingula.reading.limits import Limits
from lingula.study import Report, Section, SectionName

_SECTION_OF: dict[str, SectionName | None] = {
    "FINDINGS": "findings",
    "FINDING": "findings",
    "IMPRESSION": "impression",
    "IMPRESSIONS": "impression",
    "CONCLUSION": "impression",
    "CONCLUSIONS": "impression",
    "INDICATION": "indication",
    "INDICATIONS": "indication",
    "HISTORY": "indication",
    "CLINICAL HISTORY": "indication",
    "REASON FOR EXAM": "indication",
    "COMPARISON": "comparison",
    "COMPARISONS": "comparison",
    "TECHNIQUE": None,  # a heading that ends a section and whose own text is not read
    "EXAM": None,
    "EXAMINATION": None,
}
_NAMES = "|".join(sorted(_SECTION_OF, key=len, reverse=True))
_HEADING = re.compile(rf"\b({_NAMES})[ \t]*:", re.IGNORECASE)


def parse_report(text: str, limits: Limits | None = None) -> tuple[Report, tuple[Notice, ...]]:
    """Find the sections of a plain-text report.

    A heading is a section's name and a colon, capitalised or at the start of a line. Text before the first heading, or
    all of a text without one, is findings unless there is a heading for these. Sections are spans of the text as given.

    Returns:
        The report, and the notices text_cut (longer than ``limits.text_characters``) and report_empty.
    """
    limits = limits or Limits()
    notices = []
    if len(text) > limits.text_characters:
        text = text[: limits.text_characters]
        notices.append(Notice("text_cut", f"The report was cut after {limits.text_characters} characters."))
    headings = [found for found in _HEADING.finditer(text) if found[1][0].isupper() or _opens_line(text, found.start())]
    names = [_SECTION_OF[found[1].upper()] for found in headings]
    starts = [found.end() for found in headings]
    ends = [found.start() for found in headings[1:]] + [len(text)]
    spans = list(zip(names, starts, ends, strict=False))
    if "findings" not in names:
        spans.insert(0, ("findings", 0, headings[0].start() if headings else len(text)))
    sections = tuple(
        section
        for name, start, end in spans
        if name is not None and (section := _trimmed(text, name, start, end)) is not None
    )
    if not sections:
        notices.append(Notice("report_empty", "The report has no text."))
    return Report(text, sections), tuple(notices)


def decode_text(data: bytes) -> tuple[str, tuple[Notice, ...]]:
    """Bytes of a text file: UTF-8 or UTF-16 by byte order mark, else UTF-8, else Windows-1252 with bad_charset.

    Raises:
        InputError: not_a_report for binary data.
    """
    notices: tuple[Notice, ...] = ()
    try:
        is_utf16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        notices = (Notice("bad_charset", "The report is not UTF-8; it was read as Windows-1252."),)
    if "\0" in text:
        raise InputError("not_a_report", "binary data where a report should be")
    return text, notices


def _opens_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _trimmed(text: str, name: SectionName, start: int, end: int) -> Section | None:
    body = text[start:end]
    start += len(body) - len(body.lstrip())
    end -= len(body) - len(body.rstrip())
    return Section(name, start, end) if start < end else None
