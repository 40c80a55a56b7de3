"""What a report asserts: findings with polarity, side, place and where the words stand.

A reader of the ConText kind (Harkema et al. 2009, J Biomed Inform 42(5):839-851): mentions of findings are sought
sentence by sentence (``sentences``), and modifiers ("no", "is not seen", "cannot exclude", "has resolved") change those
in their scope (``clause``); in a form the answer behind a finding decides (``answers``). All words are data in
``assertions.json``. Standard library only; one to two milliseconds per report.

Only findings and impression assert; what the indication or comparison names without a modifier is *uncertain*: it is
why the film was taken, not what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from lingula.labels.answers import Form, form
from lingula.labels.assertion_rules import Polarity, Rules, load_rules
from lingula.labels.clause import Clause, Found, Mention, clause, linked, mentions, modifiers, settle
from lingula.labels.languages import is_foreign, other_language
from lingula.labels.laterality import Side
from lingula.labels.sentences import Span, folded, split
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
    """All assertions of a report, in the order of its text; none of a sentence in another language than English."""
    text, foreign = folded(report.text), other_language(report.text) is not None
    plain = text.translate(_COLONS)
    found = [
        assertion
        for section in report.sections
        for span in split(text, section.start, section.end)
        for assertion in _read_sentence(text, plain, span, section.name, foreign)
    ]
    return tuple(sorted(found, key=lambda each: (each.start, each.end, each.finding)))


def polarity(assertions: Iterable[Assertion], finding: str) -> Polarity | None:
    """What a report says of a finding on the whole; None when it does not mention it.

    The strongest mention that is not of the past decides, in the order present, likely, uncertain; what is said of the
    past alone counts as absent now. Why the film was taken, and what it was compared with, count where findings and
    impression do not mention it.
    """
    about = [each for each in assertions if each.finding == finding]
    seen = [each for each in about if each.section in ("findings", "impression")]
    said = {(each.polarity, each.past) for each in seen or about}
    for strongest in STRENGTH:
        if (strongest, False) in said:
            return strongest
    return "absent" if said else None


def unread_words(text: str) -> tuple[str, ...]:
    """The words of a question that neither name a finding, side or place nor say anything about one, in lower case."""
    rules, text = load_rules(), folded(text)
    kept = list(text)
    statements, modifiers = ([each.pattern for each in rows] for rows in (rules.statements, rules.modifiers))
    for _, start, end in rules.mentions.finditer(text, 0, len(text)):
        kept[start:end] = " " * (end - start)
    for pattern in (*statements, *modifiers, rules.sides, rules.places, rules.breaks, rules.verbs, rules.fillers):
        for match in pattern.finditer(text):
            kept[match.start() : match.end()] = " " * len(match.group())
    return tuple(dict.fromkeys(re.findall(r"\w[\w-]*", "".join(kept).lower())))


def denies(report: Report, word: str) -> bool:
    """Whether findings and impression hold a word, with any ending, and deny it wherever they do."""
    rules, text, stem, held = load_rules(), folded(report.text), _stem(word), False
    for section in report.sections:
        if section.name not in ("findings", "impression") or not stem.search(text, section.start, section.end):
            continue
        for span in split(text, section.start, section.end):
            named = [Mention((word,), None, Span(*match.span())) for match in stem.finditer(text, *span)]
            if named and not any("absent" in modifier.effects for modifier in modifiers(rules, text, span)):
                return False
            for mention in named:
                sentence = clause(rules, text, span, [mention])
                if "absent" not in sentence.effects(mention, [sentence.governed(each) for each in sentence.modifiers]):
                    return False
                held = True
    return held


@lru_cache(maxsize=256)
def _stem(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word[: max(4, len(word) - 2)])}\w*", re.IGNORECASE)


_COLONS = str.maketrans(":=|\t", "    ")


def _read_sentence(text: str, plain: str, span: Span, section: SectionName, foreign: bool) -> Iterator[Assertion]:
    rules = load_rules()
    named = mentions(rules, text, plain, span)
    if not named or (foreign or is_foreign(text[span.start : span.end])):
        return
    filled = form(rules, text, span, named)
    sentence = clause(rules, text, span, named, filled.ends, filled.bare)
    scopes = [sentence.governed(modifier) for modifier in sentence.modifiers]
    found = [one for at, mention in enumerate(named) if (one := _found(rules, sentence, scopes, filled, at, mention))]
    for one in linked(rules, text, found):
        settled = one.polarity
        if settled == "present" and section not in ("findings", "impression"):
            settled = "uncertain"
        for finding in one.mention.findings:
            side, place = cast(Side | None, one.side), one.place
            yield Assertion(finding, settled, *one.mention.span, section, side, place, one.past)


def _found(rules: Rules, sentence: Clause, scopes: list[Span], filled: Form, at: int, mention: Mention) -> Found | None:
    """What a sentence says of one mention; None where it asserts nothing."""
    effects = sentence.effects(mention, scopes)
    if at in filled.answers:
        answer = filled.answers[at]
        if answer is None:
            return None
        settled: Polarity = answer
    elif mention.says:
        settled = mention.says
    elif "void" in effects and "absent" not in effects:
        return None
    else:
        settled = settle(effects)
    sites = (sentence.sides, sentence.places)
    side, place = (sentence.place_of(mention, each, filled.rooms.get(at)) for each in sites)
    past = "past" in effects and ("absent" in effects or "now" not in effects)
    return Found(mention, settled, past, side, place)
