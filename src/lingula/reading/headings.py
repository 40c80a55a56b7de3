"""Headings of a report: which words stand above a part of it, and what that part is.

A heading is known by its words and not from a list of whole headings: CLINICAL INFORMATION, REASON FOR THE STUDY and
PERTINENT HISTORY all hold a word that says why the film was taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Part = Literal[
    "indication", "impression", "findings", "addendum", "comparison", "preliminary", "unread", "title", "named"
]
"""What stands under a heading. ``unread`` asserts nothing (technique, recommendation, signature); a ``title`` names the
examination, on its line; ``named`` is headed by what the words below are about ("LUNGS", "Pneumothorax")."""

_WORDS: dict[Part, str] = {  # of a heading with several, the earliest row decides
    "preliminary": "preliminary wet provisional",
    "addendum": "addendum addenda addended",
    "indication": "clinical reason reasons indication indications history hx question complaint complaints symptom "
    "symptoms presenting presentation request requested admitting preoperative preop referral concern",
    "impression": "impression impressions imp conclusion conclusions opinion interpretation interpretations summary "
    "assessment diagnosis diagnoses final",
    "findings": "finding findings observation observations report description narrative result results",
    "comparison": "comparison comparisons compared prior priors previous",
    "unread": "recommendation recommendations recommend advice plan followup follow-up technique "
    "techniques protocol method dictated signed transcribed reported accession patient dob mrn date physician "
    "provider radiologist attending resident ordering location communication notification disclaimer department "
    "facility",
    "title": "procedure procedures exam exams examination examinations study studies projection projections view views",
}
_PART_OF: dict[str, Part] = {word: part for part, words in _WORDS.items() for word in words.split()}
_ORDER = list(_WORDS)
_TITLE_WORDS = (
    "and or of for the to & / by with in on information info data details detail notes note text comment comments "
    "brief relevant pertinent additional other current past present illness medical surgical patient's chest "
    "radiograph radiographs radiographic radiography radiologic radiological radiology xray x-ray x-rays cxr film "
    "films imaging images pa ap lateral portable two one time test read reading chief main key major significant "
    "overall diagnostic electronically number no. name id type electronic initial verified"
)
_NEAR_TITLES = frozenset(_TITLE_WORDS.split())
"""Words that stand in headings and do not tell what they head."""
_CONNECTORS = frozenset(["and", "or", "of", "for", "the", "to", "&", "/", "by", "with", "in", "on"])
_NAMED = re.compile(
    r"\b(?:lungs?|heart|cardi\w*|pleura\w*|mediast\w*|hil(?:a|um|ar)|bones?|bony|osseous|musculo\w*|skelet\w*|ribs?|"
    r"spines?|diaphragm\w*|hemidiaphragm\w*|airways?|trachea\w*|lines?|tubes?|devices?|hardware|soft tissues?|abdomen|"
    r"chest wall|vascul\w*|vessels?|aort\w*|thorax|costophrenic|interstiti\w*|parenchyma\w*|pneumo\w*|effusions?|"
    r"consolidations?|(?:o)?edema|nodul\w*|mass(?:es)?|opacit\w*|atelecta\w*|fractures?|infiltrat\w*|emphysema|"
    r"granulom\w*|hernia|normal|abnormal\w*|left|right|upper|lower|lobes?|apex|apices|bases?|scar\w*)\b",
    re.IGNORECASE,
)

_MARKS = r"[ \t>#*_=~|\[(<\u2022\u25cf\u00b7-]*+(?:(?:\d{1,2}|[ivxIVX]{1,4})[.)][ \t]{1,3})?[*_\[]*+"
_TAIL = r"[ \t]{0,3}[*_\])>]{0,4}"
_MOST_WORDS = 7
_WORD = r"[A-Za-z][A-Za-z'./-]*|&|/"
_PHRASE = rf"(?:{_WORD})(?:[ \t]{{1,3}}(?:{_WORD})){{0,{_MOST_WORDS}}}"
_SEPARATED = re.compile(rf"{_TAIL}(?::[*_]{{0,4}}|[ \t]{{1,3}}--?(?=\s|$))")
_OPENING = re.compile(rf"^{_MARKS}", re.MULTILINE)
_ALONE = re.compile(rf"({_PHRASE}){_TAIL}[ \t]{{0,3}}[:=~#*_-]*+[ \t]*+$", re.MULTILINE)
_CAPITALS = re.compile(rf"((?:[A-Z&/-]{{2,}}[ \t]{{1,3}}){{1,{_MOST_WORDS}}})(?=[A-Z]?[a-z])")
_COLON = re.compile(rf"({_PHRASE}){_TAIL}:[*_]{{0,4}}")
_DASHED = re.compile(rf"({_PHRASE}?){_TAIL}[ \t]{{1,3}}--?(?=\s|$)")
_TOKENS = re.compile(_WORD)
_LIKE = 0.87
"""Similarity (``difflib``) from which a word is taken for a misspelt one: "NDICATION" has 0.95."""


@dataclass(frozen=True, slots=True)
class Heading:
    """``text[start:end]`` is a heading with its marks; what it heads begins at ``end``."""

    part: Part
    start: int
    end: int


def headings(text: str) -> tuple[Heading, ...]:
    """All headings of a text, in its order.

    A heading stands alone on a line; or before a colon or a dash, at the start of a line or capitalised inside one; or
    in capitals at the start of a line whose text is not.
    """
    found: dict[int, Heading] = {}
    for heading in (*_inside(text), *_at_line_starts(text)):
        found.setdefault(heading.end, heading)
    ordered = sorted(found.values(), key=lambda each: (each.start, -each.end))
    kept: list[Heading] = []
    for heading in ordered:
        if not kept or heading.start >= kept[-1].end:
            kept.append(heading)
    return tuple(kept)


def _inside(text: str) -> Iterator[Heading]:
    """Capitalised headings before a colon or dash anywhere in a line."""
    for separator in _SEPARATED.finditer(text):
        line = text.rfind("\n", 0, separator.start()) + 1
        words = _last_words(text, line, separator.start())
        while words and words[0].group().lower() in _CONNECTORS:
            words.pop(0)
        part = _part([word.group() for word in words])
        if part is None or not words[0].group()[0].isupper():
            continue
        if ":" not in separator.group() and not text[words[0].start() : separator.start()].isupper():
            continue
        yield Heading(part, words[0].start(), separator.end())


def _last_words(text: str, line: int, end: int) -> list[re.Match[str]]:
    """The words of headings that run up to ``end``, at most ``_MOST_WORDS``."""
    start = max(line, end - 80)
    words: list[re.Match[str]] = []
    for word in reversed(list(_TOKENS.finditer(text, start, end))):
        gap = text[word.end() : words[0].start() if words else end]
        if len(words) == _MOST_WORDS or gap.strip(" \t*_") or not _known(word.group()):
            break
        words.insert(0, word)
    return words


def _at_line_starts(text: str) -> Iterator[Heading]:
    for opening in _OPENING.finditer(text):
        at, marks = opening.end(), opening.group()
        if (capitals := _CAPITALS.match(text, at)) and (part := _part(capitals[1].split())):
            yield Heading(part, opening.start(), capitals.end())
        if (alone := _ALONE.match(text, at)) and (alone[1][0].isupper() or set("#*") & set(marks)):
            words = alone[1].split()
            sure = alone[1].isupper() or marks.strip()
            if part := _part(words) or (_misspelt(words) if sure and len(words) < 3 else None):
                yield Heading(part, opening.start(), alone.end())
        for pattern in (_COLON, _DASHED):
            if (before := pattern.match(text, at)) and len(words := before[1].split()) <= _MOST_WORDS:
                if part := _part(words) or _misspelt(words):
                    yield Heading(part, opening.start(), before.end())
                elif pattern is _COLON and (words[0].isupper() or _NAMED.search(before[1])):
                    yield Heading("named" if _NAMED.search(before[1]) else "unread", opening.start(), opening.start())


def _known(word: str) -> bool:
    return (
        word.lower() in _PART_OF
        or word.lower() in _NEAR_TITLES
        or all(part in _PART_OF or part in _NEAR_TITLES for part in re.split(r"[/&-]", word.lower()))
    )


def _part(words: list[str]) -> Part | None:
    """What a heading of these words heads; None where one of them is no word of headings, or none tells."""
    if not 1 <= len(words) <= _MOST_WORDS or not all(_known(word) for word in words):
        return None
    parts = {_PART_OF[piece] for word in words for piece in _pieces(word) if piece in _PART_OF}
    return min(parts, key=_ORDER.index, default=None)


def _pieces(word: str) -> list[str]:
    return [word.lower(), *re.split(r"[/&-]", word.lower())]


def _misspelt(words: list[str]) -> Part | None:
    for word in words:
        if len(word) > 5 and not _NAMED.search(word) and (near := get_close_matches(word.lower(), _PART_OF, 1, _LIKE)):
            return _PART_OF[near[0]]
    return None
