"""The writing task: an impression marked against the report, finding by finding, with both passages.

Both texts are read by ``labels.assertions``. What counts is what each says on the whole, now, in findings and
impression: why the film was taken and what was before are not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lingula.labels import search_findings
from lingula.labels.assertion_rules import Polarity
from lingula.labels.assertions import FOUND, STRENGTH, Assertion, denies, polarity, read_assertions
from lingula.labels.findings import label_of
from lingula.labels.sentences import folded, split
from lingula.plain import plain
from lingula.study import Report

WritingStatus = Literal["found", "missed", "invented", "wrong_side", "hedged_otherwise"]
NORMAL = "normal"
ORDER: tuple[Polarity, ...] = (*STRENGTH, "absent")
SECTIONS_READ = ("findings", "impression")
DENIED_IN_GENERAL = ("abnormality", "disease", "process", "finding", "pathology")
"""Words whose denial says that a film is normal, though they name no finding."""


@dataclass(frozen=True, slots=True)
class Passage:
    """``text``, a sentence from character ``start`` to ``end`` of the report it stands in."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WritingMark:
    """What became of one finding.

    Attributes:
        finding: a label's code, or that of a finding without a label; ``normal`` for a film without any.
        written_as, reported_as: what each text says of it; None where it does not mention it.
        written_sides, reported_sides: the sides named with it, of left and right.
        written, reported: the sentences that say so, in the order of their text.
    """

    finding: str
    status: WritingStatus
    written_as: Polarity | None
    reported_as: Polarity | None
    written_sides: tuple[str, ...]
    reported_sides: tuple[str, ...]
    written: tuple[Passage, ...]
    reported: tuple[Passage, ...]

    def to_json(self, names: Mapping[str, str]) -> dict[str, Any]:
        """Plain data; ``names`` are the findings' for a reader."""
        return {"name": names.get(self.finding, self.finding), **plain(self)}


def mark_impression(written: Report, reported: Report) -> tuple[WritingMark, ...]:
    """Compare an impression with the report, each finding that either asserts once.

    A finding is *found* where both assert it with the same certainty and no other side; *wrong side* where both name
    sides and not the same; *hedged otherwise* where one is surer than the other, or denies what the other holds for
    possible; *missed* where only the report asserts it, *invented* where only the impression does. ``normal`` is found
    where neither asserts anything and the impression says so, missed or invented where only one does.

    Returns:
        Marks in the order of the report, then what was invented in the order of the impression; empty where the
        impression says nothing that was understood and the report asserts nothing.
    """
    own, theirs = _Reading.of(written), _Reading.of(reported)
    own = own.aligned(theirs)
    codes = [code for code in theirs.order if theirs.asserts(code)]
    codes += [code for code in own.order if own.asserts(code) and code not in codes]
    marks = [_mark(code, own, theirs) for code in codes]
    return (*_normal(own, theirs), *marks)


