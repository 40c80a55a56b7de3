"""The patterns of ``assertions.json``, compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from lingula.labels.lexer import Lexer

Polarity = Literal["present", "likely", "uncertain", "absent"]
Effect = Literal["absent", "likely", "uncertain", "past", "now", "void"]
Scope = Literal["after", "onward", "phrase", "before", "back", "beside", "near", "clause", "answer"]
ANSWERS = ("void", "open", "absent", "uncertain", "likely", "present")


@dataclass(frozen=True, slots=True)
class Statement:
    """A phrase with a polarity of its own ("the heart is enlarged"), void where ``unless`` follows in the sentence."""

    pattern: re.Pattern[str]
    findings: tuple[str, ...]
    says: Polarity
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Modifier:
    """Words that change what is said of the findings in their scope.

    Attributes:
        ahead, behind: what must stand in the same sentence ahead of the words, or behind them; None for nothing.
    """

    pattern: re.Pattern[str]
    effects: frozenset[Effect]
    scope: Scope
    ahead: re.Pattern[str] | None
    behind: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Rules:
    """Compiled rules.

    ``sides`` and ``places`` name their groups after the side or place.

    Attributes:
        version: changes when the same report may be read otherwise than before.
        mention_findings: findings of each row of ``mentions``; none where the row swallows misleading words.
        any_modifier: matches where one of ``modifiers`` does, if perhaps less.
        answers: what an answer behind a finding begins with ("No" in "Effusion: No"), by group name (``ANSWERS``).
        answer_line: a line that answers the one ahead of it.
        abbreviations: words whose full stop ends no sentence.
        open_ends, weak_ends: words at which a line goes on, the latter where the next begins with a small letter.
        closed_end, continuing: words at which a line can end, and with which one continues the line ahead.
        breaks, verbs: words that end a scope; verbs end only one that runs backwards.
        turns: words at which a denial ends that stands ahead of them ("without shift and right effusion").
        links: what stands between two names of one thing ("consistent with").
        fillers: words of a question that ask nothing.
    """

    version: int
    statements: tuple[Statement, ...]
    mentions: Lexer
    mention_findings: tuple[tuple[str, ...], ...]
    modifiers: tuple[Modifier, ...]
    any_modifier: Lexer
    answers: re.Pattern[str]
    answer_line: re.Pattern[str]
    abbreviations: re.Pattern[str]
    open_ends: re.Pattern[str]
    weak_ends: re.Pattern[str]
    closed_end: re.Pattern[str]
    continuing: re.Pattern[str]
    breaks: re.Pattern[str]
    turns: re.Pattern[str]
    links: re.Pattern[str]
    verbs: re.Pattern[str]
    sides: re.Pattern[str]
    places: re.Pattern[str]
    fillers: re.Pattern[str]


def rules_version() -> int:
    """The version of the rules, by which what was read is known to be outdated."""
    version: int = _data()["version"]
    return version


def asserted_findings() -> tuple[str, ...]:
    """All codes that the rules can name, in alphabetic order."""
    rows = (*_data()["statements"], *_data()["mentions"])
    return tuple(sorted({finding for row in rows for finding in row["as"]}))


@cache
def _data() -> Any:
    return json.loads(resources.files(__package__).joinpath("assertions.json").read_text("utf-8"))


@cache
def places_within() -> Mapping[str, frozenset[str]]:
    """By the code of a place, the places that lie in or about it: what answers when that place is asked for."""
    return {place: frozenset((place, *entry["within"])) for place, entry in _data()["places"].items()}


@cache
def load_rules() -> Rules:
    """All of it, its several hundred patterns compiled."""
    data = _data()
    modifiers = [_modifier(entry, data["nt"]) for entry in data["modifiers"]]
    line = rf"\s*(?:{'|'.join(data['answer_lines'])})\x20*(?=[.,;|\t\n]|$)"
    return Rules(
        version=data["version"],
        statements=tuple(
            Statement(
                _compile(entry["patterns"]),
                tuple(entry["as"]),
                entry["says"],
                _compile(entry["unless"]) if "unless" in entry else None,
            )
            for entry in data["statements"]
        ),
        mentions=_lexer(data["mentions"]),
        mention_findings=tuple(tuple(entry["as"]) for entry in data["mentions"]),
        modifiers=tuple(sorted(modifiers, key=lambda each: each.scope != "near")),
        any_modifier=_lexer(data["modifiers"], data["nt"]),
        answers=_anchored(f"(?P<{kind}>{'|'.join(data['answers'][kind])})" for kind in ANSWERS),
        answer_line=_spaced(line),
        abbreviations=_anchored(data["abbreviations"]),
        open_ends=_spaced(rf"(?<![\w-])(?:{'|'.join(data['open_ends'])})$".replace("<nt>", data["nt"])),
        weak_ends=_spaced(rf"(?<![\w-])(?<!is\s)(?<!are\s)(?<!very\s)(?<!now\s)(?:{'|'.join(data['weak_ends'])})$"),
        closed_end=_spaced(rf"(?<![\w-])(?:{'|'.join(data['closed_ends'])})$"),
        continuing=_spaced(rf"(?:{'|'.join(data['continuing'])})(?!\w)"),
        breaks=_compile(data["breaks"]),
        turns=_compile(data["turns"]),
        links=_spaced(rf"(?<![\w-])(?:{'|'.join(data['links'])})(?: [\w-]+){{0,3}}\s*$"),
        verbs=_compile(data["verbs"]),
        sides=_compile_named(data["sides"]),
        places=_compile_named({place: entry["patterns"] for place, entry in data["places"].items()}),
        fillers=_compile(data["fillers"]),
    )


def _modifier(entry: Mapping[str, Any], contraction: str) -> Modifier:
    """Within a row the longest pattern is tried first; ``<nt>`` stands for "isn't" and its like."""
    patterns = sorted((p.replace("<nt>", contraction) for p in entry["patterns"]), key=len, reverse=True)
    ahead, behind = (_compile([entry[key]]) if key in entry else None for key in ("ahead", "behind"))
    return Modifier(_compile(patterns), frozenset(entry["of"]), entry["scope"], ahead, behind)


def _lexer(rows: Sequence[Mapping[str, Any]], contraction: str = "") -> Lexer:
    entries = [(p.replace("<nt>", contraction), row) for row, entry in enumerate(rows) for p in entry["patterns"]]
    return Lexer([pattern for pattern, _ in entries], [row for _, row in entries])


def _compile_named(words: dict[str, list[str]]) -> re.Pattern[str]:
    return _compile([f"(?P<{name}>{'|'.join(patterns)})" for name, patterns in words.items()])


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    """A pattern begins at the edge of a word (with the word, or with the comma behind it) and ends with a word."""
    return _spaced(rf"\b(?=[\w,])(?:{'|'.join(patterns)})(?!\w)")


def _anchored(patterns: Iterable[str]) -> re.Pattern[str]:
    return _spaced(f"(?:{'|'.join(patterns)})")


def _spaced(pattern: str) -> re.Pattern[str]:
    """A space stands for any white space."""
    return re.compile(pattern.replace(" ", r"(?:\s+)"), re.IGNORECASE)
