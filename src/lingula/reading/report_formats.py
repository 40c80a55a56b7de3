"""Reports that come wrapped in another format: RTF, HTML, HL7 version 2 and FHIR to the words they carry."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from lingula.errors import InputError
from lingula.reading.rtf import text_of_rtf

GIVE_TEXT = "Give the report's text in a .txt file, or with --text."
_REFUSED = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a packed file or an office document",
    b"\xd0\xcf\x11\xe0": "a Word document of the old kind",
    b"%!PS": "a PostScript document",
    b"\x1f\x8b": "a packed file",
}
_HTML = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|div|p|br|table|span|b|h[1-6]|pre|ul|ol)\b", re.I
)
_JSON = re.compile(r'\s*(?:\{\s*"|\[\s*\{)')
_HL7_SEGMENT = re.compile(r"^\x0b?(?:MSH|FHS|BHS|OBX|OBR|NTE|PID)\|", re.MULTILINE)
_TABLE_ROWS = 3


def refuse_document(head: bytes, name: str = "") -> None:
    """Refuse by name a document whose words are not in its bytes, and a table by the name of its file.

    Raises:
        InputError: not_a_report for PDF, Word, PostScript, packed files and tables.
    """
    if name.lower().endswith((".csv", ".tsv")):
        raise InputError("not_a_report", "a table, not one report.", GIVE_TEXT)
    for mark, name in _REFUSED.items():
        if head.lstrip(b"\r\n\t \xef\xbb\xbf").startswith(mark):
            raise InputError("not_a_report", f"{name}, whose text is not read.", GIVE_TEXT)


def is_html(text: str) -> bool:
    """Whether a text opens as an HTML page or a piece of one does."""
    return _HTML.match(text[:2000]) is not None


def words_of(text: str) -> str:
    """The words of a report that was given as RTF, HTML, HL7 version 2 or FHIR; any other text as it is.

    Raises:
        InputError: not_a_report for JSON or HL7 that holds no report text, several reports, or one entered in error,
            and for a table.
    """
    if text.lstrip().startswith("{\\rtf"):
        return text_of_rtf(text.lstrip())
    if text.lstrip().startswith(("%PDF", "%!PS")):
        refuse_document(text.lstrip()[:8].encode("ascii", "replace"))
    if is_html(text):
        return text_of_html(text)
    if _JSON.match(text[:200]):
        return _text_of_fhir(text)
    if _HL7_SEGMENT.search(text.replace("\r", "\n")[:2000]):
        return _text_of_hl7(text)
    if _is_table(text):
        raise InputError("not_a_report", "a table, not one report.", GIVE_TEXT)
    return text.replace("\\.br\\", "\n")


def _is_table(text: str) -> bool:
    """Whether the first lines are rows of a table: the same number, two or more, of tabs, semicolons or commas without
    a space behind. Rows of two cells are a finding and what is said of it."""
    rows = [line for line in text.splitlines()[:20] if line.strip()][:_TABLE_ROWS]
    if len(rows) < _TABLE_ROWS:
        return False
    for separator in (r"\t", r";(?!\s)", r",(?!\s)"):
        counts = {len(re.findall(separator, re.sub(r'"[^"]*"', "", row))) for row in rows}
        if len(counts) == 1 and counts.pop() >= 2:
            return True
    return False


class _Words(HTMLParser):
    """Text of a page: blocks on lines of their own, the cells of a row as "first: second, third"."""

    _SILENT = frozenset(("script", "style", "head", "title", "template", "noscript"))
    _BLOCKS = re.compile("p|div|br|li|[uo]l|tr|table|h[1-6]|pre|section|article|d[td]|hr")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = self._cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SILENT:
            self._silent += 1
        elif tag == "body":
            self._silent = 0
        elif self._BLOCKS.fullmatch(tag):
            self._cells = 0
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self._cells += 1
            if self._cells > 1:
                self.parts.append(": " if self._cells == 2 else ", ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SILENT:
            self._silent = max(self._silent - 1, 0)
        elif self._BLOCKS.fullmatch(tag):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data if data.strip() or not self._cells else " ")


def text_of_html(text: str) -> str:
    """The text of an HTML page; scripts, styles and its head left out, nothing fetched."""
    page = _Words()
    page.feed(text)
    page.close()
    lines = (re.sub(r"\s+", " ", line).strip() for line in re.sub(r":\s*:", ":", "".join(page.parts)).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _text_of_fhir(text: str) -> str:
    """The words of the one DiagnosticReport in a FHIR resource: its forms that are text, else narrative; conclusion."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("not_a_report", "JSON that cannot be read.", GIVE_TEXT) from error
    reports = list(_diagnostic_reports(body))
    if len(reports) != 1:
        found = f"{len(reports)} DiagnosticReports" if reports else "no FHIR DiagnosticReport"
        raise InputError("not_a_report", f"JSON with {found}.", "Give one DiagnosticReport, or the report's text.")
    (report,) = reports
    if report.get("status") in ("entered-in-error", "cancelled"):
        raise InputError("not_a_report", f"a DiagnosticReport whose status is {report['status']}.", GIVE_TEXT)
    forms = list(filter(None, (_form(each) for each in _dicts(report.get("presentedForm")))))
    conclusion = _string(report.get("conclusion"))
    codes = [_string(each.get("text")) for each in _dicts(report.get("conclusionCode"))]
    narrative = report.get("text")
    said = forms[:1] or ([text_of_html(_string(narrative.get("div")))] if isinstance(narrative, dict) else [])
    closing = conclusion or ". ".join(filter(None, codes))
    if closing and closing not in "\n".join(said):
        said.append(closing if re.match(r"\s*impression", closing, re.I) else f"IMPRESSION: {closing}")
    if not any(part.strip() for part in said):
        raise InputError("not_a_report", "a DiagnosticReport without text (a PDF inside is not read).", GIVE_TEXT)
    return "\n\n".join(said)


