"""The patterns of ``assertions.json``, compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Polarity = Literal["present", "likely", "uncertain", "absent"]
Effect = Literal["absent", "likely", "uncertain", "past"]
Scope = Literal["after", "onward", "phrase", "before", "beside"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A phrase with a polarity of its own ("the heart is enlarged"), void where ``unless`` follows in the sentence."""

    pattern: re.Pattern[str]
    findings: tuple[str, ...]
    says: Polarity
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Rules:
    """Compiled rules; ``mentions`` and ``modifiers`` tell by group name which row matched (``matched_row``).

    ``sides`` and ``places`` name their groups after the side or place.

    Attributes:
        mention_findings: findings of each row of ``mentions``; none where the row swallows misleading words.
        modifier_effects: effects and scope of each row of ``modifiers``.
        breaks, verbs: words that end a scope; verbs end only one that runs backwards.
        fillers: words of a question that ask nothing.
        within: the places that lie in or about a place, by its code: what answers when that place is asked for.
    """

    statements: tuple[Statement, ...]
    mentions: re.Pattern[str]
    mention_findings: tuple[tuple[str, ...], ...]
    modifiers: re.Pattern[str]
    modifier_effects: tuple[tuple[frozenset[Effect], Scope], ...]
    breaks: re.Pattern[str]
    verbs: re.Pattern[str]
    sides: re.Pattern[str]
    places: re.Pattern[str]
    within: dict[str, frozenset[str]]
    fillers: re.Pattern[str]


@cache
def load_rules() -> Rules:
    data = json.loads(resources.files(__package__).joinpath("assertions.json").read_text("utf-8"))
    modifiers = [(pattern, row) for row, entry in enumerate(data["modifiers"]) for pattern in entry["patterns"]]
    longest_first = sorted(modifiers, key=lambda item: -len(item[0]))
    return Rules(
        statements=tuple(
            Statement(
                _compile(entry["patterns"]),
                tuple(entry["as"]),
                entry["says"],
                _compile(entry["unless"]) if "unless" in entry else None,
            )
            for entry in data["statements"]
        ),
        mentions=_compile_rows((p, row) for row, entry in enumerate(data["mentions"]) for p in entry["patterns"]),
        mention_findings=tuple(tuple(entry["as"]) for entry in data["mentions"]),
        modifiers=_compile_rows(longest_first),
        modifier_effects=tuple((frozenset(entry["of"]), entry["scope"]) for entry in data["modifiers"]),
        breaks=_compile(data["breaks"]),
        verbs=_compile(data["verbs"]),
        sides=_compile_named(data["sides"]),
        places=_compile_named({place: entry["patterns"] for place, entry in data["places"].items()}),
        within={place: frozenset((place, *entry["within"])) for place, entry in data["places"].items()},
        fillers=_compile(data["fillers"]),
    )


def matched_row(match: re.Match[str]) -> int:
    """The row of the data file whose pattern matched."""
    assert match.lastgroup is not None
    return int(match.lastgroup.split("_")[1])


def _compile_rows(patterns: Iterable[tuple[str, int]]) -> re.Pattern[str]:
    """One alternation, tried in the given order, each pattern a group named after its row."""
    return _compile([f"(?P<_{row}_{i}>{pattern})" for i, (pattern, row) in enumerate(patterns)])


def _compile_named(words: dict[str, list[str]]) -> re.Pattern[str]:
    return _compile([f"(?P<{name}>{'|'.join(patterns)})" for name, patterns in words.items()])


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    """A pattern begins at the edge of a word (with the word, or with the comma behind it) and ends with a word."""
    return re.compile(rf"\b(?=[\w,])(?:{'|'.join(patterns)})(?!\w)".replace(" ", r"(?:\s+)"), re.IGNORECASE)