def unread(written: Report) -> bool:
    """Whether nothing in a text was understood: it names no finding and denies nothing in general."""
    reading = _Reading.of(written)
    return not reading.order and not reading.denies_in_general


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a text asserts, by unit: a label, or a finding without one."""

    report: Report
    assertions: Mapping[str, tuple[Assertion, ...]]

    @classmethod
    def of(cls, report: Report) -> _Reading:
        by_unit: dict[str, list[Assertion]] = {}
        for unit, assertion in _units(read_assertions(report)):
            by_unit.setdefault(unit, []).append(assertion)
        return cls(report, {unit: tuple(each) for unit, each in by_unit.items()})

    @property
    def order(self) -> list[str]:
        return [unit for unit in self.assertions if unit != NORMAL]

    def said(self, unit: str) -> Polarity | None:
        about = self.assertions.get(unit, ())
        names = {each.finding for each in about}
        said = {polarity([each for each in about if each.section in SECTIONS_READ], name) for name in names}
        return next((each for each in ORDER if each in said), None)

    def asserts(self, unit: str) -> bool:
        return self.said(unit) in STRENGTH

    @property
    def is_normal(self) -> bool:
        """No finding is asserted, and something was said."""
        return not any(map(self.asserts, self.order)) and (bool(self.assertions) or self.denies_in_general)

    @property
    def denies_in_general(self) -> bool:
        return any(denies(self.report, word) for word in DENIED_IN_GENERAL)

    def telling(self, unit: str) -> list[Assertion]:
        """The assertions that decide what is said of a unit."""
        said = self.said(unit)
        about = [each for each in self.assertions.get(unit, ()) if each.section in SECTIONS_READ]
        return [each for each in about if each.polarity == said and not (each.past and said in STRENGTH)]

    def sides(self, unit: str) -> tuple[str, ...]:
        named = {each.side for each in self.assertions.get(unit, ())
                 if each.polarity in STRENGTH and not each.past and each.section in SECTIONS_READ}  # fmt: skip
        return tuple(side for side in ("left", "right") if {side, "bilateral"} & named)

    def passages(self, unit: str) -> tuple[Passage, ...]:
        text, found = folded(self.report.text), dict[tuple[int, int], Passage]()
        for each in self.telling(unit) or self.assertions.get(unit, ()):
            section = next(part for part in self.report.sections if part.start <= each.start < part.end)
            span = next(
                (one for one in split(text, section.start, section.end) if one.start <= each.start < one.end), None
            )
            start, end = (span.start, span.end) if span else (each.start, each.end)
            found[start, end] = Passage(self.report.text[start:end].strip(), start, end)
        return tuple(found[span] for span in sorted(found))

    def aligned(self, other: _Reading) -> _Reading:
        """The same reading, with kinds of a finding under the name that the other text has: a *tube* for its
        *endotracheal tube*."""
        renamed: dict[str, tuple[Assertion, ...]] = {}
        for unit, about in self.assertions.items():
            name = unit
            if unit not in other.assertions:
                name = next(
                    (each for each in other.order if each not in self.assertions and _related(unit, each)), unit
                )
            renamed[name] = (*renamed.get(name, ()), *about)
        return _Reading(self.report, renamed)


def _units(assertions: Iterable[Assertion]) -> Iterable[tuple[str, Assertion]]:
    """Each assertion under its unit, the widest of the same words left out: they assert a tube and a device, too."""
    by_words: dict[tuple[int, int], list[Assertion]] = {}
    for each in assertions:
        by_words.setdefault((each.start, each.end), []).append(each)
    for about in by_words.values():
        wider = {kind for each in about for kind in _kinds(each.finding)}
        yield from ((label_of(each.finding), each) for each in about if each.finding not in wider)


def _kinds(code: str) -> tuple[str, ...]:
    """The wider findings that a finding is a kind of, the nearest first."""
    known, found = search_findings(), []
    while code in known and (wider := known[code].kind_of):
        found.append(wider)
        code = wider
    return tuple(found)


def _related(one: str, other: str) -> bool:
    return one in _kinds(other) or other in _kinds(one)


def _mark(code: str, own: _Reading, theirs: _Reading) -> WritingMark:
    said, told = own.said(code), theirs.said(code)
    here, there = own.sides(code), theirs.sides(code)
    status: WritingStatus
    if said in STRENGTH and told in STRENGTH:
        other_side = here and there and here != there
        status = "wrong_side" if other_side else "found" if said == told else "hedged_otherwise"
    elif told in STRENGTH:
        status = "hedged_otherwise" if told not in FOUND and said == "absent" else "missed"
    else:
        status = "hedged_otherwise" if said not in FOUND and told == "absent" else "invented"
    return WritingMark(
        finding=code, status=status, written_as=said, reported_as=told, written_sides=here, reported_sides=there,
        written=own.passages(code), reported=theirs.passages(code),
    )  # fmt: skip


def _normal(own: _Reading, theirs: _Reading) -> tuple[WritingMark, ...]:
    if not (own.is_normal or theirs.is_normal):
        return ()
    status: WritingStatus = "found" if own.is_normal and theirs.is_normal else "invented" if own.is_normal else "missed"
    said: Polarity | None = "present" if own.is_normal else None
    told: Polarity | None = "present" if theirs.is_normal else None
    mark = WritingMark(
        finding=NORMAL, status=status, written_as=said, reported_as=told, written_sides=(), reported_sides=(),
        written=own.passages(NORMAL), reported=theirs.passages(NORMAL),
    )  # fmt: skip
    return (mark,)
