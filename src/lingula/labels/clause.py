"""A sentence of a report: the findings it names, the words that change them, and how far these reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


class Site(NamedTuple):
    """Words that name a side or a place, and its code."""

    name: str
    span: Span


class Found(NamedTuple):
    """What a sentence says of a mention; ``side`` and ``place`` are None where none is named."""

    mention: Mention
    polarity: Polarity
    past: bool
    side: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence with all that stands in it, each in the order of the text.

    Attributes:
        breaks, turns, verbs, commas: where scopes may end (see ``Rules``).
        enclosed: by each of these in a parenthesis, the parenthesis.
        sides, places: words that name one.
    """

    text: str
    span: Span
    mentions: Sequence[Mention]
    modifiers: Sequence[Modifying]
    breaks: Sequence[Span]
    turns: Sequence[Span]
    verbs: Sequence[Span]
    commas: Sequence[Span]
    parentheses: Sequence[Span]
    enclosed: Mapping[Span, Span]
    sides: Sequence[Site]
    places: Sequence[Site]

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
                named = next((m.span for m in reversed(self.mentions) if m.span.end <= start), None)
                near = named and not self.text[named.end : start].strip(" \t:(,-")
                return Span(named.start, start) if named and near else Span(start, start)
        first, last = self._previous(start, self.breaks, self.verbs), self._next(end, self.breaks)
        left = [m.span.start for m in self.mentions if first <= m.span.start and m.span.end <= start]
        right = [m.span.end for m in self.mentions if end <= m.span.start and m.span.end <= last]
        return Span(max(left, default=start), min(right, default=end))

    def effects(self, mention: Mention, scopes: Sequence[Span]) -> frozenset[Effect]:
        """What the modifiers do to a mention: of those ahead of it the nearest decides, and so of those behind it.

        ``scopes`` holds what each of the sentence's modifiers governs.
        """
        start, end = mention.span
        aside = self._aside(mention)
        over = [
            modifier
            for modifier, scope in zip(self.modifiers, scopes, strict=True)
            if scope.start <= start and end <= scope.end and aside.start <= modifier.span.start < aside.end
        ]
        ahead = [each for each in over if each.span.end <= start and each.scope != "beside" and each.polar]
        while len(ahead) > 1 and ahead[-1].scope == "onward" and "absent" in ahead[-2].effects:
            ahead.pop()
        behind = [each for each in over if each.span.start >= end and each.scope != "beside" and each.polar]
        either = [each for each in over if each.scope == "beside" or not each.polar]
        return frozenset().union(*(each.effects for each in (*ahead[-1:], *behind[:1], *either)))

    def _aside(self, mention: Mention) -> Span:
        """Where modifiers of a mention may stand: in its parenthesis alone where that states something of its own
        ("no pneumothorax (small effusion)"); else anywhere in the sentence."""
        return next(
            (
                inner
                for inner in self.parentheses
                if inner.start < mention.span.start < inner.end and _STATES.match(self.text, inner.start)
            ),
            self.span,
        )

    def place_of(self, mention: Mention, sites: Sequence[Site], answer: Span | None) -> str | None:
        """A side or place in the mention's own words, else the last one ahead of it, else the first one behind it.

        Sought up to the neighbouring mentions, denials, commas and breaks, not beyond an "and" that opens another
        phrase; then in the answer to the mention, and behind the next comma ("nodule, right upper lobe").

        Args:
            sites: ``sides`` or ``places``.
            answer: where the answer of a form stands.
        """
        start, end = mention.span
        others = [other.span for other in self.mentions if other is not mention]
        denials = [each.span for each in self.modifiers if each.scope == "after" and "absent" in each.effects]
        stops = (self.breaks, self.turns, self.commas, others, denials)
        first, last = self._previous(start, *stops), self._next(end, *stops)
        own = [site for site in sites if start <= site.span.start and site.span.end <= end]
        ahead = [s for s in sites if first <= s.span.start < start and not self._parted(s.span.end, start)]
        behind = [site for site in sites if end <= site.span.start and site.span.end <= last]
        if (
            behind
            and any(other.start == last for other in others)
            and _AND.search(self.text, end, behind[0].span.start)
        ):
            behind = []
        if not (own or ahead or behind):
            ahead = self._subject(sites, first)
        if not (own or ahead or behind) and answer:
            behind = [site for site in sites if answer.start <= site.span.start and site.span.end <= answer.end]
        if not (own or ahead or behind) and self.text[last : last + 1] == ",":
            behind = self._apposed(sites, Span(last + 1, self._next(last + 1, self.commas)))
        return own[-1].name if own else ahead[-1].name if ahead else behind[0].name if behind else None

    def _parted(self, start: int, end: int) -> bool:
        """Whether an "and" parts a site from what follows: not the one in "right mid and upper zone nodule"."""
        joint = _AND.search(self.text, start, end)
        return joint is not None and not any(
            joint.end() <= site.span.start and site.span.end <= end for site in (*self.sides, *self.places)
        )

    def _subject(self, sites: Sequence[Site], start: int) -> list[Site]:
        """Sites of the subject of a verb that ends at ``start``: "the left lung shows consolidation"."""
        verb = next((each for each in self.breaks if each.end == start and _SHOWS.match(self.text, *each)), None)
        if verb is None:
            return []
        room = Span(self._previous(verb.start, self.breaks, self.turns, self.commas), verb.start)
        return [site for site in sites if room.start <= site.span.start and site.span.end <= room.end]

    def _apposed(self, sites: Sequence[Site], room: Span) -> list[Site]:
        """Sites at the beginning of words behind a comma that name nothing else."""
        named = [*(each.span for each in self.mentions), *(each.span for each in self.modifiers)]
        if any(room.start < each.end and each.start < room.end for each in named):
            return []
        if any(room.start <= verb.start < room.end for verb in self.verbs):
            return []
        inside = [site for site in sites if room.start <= site.span.start and site.span.end <= room.end]
        return [site for site in inside if len(self.text[room.start : site.span.start].split()) < 4]

    def _next(self, position: int, *stops: Sequence[Span]) -> int:
        ahead = (s.start for group in stops for s in group if s.start >= position and self._counts(s, position))
        return min(ahead, default=self.span.end)

    def _previous(self, position: int, *stops: Sequence[Span]) -> int:
        behind = (s.end for group in stops for s in group if s.end <= position and self._counts(s, position))
        return max(behind, default=self.span.start)

    def _counts(self, stop: Span, position: int) -> bool:
        """Whether a stop ends a scope at a position: none does that is in a parenthesis of its own."""
        inner = self.enclosed.get(stop)
        return inner is None or inner.start < position < inner.end


