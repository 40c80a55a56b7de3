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
class ChipLink:
    """A choice in a chip's menu: where it leads, and whether it holds now."""

    words: str
    address: str
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """One understood part of a question, in its place: its words, its state, and where its menu leads.

    Attributes:
        state: present, absent, uncertain, either; "word" for what was not understood; "filter" for the others.
        menus: (title, choices).
    """

    words: str
    state: str
    removed: str
    menus: tuple[tuple[str, tuple[ChipLink, ...]], ...] = ()
    proposal: ChipLink | None = None


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
    pairs += [("aim", query.aim)] if query.aim != _DEFAULTS.aim else []
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
        aim=one("aim") or _DEFAULTS.aim,  # type: ignore[arg-type]
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
    """The base with the findings, filters and words of another query added; what was said last of a finding holds."""
    changed = base
    for group in _GROUPS:
        new = set(getattr(read, group))
        kept = {name: tuple(each for each in getattr(changed, name) if each not in new) for name in _GROUPS}
        changed = changed.with_options(**kept)
        changed = changed.with_options(**{group: (*getattr(changed, group), *getattr(read, group))})
    words = tuple(dict.fromkeys((*base.words, *read.words)))
    return changed.with_options(words=words, age=read.age or base.age, view=read.view or base.view, text="")


def keepable(tokenizer: ReportTokenizer, words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words that may stand in an address, those that may not)."""
    kept: list[str] = []
    left: list[str] = []
    for word in words:
        tokens = tokenizer(Report.from_sections(findings=f"{word}."))
        pieces = sum(end > start for start, end in tokens.spans) - 1  # the stop is no part of the word
        (kept if pieces == 1 else left).append(word)
    return tuple(kept), tuple(left)


def chips(query: Query, pairs: Sequence[tuple[str, str]]) -> list[Chip]:
    """The parts of a question in the order of its address; a change leaves each in its place."""
    unknown = {each.word: each.proposal for each in query.not_understood}
    made = []
    for pair in pairs:
        name, value = pair
        if name in _GROUPS:
            made.append(_finding_chip(pairs, pair))
        elif name == "word" and value in unknown:
            made.append(Chip(value, "word", changed(pairs, pair, None), (), _proposed(pairs, pair, unknown[value])))
        elif name in _FILTERS:
            words = _FILTERS[name].format(_label_name(value) if name == "label" else value.replace("-", "–"))
            made.append(Chip(words, "filter", changed(pairs, pair, None)))
    return made


_FILTERS = {"label": "coded with {}", "age": "age {}", "view": "{} film", "like": "like {}", "more": "more like {}",
            "less": "less like {}"}  # fmt: skip
_SAID = {"present": "with", "absent": "without", "uncertain": "perhaps", "either": "or"}
_SIDES = {"": "any side", "left": "left", "right": "right", "bilateral": "both"}
_ZONES = {"": "anywhere", "upper": "upper", "middle": "mid", "lower": "lower", "base": "base", "hilum": "hilum"}


def _finding_chip(pairs: Sequence[tuple[str, str]], pair: tuple[str, str]) -> Chip:
    group, wanted = pair[0], _wanted(pair[1])

    def link(words: str, group: str, changed_to: Wanted, holds: bool) -> ChipLink:
        return ChipLink(words, changed(pairs, pair, (group, _code(changed_to))), holds)

    states = tuple(link(_SAID[each], each, wanted, each == group) for each in STATES)
    sides = tuple(
        link(words, group, Wanted(wanted.finding, side or None, wanted.place), side == (wanted.side or ""))  # type: ignore[arg-type]
        for side, words in _SIDES.items() if side or wanted.finding or wanted.place
    )  # fmt: skip
    zones = tuple(
        link(words, group, Wanted(wanted.finding, wanted.side, place or None), place == (wanted.place or ""))
        for place, words in _ZONES.items() if place or wanted.finding or wanted.side
    )  # fmt: skip
    menus = (("Show studies", states), ("Side (the patient’s)", sides), ("Zone", zones))
    return Chip(str(wanted), group, changed(pairs, pair, None), menus)


def _proposed(pairs: Sequence[tuple[str, str]], pair: tuple[str, str], proposal: str | None) -> ChipLink | None:
    """The question with what may have been meant in the place of a word."""
    if not proposal:
        return None
    read = Query.read(proposal)
    group, wanted = next(((name, each) for name in _GROUPS for each in getattr(read, name)), ("", None))
    return ChipLink(proposal, changed(pairs, pair, (group, _code(wanted)) if wanted else ("word", proposal)))


def _label_name(code: str) -> str:
    return str(Wanted(code)) if code else ""


def question(query: Query) -> str:
    """The findings and words in words that are read back as the same."""
    return query.question()


def _code(wanted: Wanted) -> str:
    return ".".join((wanted.finding, wanted.side or "", wanted.place or "")).rstrip(".")


def _wanted(code: str) -> Wanted:
    finding, _, rest = code.partition(".")
    side, _, place = rest.partition(".")
    return Wanted(finding, side or None, place or None)  # type: ignore[arg-type]


def pairs_of(address_pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parts of an address in the order in which they stand, each once, without what is empty."""
    return list(dict.fromkeys((name, value) for name, value in address_pairs if value))


def changed(pairs: Sequence[tuple[str, str]], old: tuple[str, str] | None, new: tuple[str, str] | None) -> str:
    """The address with one part put in another's place; without ``old`` it is added, without ``new`` left out."""
    if old is None:
        made = [*pairs, *([new] if new else [])]
    else:
        made = [new if pair == old else pair for pair in pairs if new or pair != old]  # type: ignore[misc]
    return urlencode(list(dict.fromkeys(made)))


def without_name(pairs: Sequence[tuple[str, str]], name: str, value: str = "") -> str:
    """The address with the one part of a name set to a value, or left out."""
    made = [pair for pair in pairs if pair[0] != name]
    return urlencode([*made, (name, value)] if value else made)
