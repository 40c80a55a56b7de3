"""Names, numbers, dates and addresses in words: those a header names, and those that a text gives away by its form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import permutations

from lingula.study import Report, Section

MASK = "XXXX"
"""As in the published collection; "removed" would be read of a finding before it."""
_LEAST = 3
"""Letters of a name below which it is not looked for by itself: it would be found within ordinary words."""
_LEAST_DIGITS = 4
"""Digits of a number below which it is not looked for in prose: it would be a size or a count."""
_TOKENS = 5
"""Most words of one name, with initials and degrees."""
_EDGE = r"[ \t]*[,^]?[ \t]*"
_TOKEN = re.compile(r"[^\W\d_][\w'’-]*\.?")
_DEGREE = re.compile(r"(?:M\.?D|D\.?O|Ph\.?D|R\.?N|RT|NP|FRCR|MBBS|Jr|Sr|I{2,3})\.?")
_PLACEHOLDER = re.compile(r"x{3,}", re.IGNORECASE)
_TITLE = re.compile(
    r"(?<!\w)(?:(?P<sure>(?:[Dd]r|[Dd]octor|[Mm]rs|Mr|Ms|Miss|Prof|Professor)\b\.?|(?:DR|MR|MRS|MS|PROF)\.)|"
    r"(?:DR|MR|MRS|MS|MISS|DOCTOR|[Nn]urse|NURSE)\b)[ \t]*"
)
_DONE = (
    r"signed|dictated|reported|transcribed|typed|verified|approved|authenticated|attested|interpreted|reviewed|"
    r"finali[sz]ed|read|performed|requested|ordered|referred|edited|prepared|authori[sz]ed|electronically signed"
)
_TOLD = re.compile(
    rf"\b(?:(?:{_DONE})(?:[ \t]+and[ \t]+\w+)?(?:[ \t]+(?:off|electronically))?[ \t]*(?:by|:)[ \t]*:?|"
    r"(?:discussed|communicated|shared|spoke|spoken)[ \t]+with|"
    r"(?:called|conveyed|communicated|relayed|faxed|telephoned|phoned)[ \t]+to|"
    r"(?:patient|radiologist|physician|consultant|attending|resident|technologist|doctor|referrer|author|cc|copy to|gp)"
    r"(?:'s)?(?:[ \t]+name)?[ \t]*:)[ \t]*",
    re.IGNORECASE,
)
_CALLED = r"[A-Z][A-Za-zÀ-ÿ'’-]+"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NUMBER = r"[A-Z0-9/-]*\d[A-Z0-9/-]*"
_NO = r"(?:no|number|num)\b\.?"
_FORMS = tuple(
    re.compile(form, flags)
    for form, flags in (
        (rf"\b{_CALLED},?\s+(?:[A-Z]\.\s+)?{_CALLED}(?:\s+[A-Z]\.)?,?\s+(?:M\.?D|D\.?O|Ph\.?D|R\.?N)\b\.?", 0),
        (r"(?<=\bname: )[^\n.;]+|(?<=\baddress: )[^\n;]+", re.IGNORECASE),
        (rf"\b(?:MRN|SSN|DOB|NHS|NPI|accession|patient id|pt id|pager|bleep|fax)\b\s*(?:{_NO}|#)?\s*[:#]?\s*{_NUMBER}",
         re.IGNORECASE),
        (rf"\b(?:id|acc|record|case|order|exam|study|visit|account|hospital|room|bed|tel|telephone|phone)\b\.?\s*"
         rf"(?:{_NO}\s*[:#]?|[:#])\s*{_NUMBER}|\b(?:id|acc|record|ext|extension)\b\.?\s*[A-Z]*-?\d{{3,}}\b",
         re.IGNORECASE),
        (rf"\b{_DAY}[ .-]+(?:of )?{_MONTH},?[ .-]*(?:\d{{4}}\b|(?<=-)\d\d\b)|\b{_MONTH} *{_DAY},? +\d{{4}}\b|"
         rf"\b(?!may\b){_MONTH},? +(?:19|20)\d\d\b|\bmay (?:19|20)\d\d\b", re.IGNORECASE),
        (r"\b(?:0?[1-9]|1[0-2])/(?:19|20)\d\d\b|"
         r"(?<=\bdated )\d{1,2}/\d{1,2}\b|(?<=\bon )(?:0?[1-9]|1[0-2])/\d{1,2}\b(?![/\d]|\.\d)", re.IGNORECASE),
        (r"\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b|\+\d[\d ().-]{7,}\d|"
         r"\b\d{3}-\d{4}\b|\b0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}\b", 0),
        (r"\b\d{3}-\d{2}-\d{4}\b|\b[A-Z]{2} +\d{5}(?:-\d{4})?\b", 0),
        (r"\b[\w.+-]+@[\w-]+\.[\w.]+\b|https?://\S+|\bwww\.\S+", 0),
        (r"\b\d{1,5}\s+[A-Z][a-z]+(?:\s[A-Z][a-z]+)?\s+"
         r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd)\b\.?", 0),
        (r"\b\d+(?:\.\d+){5,}\b|\b[A-Z]{0,4}-?\d{6,}[A-Z]?\b|\b[A-Z]{1,4}-?\d{5,}\b", 0),
        (r"\b(?:9\d|1[01]\d)(?=[ -]?(?:years?|yrs?|y/?o|y\.o)\b)", re.IGNORECASE),
    )
)  # fmt: skip
_DATE = re.compile(
    r"(?<![\d./-])(?:(\d{1,2})([/.-])(\d{1,2})\2(?:\d{4}|\d\d)|(?:19|20)\d\d([/.-])(\d{1,2})\4(\d{1,2}))(?!\d|[/.-]\d)"
)
_COUNTED = re.compile(r"\b(?:ribs?|levels?|segments?|grades?|[cCtTlL])[ \t]*$")

Span = tuple[int, int]


class Names:
    """What a header says of a person, to be found in words.

    In prose, a name that is also a word of reports ("Small", "Hill") is found next to another name of its person or
    where it is capitalised within a sentence; numbers have four digits at least.

    Args:
        values: names (``Doe^Jane``), numbers, places, as the header has them.
    """

    def __init__(self, values: Iterable[str]) -> None:
        wholes: set[str] = set()
        parts: set[str] = set()
        joined: set[str] = set()
        for value in values:
            whole = value.strip()
            named = [part for part in re.split(r"[\^=,\\\s]+", whole) if part]
            wholes |= {whole, whole.replace("^", " ").strip()}
            parts |= {
                *named,
                *(piece for part in named for piece in part.split("-") if "-" in part and part[0].isalpha()),
            }
            if 2 <= len(named) <= 4 and not any(character.isdigit() for character in whole):
                joined |= {_EDGE.join(map(_letters, pair)) for pair in permutations(named, 2) if len("".join(pair)) > 3}
        every = {each for each in wholes | parts if len(each) >= _LEAST and not each.isspace()}
        common = {each for each in every if each.casefold() in report_words()}
        prose = {each for each in every - common if not each.isdecimal() or len(each) >= _LEAST_DIGITS}
        self._strict = _any_of(map(_letters, every))
        self._prose = _any_of([*map(_letters, prose), *joined])
        self._capital = _any_of((_letters(each.capitalize()) for each in common if each in parts), case=True)

    def spans(self, text: str, *, forms: bool = True) -> list[Span]:
        """Where a text names somebody, in order, none touching another; what is masked already is left out.

        Args:
            forms: for prose, not for codes: also what looks like a person, a number, a date or an address.
        """
        listed = [] if (named := self._prose if forms else self._strict) is None else _matches(named, text)
        if forms:
            listed += _formal(text)
            if self._capital:
                listed += [span for span in _matches(self._capital, text) if _is_within_sentence(text, span)]
        joined: list[Span] = []
        for start, end in sorted(_trimmed(text, span) for span in listed):
            if start >= end:
                continue
            if joined and not text[joined[-1][1] : start].strip(" ,^"):
                joined[-1] = joined[-1][0], max(end, joined[-1][1])
            else:
                joined.append((start, end))
        return [(start, end) for start, end in joined if text[start:end].replace(MASK, "").strip(" ,.")]

    def cleaned(self, text: str, *, forms: bool = True) -> tuple[str, int]:
        """The text with a mask for each, and how many there were; ``forms`` as in ``spans``."""
        spans = self.spans(text, forms=forms)
        return _masked(text, spans), len(spans)

    def clean_report(self, report: Report) -> tuple[Report, int]:
        """The report with a mask for each, its sections where they stand now, and how many masks there are."""
        spans = self.spans(report.text)
        return masked_report(report, spans), len(spans)


def masked_report(report: Report, spans: Sequence[Span]) -> Report:
    """The report with a mask for each span, its sections where they stand then."""
    if not spans:
        return report
    sections = tuple(Section(part.name, moved(spans, part.start), moved(spans, part.end)) for part in report.sections)
    return Report(_masked(report.text, spans), sections)


def moved(spans: Iterable[Span], position: int) -> int:
    """Where a position of a text lies once the spans are masked; within a span: at the mask's end."""
    shift = 0
    for start, end in spans:
        if start >= position:
            break
        shift += len(MASK) - (min(end, position) - start)
    return position + shift


