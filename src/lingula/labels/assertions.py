"""What a report asserts: findings with polarity, side, place and where the words stand.

A reader of the ConText kind (Harkema et al. 2009, J Biomed Inform 42(5):839-851): mentions of findings are sought
sentence by sentence, and modifiers ("no", "is not seen", "cannot exclude", "has resolved") change those in their scope.
All words are data in ``assertions.json``. Standard library only; one to two milliseconds per report.

Only findings and impression assert; what the indication or comparison names without a modifier is *uncertain*: it is
why the film was taken, not what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from lingula.labels.assertion_rules import Effect, Polarity, Rules, Scope, load_rules, matched_row
from lingula.labels.laterality import Side
from lingula.study import Report, SectionName

STRENGTH: tuple[Polarity, ...] = ("present", "likely", "uncertain")
"""What a mention can say for a finding, the strongest first."""

FOUND: tuple[Polarity, ...] = ("present", "likely")
"""What answers a search for a finding: human coders code what is hedged this way, and not what is merely possible."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """``report.text[start:end]`` says this of a finding.

    Attributes:
        finding: a code of ``openi22`` or one of ``search_findings()``; the same words may assert one of each.
        polarity: present; likely (hedged, but leaning to it: "probable", "may represent", one of several readings);
            uncertain (asked or not excluded, leaning nowhere); or absent.
        start, end: characters of the words that name the finding.
        section: where they stand.
        side: the patient's side named beside them, None when none is.
        place: code of the place named beside them ("upper", "base", "rib"; see ``places``), None when none is.
        past: said of the past ("history of", "prior", "resolved").
    """

    finding: str
    polarity: Polarity
    start: int
    end: int
    section: SectionName
    side: Side | None = None
    place: str | None = None
    past: bool = False


def read_assertions(report: Report) -> tuple[Assertion, ...]:
    """All assertions of a report, in the order of its text."""
    found = [
        assertion
        for section in report.sections
        for span in sentences(report.text, section.start, section.end)
        for assertion in _read_sentence(report.text, _Span(*span), section.name)
    ]
    return tuple(sorted(found, key=lambda each: (each.start, each.end, each.finding)))


def polarity(assertions: Iterable[Assertion], finding: str) -> Polarity | None:
    """What a report says of a finding on the whole; None when it does not mention it.

    The strongest mention that is not of the past decides, in the order present, likely, uncertain; what is said of the
    past alone counts as absent now.
    """
    said = {(each.polarity, each.past) for each in assertions if each.finding == finding}
    for strongest in STRENGTH:
        if (strongest, False) in said:
            return strongest
    return "absent" if said else None


def asserted_findings() -> tuple[str, ...]:
    """All codes that ``read_assertions`` can name, in alphabetic order."""
    rules = load_rules()
    named = (*(each.findings for each in rules.statements), *rules.mention_findings)
    return tuple(sorted({finding for findings in named for finding in findings}))


def unread_words(text: str) -> tuple[str, ...]:
    """The words of a question that neither name a finding, side or place nor say anything about one, in lower case."""
    rules = load_rules()
    kept = list(text)
    read = (*(each.pattern for each in rules.statements), rules.mentions, rules.modifiers, rules.sides, rules.places)
    for pattern in (*read, rules.breaks, rules.verbs, rules.fillers):
        for match in pattern.finditer(text):
            kept[match.start() : match.end()] = " " * len(match.group())
    return tuple(dict.fromkeys(re.findall(r"\w[\w-]*", "".join(kept).lower())))


class _Span(NamedTuple):
    start: int
    end: int


class _Modifier(NamedTuple):
    effects: frozenset[Effect]
    scope: Scope
    span: _Span

    @property
    def polar(self) -> bool:
        """Whether it speaks of presence."""
        return not self.effects.isdisjoint(("absent", "likely", "uncertain"))


class _Mention(NamedTuple):
    findings: tuple[str, ...]
    says: Polarity | None
    span: _Span


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    span: _Span
    mentions: Sequence[_Mention]
    modifiers: Sequence[_Modifier]
    breaks: Sequence[_Span]
    verbs: Sequence[_Span]
    commas: Sequence[_Span]

    def governed(self, modifier: _Modifier) -> _Span:
        """The characters a modifier governs."""
        start, end = modifier.span
        if modifier.scope in ("after", "onward"):
            return _Span(end, self._next(end, self.breaks))
        if modifier.scope == "phrase":
            return _Span(end, self._next(end, self.breaks, self.commas))
        first = self._previous(start, self.breaks, self.verbs)
        if modifier.scope == "before":
            return _Span(first, start)
        last = self._next(end, self.breaks)
        left = [
            mention.span.start for mention in self.mentions if first <= mention.span.start and mention.span.end <= start
        ]
        right = [
            mention.span.end for mention in self.mentions if end <= mention.span.start and mention.span.end <= last
        ]
        return _Span(max(left, default=start), min(right, default=end))

    def effects(self, mention: _Mention, scopes: Sequence[_Span]) -> frozenset[Effect]:
        """What the modifiers do to a mention: of those ahead of it the nearest decides, and so of those behind it.

        ``scopes`` holds what each of the sentence's modifiers governs.
        """
        start, end = mention.span
        over = [
            modifier
            for modifier, scope in zip(self.modifiers, scopes, strict=True)
            if scope.start <= start and end <= scope.end
        ]
        ahead = [each for each in over if each.span.end <= start and each.scope != "beside" and each.polar]
        while len(ahead) > 1 and ahead[-1].scope == "onward" and "absent" in ahead[-2].effects:
            ahead.pop()
        behind = [each for each in over if each.span.start >= end and each.scope != "beside" and each.polar]
        either = [each for each in over if each.scope == "beside" or not each.polar]
        return frozenset().union(*(each.effects for each in (*ahead[-1:], *behind[:1], *either)))

    def beside(self, mention: _Mention, words: re.Pattern[str]) -> re.Match[str] | None:
        """A side or place in the mention's own words, else the last one ahead of it, else the first one behind it.

        Sought up to the neighbouring mentions, commas and breaks.
        """
        start, end = mention.span
        others = [other.span for other in self.mentions if other is not mention]
        room = (
            self._previous(start, self.breaks, self.commas, others),
            self._next(end, self.breaks, self.commas, others),
        )
        own, ahead = list(words.finditer(self.text, start, end)), list(words.finditer(self.text, room[0], start))
        return own[-1] if own else ahead[-1] if ahead else words.search(self.text, end, room[1])

    def _next(self, position: int, *stops: Sequence[_Span]) -> int:
        return min((each.start for group in stops for each in group if each.start >= position), default=self.span.end)

    def _previous(self, position: int, *stops: Sequence[_Span]) -> int:
        return max((each.end for group in stops for each in group if each.end <= position), default=self.span.start)


_SENTENCE_END = re.compile(r"[.?!;](?=\s|$)|\n\s*\n")
_COMMA = re.compile(",")
_LONGEST = 1000


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Sentences, a run of text without an end cut at ``_LONGEST`` so that no input takes quadratic time."""
    ends = [stop.end() for stop in _SENTENCE_END.finditer(text, start, end)]
    for stop in (*ends, end):
        while stop - start > _LONGEST:
            space = text.rfind(" ", start + 1, start + _LONGEST)
            cut = start + _LONGEST if space < 0 else space
            yield _Span(start, cut)
            start = cut
        if start < stop:
            yield _Span(start, stop)
        start = stop


