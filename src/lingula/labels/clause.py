"""A sentence of a report: the findings it names, the words that change them, and how far these reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from lingula.labels.assertion_rules import Effect, Polarity, Rules, Scope
from lingula.labels.sentences import Span


class Mention(NamedTuple):
    """Words that name findings; ``says`` where they assert by themselves."""

    findings: tuple[str, ...]
    says: Polarity | None
    span: Span


class Modifying(NamedTuple):
    """Words that change the findings in their scope."""

    effects: frozenset[Effect]
    scope: Scope
    span: Span

    @property
    def polar(self) -> bool:
        """Whether it speaks of presence."""
        return not self.effects.isdisjoint(("absent", "likely", "uncertain", "void"))


class Found(NamedTuple):
    """What a sentence says of a mention; ``side`` and ``place`` are None where none is named."""

    mention: Mention
    polarity: Polarity
    past: bool
    side: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence with all that stands in it, each in the order of the text."""

    text: str
    span: Span
    mentions: Sequence[Mention]
    modifiers: Sequence[Modifying]
    breaks: Sequence[Span]
    turns: Sequence[Span]
    verbs: Sequence[Span]
    commas: Sequence[Span]
    parentheses: Sequence[Span]

    def governed(self, modifier: Modifying) -> Span:
        """The characters a modifier governs; inside a parenthesis none outside it."""
        start, end = self._governed(modifier)
        if modifier.scope == "answer":
            return Span(start, end)
        for inner in self.parentheses:
            if inner.start < modifier.span.start < inner.end:
                names = any(inner.start <= mention.span.start < inner.end for mention in self.mentions)
                start, end = max(start, inner.start) if names else start, min(end, inner.end)
        return Span(start, end)

    def _governed(self, modifier: Modifying) -> Span:
        start, end = modifier.span
        match modifier.scope:
            case "after" | "onward":
                return Span(end, self._next(end, self.breaks, self.turns if "absent" in modifier.effects else ()))
            case "phrase":
                return Span(end, self._next(end, self.breaks, self.commas))
            case "before":
                return Span(self._previous(start, self.breaks, self.verbs), start)
            case "back":
                return Span(self._previous(start, self.breaks, self.commas), start)
            case "clause":
                return Span(self._previous(start, self.breaks), self._next(end, self.breaks))
            case "answer":
                last = next((m.span for m in reversed(self.mentions) if m.span.end <= start), None)
                beside = last and not self.text[last.end : start].strip(" \t:(,-")
                return Span(last.start, start) if last and beside else Span(start, start)
        first, last = self._previous(start, self.breaks, self.verbs), self._next(end, self.breaks)
        left = [m.span.start for m in self.mentions if first <= m.span.start and m.span.end <= start]
        right = [m.span.end for m in self.mentions if end <= m.span.start and m.span.end <= last]
        return Span(max(left, default=start), min(right, default=end))

    def effects(self, mention: Mention, scopes: Sequence[Span]) -> frozenset[Effect]:
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

    def beside(self, mention: Mention, words: re.Pattern[str], answer: Span | None) -> str | None:
        """A side or place in the mention's own words, else the last one ahead of it, else the first one behind it.

        Sought up to the neighbouring mentions, commas and breaks, and in the answer to the mention.
        """
        start, end = mention.span
        others = [other.span for other in self.mentions if other is not mention]
        room = (
            self._previous(start, self.breaks, self.turns, self.commas, others),
            self._next(end, self.breaks, self.turns, self.commas, others),
        )
        own, ahead = list(words.finditer(self.text, start, end)), list(words.finditer(self.text, room[0], start))
        found = own[-1] if own else ahead[-1] if ahead else words.search(self.text, end, room[1])
        if not found and answer:
            found = words.search(self.text, *answer)
        return found.lastgroup if found else None

    def _next(self, position: int, *stops: Sequence[Span]) -> int:
        ahead = (each.start for each in self._outside(position, stops) if each.start >= position)
        return min(ahead, default=self.span.end)

    def _previous(self, position: int, *stops: Sequence[Span]) -> int:
        behind = (each.end for each in self._outside(position, stops) if each.end <= position)
        return max(behind, default=self.span.start)

    def _outside(self, position: int, stops: Sequence[Sequence[Span]]) -> Iterator[Span]:
        """The stops that count at a position: none inside a parenthesis that does not hold it."""
        aside = [inner for inner in self.parentheses if not inner.start < position < inner.end]
        for group in stops:
            for each in group:
                if not any(inner.start < each.start < inner.end for inner in aside):
                    yield each


_COMMA = re.compile(",")
_PARENTHESIS = re.compile(r"\([^()]*\)?")
_ASIDE = re.compile(r"(?:^|(?<=[\s(,;:]))\?+(?=\s?\w)")  # "?pneumonia"
_ASKED = re.compile(r"(?<=[\w)])\s?\?+|\(\s*\?+\s*\)")  # "pneumonia?"
_CLOSE = re.compile(
    r"\s*(?:$|[,;:.)(\]\"|!]|(?:in|on|at|given|by|as|because|due|from|within|but|and|or|which|with|this|today|now|"
    r"currently|based|though|although|while|over|than)\b)",
    re.IGNORECASE,
)
_DASH = re.compile(
    r"\s-{1,2}>?\s|\s&\s(?=(?:an? )?(?:small|tiny|trace|large|left|right|bilateral|moderate|mild|stable|new|old)\b)",
    re.IGNORECASE,
)
_SITED = re.compile(  # "no left midlung and left basilar opacity": the finding is still to come
    r"(?:left|right|upper|lower|mid\w*|lobe|zone|lung|apical|bas\w+|hil\w+|mediastinal|pleural)\s+$", re.IGNORECASE
)
_ENDS = re.compile(r"\s*(?:$|[).,;\]|\n])")
_UNSURE: frozenset[Effect] = frozenset({"uncertain"})


