"""What is asked: findings with side and place, words, a study to be like, filters; read from free text or from JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from annotated_types import Interval, MaxLen

from lingula.errors import InputError
from lingula.labels import Vocabulary, search_findings
from lingula.labels.assertion_rules import places_within
from lingula.labels.laterality import Side
from lingula.labels.spelling import proposal
from lingula.plain import plain
from lingula.retrieval.filter_words import others
from lingula.retrieval.question import question, understand
from lingula.study import Mode, View

LONGEST = 2000
"""Characters of a question."""
MOST = 100
"""Results, and entries of any of its lists."""
OLDEST = 120


@dataclass(frozen=True, slots=True)
class Wanted:
    """A finding that is asked for.

    Attributes:
        finding: a code of ``search_findings()`` or of the label vocabulary; empty for any finding at that place.
        side: left or right (both sides answer, too), bilateral, or None for any.
        place: a code of ``assertions.json`` ("base"), or None for any.
    """

    finding: str = ""
    side: Side | None = None
    place: str | None = None

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __str__(self) -> str:
        """In words: "effusion (right, base)"."""
        name = _names().get(self.finding, self.finding).lower() if self.finding else "any finding"
        where = ", ".join(filter(None, (self.side, self.place)))
        return f"{name} ({where})" if where else name


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word that is not understood, and the word that may have been meant; None where none is near."""

    word: str
    proposal: str | None