def _read_sentence(text: str, span: _Span, section: SectionName) -> Iterator[Assertion]:
    rules = load_rules()
    mentions = _mentions(rules, text, span)
    if not mentions:
        return
    modifiers = [
        _Modifier(*rules.modifier_effects[matched_row(match)], _Span(*match.span()))
        for match in rules.modifiers.finditer(text, *span)
    ]
    stops = (
        [_Span(*match.span()) for match in stop.finditer(text, *span)] for stop in (rules.breaks, rules.verbs, _COMMA)
    )
    sentence = _Sentence(text, span, mentions, modifiers, *stops)
    scopes = [sentence.governed(modifier) for modifier in modifiers]
    for mention in mentions:
        effects = sentence.effects(mention, scopes)
        settled = mention.says or _settle(effects)
        if settled == "present" and section not in ("findings", "impression"):
            settled = "uncertain"
        side, place = (sentence.beside(mention, words) for words in (rules.sides, rules.places))
        for finding in mention.findings:
            yield Assertion(
                finding,
                settled,
                *mention.span,
                section,
                cast(Side, side.lastgroup) if side else None,
                place.lastgroup if place else None,
                "past" in effects,
            )


def _settle(effects: frozenset[Effect]) -> Polarity:
    order: tuple[Polarity, ...] = ("absent", "uncertain", "likely")
    return next((polarity for polarity in order if polarity in effects), "present")


def _mentions(rules: Rules, text: str, span: _Span) -> list[_Mention]:
    """Whole statements first, then words outside a statement about the same finding; in the order of the text."""
    found: list[_Mention] = []
    for statement in rules.statements:
        for match in statement.pattern.finditer(text, *span):
            if not (statement.unless and statement.unless.search(text, match.end(), span.end)):
                _add(found, statement.findings, statement.says, _Span(*match.span()))
    for match in rules.mentions.finditer(text, *span):
        _add(found, rules.mention_findings[matched_row(match)], None, _Span(*match.span()))
    return sorted(found, key=lambda mention: mention.span)


def _add(found: list[_Mention], findings: tuple[str, ...], says: Polarity | None, span: _Span) -> None:
    taken = {
        finding
        for other in found
        if other.span.start < span.end and span.start < other.span.end
        for finding in other.findings
    }
    if free := tuple(finding for finding in findings if finding not in taken):
        found.append(_Mention(free, says, span))
