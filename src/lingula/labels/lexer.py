"""Many patterns sought at once: at a word only those are tried that can begin with its first letter."""

from __future__ import annotations

import re
import re._constants as ops  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

_WORD = re.compile(r"\b(?=\w)")
_PLAIN = re.compile(r"[A-Za-z](?![?*{])")  # a letter that must be there; quicker than to parse
_LETTERS = frozenset(ascii_lowercase)


class Lexer:
    """Patterns in the order in which they are tried; each begins and ends with a word, letter case does not count.

    Args:
        patterns: regular expressions, a space for any white space.
        rows: the row of the data file that each belongs to.
    """

    def __init__(self, patterns: Sequence[str], rows: Sequence[int]) -> None:
        self._rows = [(first_letters(pattern), pattern, row) for pattern, row in zip(patterns, rows, strict=True)]
        self._compiled: dict[str, re.Pattern[str] | None] = {}

    def _patterns(self, letter: str) -> re.Pattern[str] | None:
        """What can begin with a letter, compiled when the first word does; any other character is one to all."""
        letter = letter if letter in _LETTERS else ""
        if letter not in self._compiled:
            some = [(pattern, row) for first, pattern, row in self._rows if first is None or letter in first]
            self._compiled[letter] = _alternatives(some) if some else None
        return self._compiled[letter]

    def finditer(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(row, start, end) of each match, from left to right and not overlapping."""
        for word in _WORD.finditer(text, start, end):
            if word.start() < start:
                continue
            known = self._patterns(text[word.start()].lower())
            if known and (match := known.match(text, word.start(), end)):
                assert match.lastgroup is not None
                yield int(match.lastgroup.split("_")[1]), *match.span()
                start = match.end()


def _alternatives(patterns: Sequence[tuple[str, int]]) -> re.Pattern[str]:
    named = "|".join(f"(?P<_{row}_{place}>{pattern})" for place, (pattern, row) in enumerate(patterns))
    return re.compile(rf"(?:{named})(?!\w)".replace(" ", r"(?:\s+)"), re.IGNORECASE)


def first_letters(pattern: str) -> frozenset[str] | None:
    """The letters, in lower case, with which a match can begin; None for any."""
    if _PLAIN.match(pattern) and "|" not in pattern:
        return frozenset(pattern[0].lower())
    found, _ = _first(parser.parse(pattern))
    return None if found is None or found - _LETTERS else found


def _first(tokens: Any) -> tuple[frozenset[str] | None, bool]:
    """Letters a sequence can begin with (None for any), and whether it can be empty."""
    letters: frozenset[str] = frozenset()
    for kind, value in tokens:
        if kind in (ops.ASSERT, ops.ASSERT_NOT, ops.AT):
            continue
        some, empty = _one(kind, value)
        if some is None:
            return None, False
        letters |= some
        if not empty:
            return letters, False
    return letters, True


def _one(kind: Any, value: Any) -> tuple[frozenset[str] | None, bool]:
    if kind is ops.LITERAL:
        return frozenset({chr(value).lower()}), False
    if kind is ops.IN and all(each is ops.LITERAL for each, _ in value):
        return frozenset(chr(code).lower() for _, code in value), False
    if kind is ops.BRANCH:
        each = [_first(branch) for branch in value[1]]
        known = [some for some, _ in each if some is not None]
        return (frozenset().union(*known) if len(known) == len(each) else None), any(empty for _, empty in each)
    if kind is ops.SUBPATTERN:
        return _first(value[3])
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        some, empty = _first(value[2])
        return some, empty or value[0] == 0
    return None, False