Aim = Literal["similar", "normal_look_alike", "same_findings"]
AIM_WORDS: dict[Aim, str] = {
    "similar": "like it",
    "normal_look_alike": "normal, and looks like it",
    "same_findings": "has the same findings, and looks different",
}
Findings = Annotated[tuple[Wanted, ...], MaxLen(MOST)]
Words = Annotated[tuple[str, ...], MaxLen(MOST)]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a library. A film or report to be like travels beside it, as a ``Study``.

    Attributes:
        text: the question as typed; what was understood of it stands in the attributes below.
        present, absent, uncertain: findings every answer must show, must not show, or must leave open.
        either: findings of which every answer must show at least one.
        words: words of the question that name no finding; reports that hold them rank higher.
        like: a study of the library to be like. more, less: studies to move toward and away from.
        view: every answer has such a film. age: from and to, in years. labels: codes every answer is coded with.
        source: what is read of the study to be like: image, text, or both (joint); None for all it has.
        target: what of the library's studies is compared with it; None for the same as is read.
        aim: of a study to be like: similar ones; normal ones that look like it; or those with the same findings that
            look different.
        k: how many answers, 1 to 100.
        fold: whether duplicates of an answer are folded into it.
    """

    text: Annotated[str, MaxLen(LONGEST)] = ""
    present: Findings = ()
    absent: Findings = ()
    uncertain: Findings = ()
    either: Findings = ()
    words: Words = ()
    like: str = ""
    more: Words = ()
    less: Words = ()
    view: View | None = None
    age: tuple[int, int] | None = None
    labels: Words = ()
    source: Mode | None = None
    target: Mode | None = None
    aim: Aim = "similar"
    k: Annotated[int, Interval(ge=1, le=MOST)] = 10
    fold: bool = True

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Refuse what no library could answer: InputError ``bad_request``."""
        codes, places = _names(), places_within()
        for wanted in self.wanted:
            if wanted.finding and wanted.finding not in codes:
                raise InputError("bad_request", f"no finding {wanted.finding!r}.", f"Findings: {', '.join(codes)}.")
            if wanted.place is not None and wanted.place not in places:
                raise InputError("bad_request", f"no place {wanted.place!r}.", f"Places: {', '.join(places)}.")
            if wanted.side is not None and wanted.side not in get_args(Side):
                raise InputError("bad_request", f"no side {wanted.side!r}.", "Sides: left, right, bilateral.")
            if wanted == Wanted():
                raise InputError("bad_request", "a wanted finding names neither finding, side nor place.")
        if unknown := [label for label in self.labels if label not in codes]:
            raise InputError("bad_request", f"no label {unknown[0]!r}.", f"Labels: {', '.join(_labels())}.")
        if not 1 <= self.k <= MOST:
            raise InputError("bad_request", f"k is {self.k}.", f"Ask for 1 to {MOST} answers.")
        if self.age is not None and not 0 <= self.age[0] <= self.age[1] <= OLDEST:
            raise InputError("bad_request", f"no ages from {self.age[0]} to {self.age[1]}.", "For example 40-60.")
        for name, value, known in (
            ("view", self.view, View), ("source", self.source, Mode), ("target", self.target, Mode),
            ("aim", self.aim, Aim),
        ):  # fmt: skip
            if value is not None and value not in get_args(known):
                raise InputError("bad_request", f"no {name} {value!r}.", f"One of {', '.join(get_args(known))}.")
        longest = max(len(getattr(self, name)) for name in ("present", "absent", "uncertain", "more", "less", "words"))
        if len(self.text) > LONGEST or longest > MOST:
            raise InputError("bad_request", "the question is too long.", f"At most {LONGEST} characters.")

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return (*self.present, *self.either, *self.absent, *self.uncertain)

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing to look for or to be like."""
        return not (self.wanted or self.words or self.like or self.more or self.labels)

    @property
    def is_sentence(self) -> bool:
        """Whether the text tells of a film as a report does, rather than lists what is sought."""
        return len(self.text.split()) >= 5 and bool(_TELLS.search(self.text))

    def require_something(self) -> None:
        """Refuse a query that asks nothing: InputError ``bad_request``."""
        if self.is_empty:
            raise InputError("bad_request", "nothing is asked.", 'Ask for example "effusion, no cardiomegaly".')

    @classmethod
    def read(cls, text: str, *, also: str = "", without: str = "") -> Self:
        """Understand a question in words.

        Args:
            text: "effusion, no cardiomegaly"; "possible left lower lobe pneumonia"; "atelectasis or scarring".
            also: what the answers must show besides; may name a place alone ("right base").
            without: what they must not show.
        """
        if len(text) + len(also) + len(without) > LONGEST:
            raise InputError("bad_request", "the question is too long.", f"At most {LONGEST} characters.")
        asked, besides, never = _understand(text), _understand(also), _understand(without)
        shown = ", ".join(filter(None, (text, also, f"without {without}" if without else "")))
        return cls(
            text=shown,
            present=_each_once(asked.present, besides.present),
            absent=_each_once(asked.absent, besides.absent, never.present, never.either, never.uncertain),
            uncertain=_each_once(asked.uncertain, besides.uncertain),
            either=_each_once(asked.either, besides.either),
            words=_each_once(asked.words, besides.words),
            age=asked.age or besides.age or (others(never.age) if never.age else None),
            view=asked.view or besides.view,
        )

    def with_options(self, **options: Any) -> Self:
        """The same question with other attributes."""
        return replace(self, **options)

    def question(self) -> str:
        """Its findings and words in words that ``read`` understands as the same: "effusion (right); no nodule"."""
        groups = (self.present, self.either, self.absent, self.uncertain)
        present, either, absent, uncertain = (
            [(each.finding, each.side, each.place) for each in group] for group in groups
        )
        return question(present=present, either=either, absent=absent, uncertain=uncertain, words=self.words,
                        age=self.age, view=self.view)  # fmt: skip

    @property
    def not_understood(self) -> tuple[Unknown, ...]:
        """The words that name no finding, side or place.

        Nothing is taken for a proposal unasked: the words are sought in reports as they are.
        """
        return tuple(Unknown(word, proposal(word)) for word in self.words)

    def explain(self) -> tuple[str, ...]:
        """How it is understood, a sentence a part."""
        said = [
            *(f"must show {wanted}" for wanted in self.present),
            *(["must show one of: " + "; ".join(map(str, self.either))] if self.either else []),
            *(f"must not show {wanted}" for wanted in self.absent),
            *(f"must leave open {wanted}" for wanted in self.uncertain),
        ]
        if self.words:
            said.append("ranks higher with the words: " + ", ".join(self.words))
        near = [unknown for unknown in self.not_understood if unknown.proposal]
        said += [f"does not know {unknown.word}: did you mean {unknown.proposal}?" for unknown in near]
        if self.like:
            said.append(f"like study {self.like}")
        said += [f"{word} like {', '.join(ids)}" for word, ids in (("more", self.more), ("less", self.less)) if ids]
        if self.aim != "similar":
            said.append(AIM_WORDS[self.aim])
        if self.view:
            said.append(f"has a {self.view} film")
        if self.age:
            said.append(f"age {self.age[0]} to {self.age[1]}")
        said += [f"coded with {_names()[label]}" for label in self.labels]
        return tuple(said)

    def sentence(self) -> str:
        """What is understood, as a report would put it: what a model reads in place of the question.

        What must be absent is a matter of conditions, and is read only when nothing is asked for: a model that hears of
        it looks near it.
        """
        asked = self.present or self.either or self.uncertain or self.words or self.labels
        said = [
            *(str(wanted) for wanted in self.present),
            *([" or ".join(map(str, self.either))] if self.either else []),
            *(f"no {wanted}" for wanted in self.absent if not asked),
            *(f"possible {wanted}" for wanted in self.uncertain),
            *([" ".join(self.words)] if self.words else []),
            *(_names()[label] for label in self.labels if not self.wanted),
        ]
        return " ".join(f"{part[0].upper()}{part[1:]}." for part in said if part)

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` reads it back."""
        body: dict[str, Any] = plain(self)
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read a JSON body. With ``text`` and none of what it could be understood as, the text is read.

        Raises:
            InputError: ``bad_request`` for an unknown attribute or a value of the wrong kind.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            query = TypeAdapter(cls).validate_json(json.dumps(body), strict=True)
        except (ValidationError, TypeError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            name = " ".join(map(str, first["loc"]))
            raise InputError("bad_request", f"{name or 'the body'} of a query: {first['msg']}.") from None
        return query.with_text_read()

    def with_text_read(self) -> Self:
        """The question its text asks, with the other attributes; itself where it says more than a text."""
        if not self.text or any(getattr(self, name) for name in _UNDERSTOOD):
            return self
        read = type(self).read(self.text)
        asked = {name: getattr(read, name) for name in _UNDERSTOOD}
        return self.with_options(**asked, age=self.age or read.age, view=self.view or read.view)


_TELLS = re.compile(
    r"\.\s*$|\.\s+\w|"
    r"\b(?:is|are|has|have|there|seen|noted|without evidence|no evidence|consistent with|remains?|appears?)\b",
    re.IGNORECASE,
)
_UNDERSTOOD = ("present", "absent", "uncertain", "either", "words")
_WANTED = ("present", "absent", "uncertain", "either")


@cache
def _names() -> dict[str, str]:
    """Codes that can be asked for, and their names."""
    return _labels() | {code: finding.name for code, finding in search_findings().items()}


@cache
def _labels() -> dict[str, str]:
    return {label.code: label.name for label in Vocabulary.load("openi22").labels}


def _understand(text: str) -> Query:
    """A question as a query (``understand``), each thing asked for once."""
    asked = understand(text)
    groups = {name: _each_once([Wanted(*each) for each in getattr(asked, name)]) for name in _WANTED}
    return Query(**groups, words=_each_once(asked.words), age=asked.age, view=asked.view)  # type: ignore[arg-type]


T = TypeVar("T")


def _each_once(*groups: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(each for group in groups for each in group))