def modifiers(rules: Rules, text: str, span: Span) -> list[Modifying]:
    """The modifiers of a sentence: of those that begin at one place the longest."""
    kept: list[Modifying] = []
    for _, start, _ in rules.any_modifier.finditer(text, *span):
        here = _modifying(rules, text, span, start) if not kept or kept[-1].span.end <= start else ()
        if longest := max(here, key=lambda one: (one.scope == "answer", one.span.end), default=None):
            kept.append(longest)
    if "?" in text[span.start : span.end]:
        kept += [Modifying(_UNSURE, "phrase", Span(*m.span())) for m in _ASIDE.finditer(text, *span)]
        kept += [Modifying(_UNSURE, "back", Span(*m.span())) for m in _ASKED.finditer(text, *span)]
    return sorted(kept, key=lambda one: one.span)


def _modifying(rules: Rules, text: str, span: Span, start: int) -> Iterator[Modifying]:
    """The modifiers that begin at a place."""
    for row in rules.modifiers:
        if not (match := row.pattern.match(text, start, span.end)):
            continue
        here, scope = Span(*match.span()), row.scope
        if (row.ahead and not row.ahead.search(text, span.start, start)) or (
            row.behind and not row.behind.search(text, here.end, span.end)
        ):
            continue
        if scope == "answer" and not _stands_alone(text, span, here):
            continue
        if scope == "near":
            closed = start > span.start and _CLOSE.match(text, here.end, span.end)
            scope = "before" if closed else "after"
        yield Modifying(row.effects, scope, here)


def _stands_alone(text: str, span: Span, words: Span) -> bool:
    """Whether words answer what is ahead of them: "Pneumonia (history)", "Effusion: previously."."""
    return text[span.start : words.start].rstrip()[-1:] in ("(", ":", ",", "-", "=", "\t", "|") and bool(
        _ENDS.match(text, words.end, span.end)
    )


def mentions(rules: Rules, text: str, plain: str, span: Span) -> list[Mention]:
    """Whole statements first, then words outside a statement about the same finding; in the order of the text.

    ``plain`` is the text with blanks for colons and bars: "Heart: normal" is a statement.
    """
    found: list[Mention] = []
    for statement in rules.statements:
        for match in statement.pattern.finditer(plain, *span):
            if not (statement.unless and statement.unless.search(text, match.end(), span.end)):
                _add(found, statement.findings, statement.says, Span(*match.span()))
    for row, start, end in rules.mentions.finditer(text, *span):
        _add(found, rules.mention_findings[row], None, Span(start, end))
    return sorted(found, key=lambda mention: mention.span)


def _add(found: list[Mention], findings: tuple[str, ...], says: Polarity | None, span: Span) -> None:
    taken = {
        finding
        for other in found
        if other.span.start < span.end and span.start < other.span.end
        for finding in other.findings
    }
    if free := tuple(finding for finding in findings if finding not in taken):
        found.append(Mention(free, says, span))


def clause(
    rules: Rules, text: str, span: Span, named: Sequence[Mention], ends: Sequence[Span] = (), bare: Sequence[Span] = ()
) -> Clause:
    """The sentence with its mentions.

    Args:
        ends: further places at which every scope ends.
        bare: words that change nothing here.
    """
    stops = [Span(*match.span()) for match in rules.breaks.finditer(text, *span)]
    return Clause(
        text,
        span,
        named,
        [
            each
            for each in modifiers(rules, text, span)
            if not any(word.start <= each.span.start < word.end for word in bare)
        ],
        sorted((*stops, *ends)),
        _turns(rules, text, span),
        [Span(*match.span()) for match in rules.verbs.finditer(text, *span)],
        [Span(*match.span()) for match in _COMMA.finditer(text, *span)],
        [Span(*match.span()) for match in _PARENTHESIS.finditer(text, *span)],
    )


def _turns(rules: Rules, text: str, span: Span) -> list[Span]:
    """Where a denial ends that stands ahead: "without shift and right effusion", "no effusion - left nodule"."""
    found = [m for m in rules.turns.finditer(text, *span) if not _SITED.search(text, span.start, m.start())]
    found += [m for m in _DASH.finditer(text, *span) if rules.closed_end.search(text, span.start, m.start())]
    return sorted(Span(*m.span()) for m in found)


def settle(effects: frozenset[Effect]) -> Polarity:
    """Of several effects the one that decides."""
    order: tuple[Polarity, ...] = ("absent", "uncertain", "likely")
    return next((polarity for polarity in order if polarity in effects), "present")


def linked(rules: Rules, text: str, found: Sequence[Found]) -> Iterator[Found]:
    """Findings that name the same thing share its side and place ("left lower lobe opacity consistent with
    pneumonia")."""
    if not found:
        return
    yield found[0]
    last = found[0]
    for before, each in pairwise(found):
        between = before.mention.span.end, each.mention.span.start
        if before.mention.span == last.mention.span:
            before = last
        if each.side is None and each.place is None and rules.links.fullmatch(text, *between):
            each = each._replace(side=before.side, place=before.place)
        last = each
        yield each