@cache
def report_words() -> frozenset[str]:
    """Words that reports use of films, in lower case: no names, though somebody may be called so."""
    return frozenset(files("lingula.labels").joinpath("report_words.txt").read_text("utf-8").split())


def _masked(text: str, spans: Iterable[Span]) -> str:
    parts, last = [], 0
    for start, end in spans:
        parts += [text[last:start], MASK]
        last = end
    return "".join([*parts, text[last:]])


def _letters(name: str) -> str:
    """A pattern of a name, with and without its diacritics."""
    found = []
    for letter in name:
        plain = unicodedata.normalize("NFD", letter)[0]
        other = {"ß": "ss", "ø": "o", "æ": "ae", "å": "aa"}.get(letter.lower(), plain + "e")
        found.append(re.escape(letter) if letter.isascii() else f"(?:{re.escape(letter)}|{plain}|{other})")
    return "".join(found)


def _any_of(patterns: Iterable[str], *, case: bool = False) -> re.Pattern[str] | None:
    listed = sorted(set(patterns), key=lambda each: (-len(each), each))
    return re.compile(rf"(?<!\w)(?:{'|'.join(listed)})(?!\w)", 0 if case else re.IGNORECASE) if listed else None


def _matches(pattern: re.Pattern[str], text: str) -> list[Span]:
    return [found.span() for found in pattern.finditer(text)]


