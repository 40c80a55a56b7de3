"""Many patterns sought at once: at a word only those are tried that can begin with its first letter."""

from __future__ import annotations

import re
import re._constants as ops  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

_WORD = re.compile(r"\b(?=\w)")
_LETTERS = frozenset(ascii_lowercase)


class Lexer:
    """Patterns in the order in which they are tried; each begins and ends with a word, letter case does not count.

    Args:
        patterns: regular expressions, a space for any white space.
        rows: the row of the data file that each belongs to.
    """

    def __init__(self, patterns: Sequence[str], rows: Sequence[int]) -> None:
        firsts = [first_letters(pattern) for pattern in patterns]
        every = [(pattern, row) for pattern, row, first in zip(patterns, rows, firsts, strict=True) if first is None]
        self._other = _alternatives(every) if every else None
        self._by_letter = {
            letter: _alternatives(
                [
                    (pattern, row)
                    for pattern, row, first in zip(patterns, rows, firsts, strict=True)
                    if first is None or letter in first
                ]
            )
            for letter in _LETTERS
            if any(first is None or letter in first for first in firsts)
        }

    def finditer(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(row, start, end) of each match, from left to right and not overlapping."""
        for word in _WORD.finditer(text, start, end):
            if word.start() < start:
                continue
            known = self._by_letter.get(text[word.start()].lower(), self._other)
            if known and (match := known.match(text, word.start(), end)):
                assert match.lastgroup is not None
                yield int(match.lastgroup.split("_")[1]), *match.span()
                start = match.end()


def _alternatives(patterns: Sequence[tuple[str, int]]) -> re.Pattern[str]:
    named = "|".join(f"(?P<_{row}_{place}>{pattern})" for place, (pattern, row) in enumerate(patterns))
    return re.compile(rf"(?:{named})(?!\w)".replace(" ", r"(?:\s+)"), re.IGNORECASE)


def first_letters(pattern: str) -> frozenset[str] | None:
    """The letters, in lower case, with which a match can begin; None for any."""
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
