"""A report given as plain text: where its sections are."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence

from lingula.errors import InputError, Notice
from lingula.reading.headings import Part, headings
from lingula.reading.language import in_english
from lingula.reading.limits import Limits
from lingula.reading.report_formats import words_of
from lingula.reading.typography import plain_text
from lingula.study import Report, Section, SectionName

_SECTION_OF: dict[Part, SectionName] = {
    "findings": "findings",
    "addendum": "findings",
    "impression": "impression",
    "preliminary": "impression",
    "indication": "indication",
    "comparison": "comparison",
}
_STATEMENT = re.compile(
    r"\b(?:is|are|was|were|has|have|no|not|without|nor|there|seen|noted|remains?|clear|normal|unremarkable|intact|stable|"
    r"unchanged|interval|new|small|large|mild|mildly|moderate|severe|minimal|trace|tiny|increased|decreased|enlarged|"
    r"improved|worse\w*|left|right|bilateral|negative|positive|acute|prominent|elevated|blunt\w*|status)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\br/?o\b|\b(?:rule out|evaluat\w*|assess\w*|quer[yi]\w*|history|hx|h/o|(?:year|yr)s?[- ]old|y/?o|s/p|presents?|"
    r"presenting|complain\w*|c/o|dear|thank|referr\w+|please|patient|fever|cough|pain|dyspn\w+|sob|shortness)\b|\?[a-z]",
    re.IGNORECASE,
)
_STRETCH = re.compile(r"[^\n.;]+(?:[.;](?!\s)[^\n.;]*)*[.;]?")
_BLANK = re.compile(r"\n[ \t]*+\n")
_LINE = re.compile(r"\n")
_FIRST = re.compile(r"\S|$")
_EDGE = " \t\n*_|"


def parse_report(text: str, limits: Limits | None = None) -> tuple[Report, tuple[Notice, ...]]:
    """Find the sections of a plain-text report.

    RTF, HTML, HL7 and FHIR are read as what they say, and the text is set in plain characters (``plain_text``): the
    report's text is what comes out, and sections are spans of it. Without headings all of a text is findings. Text
    above the first heading is findings where it states something and no heading claims them; what stands under a
    technique, a recommendation or a signature is not read, nor what is not English.

    Returns:
        The report, and the notices text_cut (longer than ``limits.text_characters``), report_language, report_empty.

    Raises:
        InputError: not_a_report for text of a format that is no report.
    """
    limits = limits or Limits()
    notices = []
    text = plain_text(words_of(text))
    if len(text) > limits.text_characters:
        text = text[: limits.text_characters]
        notices.append(Notice("text_cut", f"The report was cut after {limits.text_characters} characters."))
    sections = tuple(part for span in _parts(text) if (part := _trimmed(text, *span)) is not None)
    report, read = in_english(Report(text, sections))
    return report, (*notices, *read)


def decode_text(data: bytes) -> tuple[str, tuple[Notice, ...]]:
    """Bytes of a text file: UTF-8 or UTF-16 by byte order mark or by its zero bytes, else UTF-8, else Windows-1252 with
    bad_charset.

    Raises:
        InputError: not_a_report for binary data.
    """
    notices: tuple[Notice, ...] = ()
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        notices = (Notice("bad_charset", "The report is not UTF-8; it was read as Windows-1252."),)
    if "\0" in text:
        raise InputError("not_a_report", "binary data where a report should be", "Give its text.")
    return text, notices


def _encoding(data: bytes) -> str:
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    zeros = [data[parity : 2000 + parity : 2].count(0) for parity in (0, 1)]
    enough = min(len(data), 2000) // 4
    if enough and min(zeros) == 0 and max(zeros) > enough:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return "utf-8-sig"


def _parts(text: str) -> Iterator[tuple[SectionName, int, int]]:
    """Sections as spans, those that are not read left out."""
    marked = [(each.part, each.start, each.end) for each in headings(text)]
    known = {part for part, _, _ in marked if part != "named"} - {"unread"}
    known |= {part for part, start, end in marked if part == "unread" and end > start}
    if not known:
        yield "findings", 0, len(text)
        return
    final = known & {"findings", "impression", "addendum"}
    first = marked[0][1]
    if "findings" not in known:
        yield from (("findings", *span) for span in _stated(text, 0, first))
    for part, start, end in _joined(marked, len(text)):
        gap = None
        if "findings" not in known and part not in final:
            gap = _LINE.search(text, start, end) if part == "title" else _BLANK.search(text, _first(text, start), end)
        if part in _SECTION_OF and not (part == "preliminary" and final):
            yield _SECTION_OF[part], start, gap.start() if gap else end
        if gap:
            yield from (("findings", *span) for span in _stated(text, gap.end(), end))


def _first(text: str, start: int) -> int:
    """The first character that is no blank, from ``start``."""
    found = _FIRST.search(text, start)
    return found.start() if found else start


def _joined(marked: Sequence[tuple[Part, int, int]], last: int) -> Iterator[tuple[Part, int, int]]:
    """What stands under each heading, (part, start, end); a heading that only names what follows opens no part."""
    current: tuple[Part, int] = ("unread", marked[0][1])
    for part, start, end in marked:
        asserts = current[0] in ("findings", "impression", "addendum")
        if start == end and (asserts or part == "unread"):
            continue
        yield (*current, start)
        current = "findings" if part == "named" else part, end
    yield (*current, last)


def _stated(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of a text without a heading that state what is seen, not why one looks."""
    for stretch in _STRETCH.finditer(text, start, end):
        if _STATEMENT.search(stretch.group()) and not _REASON.search(stretch.group()):
            yield stretch.span()


def _trimmed(text: str, name: SectionName, start: int, end: int) -> Section | None:
    body = text[start:end]
    start += len(body) - len(body.lstrip(_EDGE))
    end -= len(body) - len(body.rstrip(_EDGE))
    return Section(name, start, end) if start < end else None
