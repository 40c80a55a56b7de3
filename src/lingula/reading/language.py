"""What of a report is English, and whether it says anything about a chest.

The reader of assertions knows English denials alone: in "Kein Pneumothorax" it would find a pneumothorax. So a sentence
in another language is left out, and said to be. All words are data in ``languages.json``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

from lingula.errors import Notice
from lingula.labels.assertions import read_assertions
from lingula.labels.languages import foreign_words, is_foreign
from lingula.study import Report, Section

_SENTENCE = re.compile(r"[^.;\n]+(?:[.](?=\w)[^.;\n]*)*[.;]*")
_WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")
_ASSERT = ("findings", "impression")
_SHOWN = 60
_OTHER_SCRIPT = 0.3
"""Share of letters that are not Latin from which a sentence is in another script."""


@dataclass(frozen=True, slots=True)
class _Words:
    english: frozenset[str]
    denies: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]
    chest: re.Pattern[str]


class _Sentence(NamedTuple):
    start: int
    end: int
    words: list[str]
    languages: Counter[str]
    english: int
    denies: bool

    @property
    def foreign(self) -> int:
        return max(self.languages.values(), default=0)


def in_english(report: Report) -> tuple[Report, tuple[Notice, ...]]:
    """The report without the sentences of its sections that are in another language, and without findings or impression
    that name nothing of a chest ("Report to follow.").

    Returns:
        The same text with the sections that may be read; report_language, and report_empty where none is left.
    """
    sentences = [_judged(report.text, *span) for part in report.sections for span in _spans(report.text, part)]
    languages = sum((each.languages for each in sentences), Counter[str]())
    hits = sum(each.foreign for each in sentences)
    mostly = hits > sum(each.english for each in sentences)
    known = hits > 1 or any(each.denies for each in sentences)
    foreign = [each for each in sentences if known and _is_foreign(each, mostly)]
    notices = []
    if foreign:
        language = languages.most_common(1)[0][0]
        shown = report.text[foreign[0].start : foreign[0].end].strip()
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
        notices.append(Notice("report_language", f"Read as English; {language} was not understood: {shown!r}."))
        report = replace(report, sections=tuple(_without(report, foreign)))
    report = replace(report, sections=_telling(report))
    if report.is_empty:
        notices.append(Notice("report_empty", "Nothing in the report was read: it has no text that tells of a chest."))
    return report, tuple(notices)


def _is_foreign(sentence: _Sentence, mostly: bool) -> bool:
    if sentence.denies or sentence.foreign > sentence.english:
        return True
    return mostly and bool(sentence.words) and sentence.english <= sentence.foreign


def _telling(report: Report) -> tuple[Section, ...]:
    """The sections; without findings and impression where these name nothing of a chest, and without the others where
    these then stand alone and hold no word."""
    asserting = [part for part in report.sections if part.name in _ASSERT]
    others = [part for part in report.sections if part.name not in _ASSERT]
    if any(_load().chest.search(report.text, part.start, part.end) for part in asserting):
        return report.sections
    if asserting and read_assertions(replace(report, sections=tuple(asserting))):
        return report.sections
    words = (word for part in others for word in _WORD.findall(report.text[part.start : part.end]))
    return tuple(others) if any(len(word) > 1 and set(word.lower()) != {"x"} for word in words) else ()


def _without(report: Report, foreign: list[_Sentence]) -> Iterator[Section]:
    """Sections, cut where a foreign sentence stands."""
    for part in report.sections:
        start = part.start
        for each in foreign:
            if part.start <= each.start and each.end <= part.end:
                yield from _stripped(report.text, part, start, each.start)
                start = each.end
        yield from _stripped(report.text, part, start, part.end)


def _stripped(text: str, part: Section, start: int, end: int) -> Iterator[Section]:
    body = text[start:end]
    start, end = start + len(body) - len(body.lstrip()), end - len(body) + len(body.rstrip())
    if start < end:
        yield replace(part, start=start, end=end)


def _spans(text: str, part: Section) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SENTENCE.finditer(text, part.start, part.end))


def _judged(text: str, start: int, end: int) -> _Sentence:
    """A sentence with how many of its words are English, and how many of each other language."""
    table, sentence = _load(), text[start:end]
    words = [_folded(word) for word in _WORD.findall(sentence)]
    pairs = [f"{one}_{other}" for one, other in pairwise(words)]
    languages: Counter[str] = Counter(name for word in (*words, *pairs) for name in table.words.get(word, ()))
    denied = [name for word in (*words, *pairs) for name in table.denies.get(word, ())]
    languages.update(denied)
    if script := _script(sentence):
        languages[script] += len(words) or 1
    elsewhere = foreign_words(sentence) if is_foreign(sentence) else None
    if elsewhere and not languages:
        languages[elsewhere.name] += len(elsewhere.words)
    english = sum(word in table.english for word in words)
    return _Sentence(start, end, words, languages, english, bool(denied or script or elsewhere))


def _folded(word: str) -> str:
    """Lower case without accents."""
    plain = unicodedata.normalize("NFKD", word.lower().replace("\u0142", "l").replace("\u00f8", "o"))
    return "".join(char for char in plain if not unicodedata.combining(char))


def _script(text: str) -> str:
    """The script of a sentence that is written in another than Latin; empty for Latin."""
    if text.isascii():
        return ""
    letters = [unicodedata.name(char, "OTHER").split()[0] for char in text if char.isalpha()]
    other = Counter(name for name in letters if name not in ("LATIN", "MICRO", "FEMININE", "MASCULINE"))
    if sum(other.values()) <= _OTHER_SCRIPT * len(letters):
        return ""
    name = other.most_common(1)[0][0]
    return {"CJK": "Chinese or Japanese"}.get(name, f"{name.title()} script")


@cache
def _load() -> _Words:
    data = json.loads(resources.files(__package__).joinpath("languages.json").read_text("utf-8"))

    def table(kind: str) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for name, lists in data["languages"].items():
            for word in lists[kind].split():
                names.setdefault(word, []).append(name)
        return {word: tuple(each) for word, each in names.items()}

    english = frozenset(data["english"].split())
    chest = re.compile(rf"\b(?:{'|'.join(data['chest'].split())})\b", re.IGNORECASE)
    return _Words(english, table("denies"), table("words"), chest)