def _diagnostic_reports(body: Any) -> Iterator[dict[str, Any]]:
    for resource in _dicts(body) if isinstance(body, list) else [body]:
        if not isinstance(resource, dict):
            continue
        if resource.get("resourceType") == "DiagnosticReport":
            yield resource
        elif resource.get("resourceType") == "Bundle":
            for entry in _dicts(resource.get("entry")):
                inner = entry.get("resource")
                if isinstance(inner, dict) and inner.get("resourceType") == "DiagnosticReport":
                    yield inner


def _form(form: dict[str, Any]) -> str:
    """The words of one Attachment, empty when it holds none that are read."""
    kind = _string(form.get("contentType")).lower()
    if kind and not re.search("text|rtf|html|xml", kind):
        return ""
    return _decoded(_string(form.get("data")))


def _decoded(data: str) -> str:
    """Words in base64, RTF or HTML inside read; empty for what is no text."""
    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
        words = raw.decode("utf-8-sig")
    except (binascii.Error, ValueError):
        return ""
    if words.lstrip().startswith("{\\rtf"):
        return text_of_rtf(words.lstrip())
    return text_of_html(words) if is_html(words) else "" if words.startswith("%PDF") else words


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


_ESCAPES = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\", "H": "", "N": ""}
_OBX_PARTS = {
    "IMP": "IMPRESSION", "IMPRESSION": "IMPRESSION", "CONCLUSION": "IMPRESSION", "GDT": "FINDINGS", "BODY": "FINDINGS",
    "FINDINGS": "FINDINGS", "REC": "RECOMMENDATION", "RECOMMENDATION": "RECOMMENDATION", "ADT": "ADDENDUM",
    "ADDENDUM": "ADDENDUM", "IND": "INDICATION", "INDICATION": "INDICATION", "HISTORY": "INDICATION",
    "TEC": "TECHNIQUE", "TECHNIQUE": "TECHNIQUE", "COMPARISON": "COMPARISON",
}  # fmt: skip
"""Parts of a report as OBX-3 names them: suffixes of HL7 version 2 (``71020&IMP``) and plain words."""


def _text_of_hl7(text: str) -> str:
    """The report in the OBX segments of one message; what OBX-3 says of the part becomes a heading."""
    segments = [line.lstrip("\x0b") for line in re.split(r"[\r\n]+(?=[A-Z][A-Z0-9]{2}\|)|\x1c", text)]
    if sum(segment.startswith("MSH") for segment in segments) > 1:
        raise InputError("not_a_report", "several HL7 messages.", "Give one report.")
    lines, heading = [], ""
    for fields in (segment.strip("\r\n").split("|") for segment in segments):
        if fields[0] != "OBX" or len(fields) < 6 or (len(fields) > 11 and fields[11] in ("D", "W", "X")):
            continue
        if fields[2] not in ("", "TX", "FT", "ST", "CE", "CWE", "ED"):
            continue
        part = next((_OBX_PARTS[w] for w in re.split(r"[&^]", fields[3].upper()) if w in _OBX_PARTS), heading)
        if part != heading:
            lines.append(f"{part}:")
            heading = part
        lines.append(_observation(fields[2], fields[5]))
    if not any(line.strip() for line in lines):
        raise InputError("not_a_report", "an HL7 message without report text (OBX-5).", GIVE_TEXT)
    return "\n".join(lines)


def _observation(kind: str, value: str) -> str:
    """OBX-5 as text: repetitions on lines of their own, escapes resolved, text in base64 decoded."""
    if kind == "ED":
        return _decoded(value.split("^")[-1])
    if kind in ("CE", "CWE"):
        value = value.split("^")[1] if value.count("^") else value
    return "\n".join(html.unescape(_unescaped(part)) for part in value.split("~"))


def _unescaped(value: str) -> str:
    def plain(escape: re.Match[str]) -> str:
        name = escape[1]
        if name in _ESCAPES:
            return _ESCAPES[name]
        if name.startswith("X") and re.fullmatch(r"X(?:[0-9A-Fa-f]{2}){1,40}", name):
            return bytes.fromhex(name[1:]).decode("utf-8", "replace")
        return "\n" if name.startswith((".br", ".sp", ".ce", ".in")) else ""

    return re.sub(r"\\([^\\\s]{1,80})\\", plain, value)
