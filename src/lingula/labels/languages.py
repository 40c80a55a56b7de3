"""Words of other languages than English: recognised, so that what is not understood is taken for nothing else.

The reader of assertions understands English; a sentence with words of ``languages.json`` asserts nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class OtherLanguage:
    """A language that is not English, and the words of the text that told it, in lower case."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lexicon:
    languages: dict[str, frozenset[str]]
    anywhere: frozenset[str]
    shared: frozenset[str]
    english: frozenset[str]
    scripts: dict[str, re.Pattern[str]]


_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN_LETTER = re.compile(r"[^\x00-\u024f\u2000-\u2bff\u0300-\u036f\uff00-\uffef]")


def other_language(text: str) -> OtherLanguage | None:
    """The language of a text that is not English on the whole; None for an English one, and for one too short to tell.

    A text is told by two words that stand for themselves, or one and a word that English reports may hold, too; and by
    half of its letters being of another script.
    """
    return _language(text, least=2, share=0.5)


def foreign_words(text: str) -> OtherLanguage | None:
    """The words of another language in a text, though most of it may be English; None where there are none."""
    lexicon = _lexicon()
    if not _any_foreign(text, lexicon):
        return None
    own = [word for word in _words(text) if word in lexicon.anywhere]
    if own and (found := _most(own, [*own, *(w for w in _words(text) if w in lexicon.shared)], lexicon)):
        return found
    return _script(text, lexicon, share=0.0)


def is_foreign(sentence: str) -> bool:
    """Whether a sentence is of another language: it holds a word of one, and no more English function words."""
    return _language(sentence, least=1, share=0.05) is not None


def _language(text: str, least: int, share: float) -> OtherLanguage | None:
    lexicon = _lexicon()
    if not _any_foreign(text, lexicon):
        return None
    words = _words(text)
    own = [word for word in words if word in lexicon.anywhere]
    also = [word for word in words if word in lexicon.shared]
    if own and len(own) + len(also) >= least and len(own) + len(also) > sum(w in lexicon.english for w in words):
        return _most(own, [*own, *also], lexicon)
    return _script(text, lexicon, share)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _any_foreign(text: str, lexicon: _Lexicon) -> bool:
    return not lexicon.anywhere.isdisjoint(_words(text)) or _FOREIGN_LETTER.search(text) is not None


def _most(own: list[str], words: list[str], lexicon: _Lexicon) -> OtherLanguage | None:
    counts = Counter({name: sum(word in known for word in words) for name, known in lexicon.languages.items()})
    name, count = max(counts.items(), key=lambda item: item[1])
    return OtherLanguage(name, tuple(dict.fromkeys(own))) if count else None


def _script(text: str, lexicon: _Lexicon, share: float) -> OtherLanguage | None:
    letters = sum(map(str.isalpha, text))
    for name, letter in lexicon.scripts.items():
        count = len(letter.findall(text))
        if count and count > share * letters:
            words = [word for word in _words(text) if letter.search(word)]
            return OtherLanguage(name, tuple(dict.fromkeys(words)))
    return None


@cache
def language_data() -> dict[str, Any]:
    """``languages.json``."""
    data: dict[str, Any] = json.loads(resources.files(__package__).joinpath("languages.json").read_text("utf-8"))
    return data


@cache
def _lexicon() -> _Lexicon:
    data = language_data()
    shared, english = frozenset(data["shared"]), frozenset(data["english"])
    languages = {
        name: frozenset(word for word in entry["words"] if " " not in word) - english
        for name, entry in data["languages"].items()
    }
    anywhere = frozenset(word for words in languages.values() for word in words) - shared
    scripts = {name: re.compile(letters) for name, letters in data["scripts"].items()}
    return _Lexicon(languages, anywhere, shared, english, scripts)