_COMMA = re.compile(",")
_AND = re.compile(r"\b(?:and|or|plus)\b", re.IGNORECASE)
_SHOWS = re.compile(r"shows?|demonstrat\w+", re.IGNORECASE)
_STATES = re.compile(
    r"\(\s*(?:but|with|only|there (?:is|are)|stable|unchanged|mild|moderate|small|minimal|persistent|new|tiny|trace|"
    r"large|old|known|chronic|residual|slight)\b",
    re.IGNORECASE,
)
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
_PLUS = re.compile(r"(?<=[\s,;(])\+(?=[a-z])", re.IGNORECASE)  # "no PTX, +effusion"
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
    changed = [
        each
        for each in modifiers(rules, text, span)
        if not any(word.start <= each.span.start < word.end for word in bare)
    ]
    breaks = sorted((*_spans(rules.breaks, text, span), *ends))
    turns, verbs, commas = _turns(rules, text, span), _spans(rules.verbs, text, span), _spans(_COMMA, text, span)
    parentheses = _spans(_PARENTHESIS, text, span)
    enclosed = {
        stop: inner
        for inner in parentheses
        for stop in (*breaks, *turns, *verbs, *commas)
        if inner.start < stop.start < inner.end
    }
    sides, places = (_sites(words, text, span) for words in (rules.sides, rules.places))
    return Clause(
        text, span, named, changed, breaks, turns, verbs, commas, parentheses, enclosed, sides, places
    )  # fmt: skip


def _spans(words: re.Pattern[str], text: str, span: Span) -> list[Span]:
    return [Span(*match.span()) for match in words.finditer(text, *span)]


def _sites(words: re.Pattern[str], text: str, span: Span) -> list[Site]:
    return [Site(str(match.lastgroup), Span(*match.span())) for match in words.finditer(text, *span)]


def _turns(rules: Rules, text: str, span: Span) -> list[Span]:
    """Where a denial ends that stands ahead: "without shift and right effusion", "no effusion - left nodule"."""
    found = [m for m in rules.turns.finditer(text, *span) if not _SITED.search(text, span.start, m.start())]
    found += _PLUS.finditer(text, *span)
    found += [m for m in _DASH.finditer(text, *span) if rules.closed_end.search(text, span.start, m.start())]
    return sorted(Span(*m.span()) for m in found)


def settle(effects: frozenset[Effect]) -> Polarity:
    """Of several effects the one that decides."""
    order: tuple[Polarity, ...] = ("absent", "uncertain", "likely")
    return next((polarity for polarity in order if polarity in effects), "present")


def linked(rules: Rules, text: str, found: Sequence[Found]) -> Iterator[Found]:
    """Findings that name the same thing share its side and place ("left lower lobe opacity consistent with
    pneumonia"), and so do those that follow ("or atelectasis")."""
    last: Found | None = None
    before, shares = last, False
    for each in found:
        if last and each.mention.span != last.mention.span:
            before, between = last, Span(last.mention.span.end, each.mention.span.start)
            link = rules.links.search(text, *between)
            joined = shares and _OTHERWISE.fullmatch(text, *between)
            shares = bool(joined or (link and _PLACED.fullmatch(text, between.start, link.start())))
        if before and shares and each.side is None and each.place is None:
            each = each._replace(side=before.side, place=before.place)
        last = each
        yield each


_OTHERWISE = re.compile(r"\s*,?\s*(?:or|versus|vs\.?|and/or|/|and)\s*(?:[\w-]+\s+){0,3}", re.IGNORECASE)
_PLACED = re.compile(r"[\w\s(),-]{0,60}")