def _trimmed(text: str, span: Span) -> Span:
    start, end = span
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip(" \t\n,;:")))


def _is_within_sentence(text: str, span: Span) -> bool:
    """Whether a capital stands where a sentence does not begin, in a text that is not all capitals."""
    before = text[: span[0]].rstrip(" \t")
    return bool(before) and before[-1] not in ".:;!?\n-*•" and before.split("\n")[-1] != before.split("\n")[-1].upper()


def _formal(text: str) -> list[Span]:
    """Persons, numbers, dates and addresses by their form."""
    listed = [found.span() for form in _FORMS for found in form.finditer(text)]
    listed += [found.span() for found in _DATE.finditer(text) if _is_date(found, text)]
    for found in _TITLE.finditer(text):
        if (end := _name_end(text, found.end(), is_sure=bool(found["sure"]), capital=True)) > found.end():
            listed.append((found.start(), end))
    for found in _TOLD.finditer(text):
        if (end := _name_end(text, found.end(), is_sure=False, capital=False)) > found.end():
            listed.append((found.end(), end))
    return listed


def _is_date(found: re.Match[str], text: str) -> bool:
    low, high = sorted(int(part) for part in (found[1] or found[5], found[3] or found[6]))
    return 1 <= low <= 12 and high <= 31 and not _COUNTED.search(text, max(0, found.start() - 12), found.start())


def _name_end(text: str, start: int, *, is_sure: bool, capital: bool) -> int:
    """Where a name that begins at ``start`` ends; ``start`` where none does.

    Args:
        is_sure: what stands before is followed by a name, even by one that is a word of reports.
        capital: its words have capitals.
    """
    end, is_named = start, False
    for number, word in enumerate(_words_from(text, start)):
        told = word.group().rstrip(".")
        is_small = (len(told) == 1 and told.isupper()) or _DEGREE.fullmatch(told) is not None
        is_plain = told.casefold() in report_words() and not (
            (is_sure and number == 0) or (is_named and told.istitle() and text[word.end() : word.end() + 1] != ":")
        )
        is_name = not (is_small or is_plain or _PLACEHOLDER.match(told)) and (told[0].isupper() or not capital)
        if not (is_small or is_name):
            break
        is_named |= is_name
        end = word.end() if is_small else word.start() + len(told)
        if is_name and word.group().endswith("."):
            break
    return end if is_named else start


def _words_from(text: str, start: int) -> Iterator[re.Match[str]]:
    """The words that follow each other from ``start``, with nothing but blanks and commas between."""
    gap = re.compile(_EDGE)
    for _ in range(_TOKENS):
        found = _TOKEN.match(text, start)
        if found is None:
            return
        yield found
        between = gap.match(text, found.end())
        start = between.end() if between else found.end()


BY_FORM = Names(())
"""For words whose header nobody has: names, numbers and dates by their form alone."""
