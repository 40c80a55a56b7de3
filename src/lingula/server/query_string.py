"""A query as the address of a page and back: codes and identifiers only, so that an address can be kept and shared.

Nothing a person typed is in it but words that the model's own vocabulary holds whole, which it learnt from
de-identified reports: no name gets into a history or a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import category
from urllib.parse import urlencode

from lingula.errors import InputError
from lingula.model.tokenizer import ReportTokenizer
from lingula.retrieval import Query, Wanted
from lingula.study import Report

STATES = ("present", "absent", "uncertain")
_GROUPS = (*STATES, "either")
_AGE = re.compile(r"(\d{1,3})-(\d{1,3})", re.ASCII)
_DEFAULTS = Query()


@dataclass(frozen=True, slots=True)
class Chip:
    """One understood part of a question: its words, its state, and where its buttons lead."""

    words: str
    state: str
    turned: str
    turns_to: str
    removed: str


def address(query: Query, case_id: str = "") -> str:
    """The part of an address behind the question mark."""
    pairs = [("case", case_id)] if case_id else []
    pairs += [(group, _code(wanted)) for group in _GROUPS for wanted in getattr(query, group)]
    pairs += [("word", word) for word in query.words]
    pairs += [("like", query.like)] if query.like else []
    pairs += [(name, study) for name in ("more", "less") for study in getattr(query, name)]
    pairs += [("label", label) for label in query.labels]
    pairs += [("age", f"{query.age[0]}-{query.age[1]}")] if query.age else []
    for name in ("view", "source", "target"):
        if value := getattr(query, name):
            pairs.append((name, value))
    pairs += [("k", str(query.k))] if query.k != _DEFAULTS.k else []
    pairs += [("fold", "0")] if not query.fold else []
    return urlencode(pairs)


def query_of(values: Mapping[str, Sequence[str]]) -> Query:
    """The query an address names.

    Raises:
        InputError: ``bad_request`` for what no query could be.
    """

    def one(name: str) -> str:
        return next(iter(values.get(name, ())), "")

    age = _AGE.fullmatch(one("age")) if one("age") else None
    if one("age") and not age:
        raise InputError("bad_request", "an age is given as from-to.", "For example 40-60.")
    if one("k") and not (one("k").isascii() and one("k").isdecimal() and len(one("k")) < 5):
        raise InputError("bad_request", "k is not a number.")
    groups = {group: tuple(_wanted(code) for code in values.get(group, ()) if code) for group in _GROUPS}
    return Query(
        words=_legible_words(values.get("word", ())),
        like=one("like"),
        more=tuple(filter(None, values.get("more", ()))),
        less=tuple(filter(None, values.get("less", ()))),
        labels=tuple(filter(None, values.get("label", ()))),
        age=(int(age[1]), int(age[2])) if age else None,
        view=one("view") or None,  # type: ignore[arg-type]
        source=one("source") or None,  # type: ignore[arg-type]
        target=one("target") or None,  # type: ignore[arg-type]
        k=int(one("k")) if one("k") else _DEFAULTS.k,
        fold=one("fold") != "0",
    ).with_options(**groups)


def legible(text: str) -> str:
    """The text with a space for each character that no text has: NUL and other controls, half a surrogate pair."""
    return "".join(char if char.isspace() or category(char) not in ("Cc", "Cs", "Cn") else " " for char in text)


def legible_query(query: Query) -> Query:
    """The same question without the words that hold such characters."""
    return query.with_options(words=_legible_words(query.words), text=legible(query.text))


def _legible_words(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if any(map(str.isalnum, word)) and legible(word) == word)


def merged(base: Query, read: Query) -> Query:
    """The base with the findings and words of another query added; what was said last of a finding holds."""
    changed = base
    for group in _GROUPS:
        new = set(getattr(read, group))
        kept = {name: tuple(each for each in getattr(changed, name) if each not in new) for name in _GROUPS}
        changed = changed.with_options(**kept)
        changed = changed.with_options(**{group: (*getattr(changed, group), *getattr(read, group))})
    return changed.with_options(words=tuple(dict.fromkeys((*base.words, *read.words))), text="")


def keepable(tokenizer: ReportTokenizer, words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words that may stand in an address, those that may not)."""
    kept: list[str] = []
    left: list[str] = []
    for word in words:
        tokens = tokenizer(Report.from_sections(findings=f"{word}."))
        pieces = sum(end > start for start, end in tokens.spans) - 1  # the stop is no part of the word
        (kept if pieces == 1 else left).append(word)
    return tuple(kept), tuple(left)


def chips(query: Query, case_id: str = "") -> list[Chip]:
    """The understood findings, each with the addresses of the question without it and with it turned."""
    made = []
    for group in _GROUPS:
        turns_to = STATES[(STATES.index(group) + 1) % 3] if group in STATES else "present"
        for wanted in getattr(query, group):
            rest = query.with_options(**{group: tuple(each for each in getattr(query, group) if each != wanted)})
            turned = rest.with_options(**{turns_to: (*getattr(rest, turns_to), wanted)})
            made.append(Chip(str(wanted), group, address(turned, case_id), turns_to, address(rest, case_id)))
    for unknown in query.not_understood:
        word, meant = unknown.word, unknown.proposal
        rest = query.with_options(words=tuple(each for each in query.words if each != word))
        said = f"“{word}”, not understood: {meant}?" if meant else f"“{word}”"
        made.append(Chip(said, "word", "", "", address(rest, case_id)))
    return made


def question(query: Query) -> str:
    """The findings and words in words that are read back as the same."""
    return query.question()


def _code(wanted: Wanted) -> str:
    return ".".join((wanted.finding, wanted.side or "", wanted.place or "")).rstrip(".")


def _wanted(code: str) -> Wanted:
    finding, _, rest = code.partition(".")
    side, _, place = rest.partition(".")
    return Wanted(finding, side or None, place or None)  # type: ignore[arg-type]
