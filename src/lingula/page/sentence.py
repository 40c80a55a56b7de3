"""What an analysis says in one sentence, and what a figure means in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lingula.labels import read_assertions
from lingula.labels.findings import in_prose, label_of
from lingula.study import NORMAL, Prediction, Report

NAMED = 4
"""Findings named in a group before the others are counted."""
Kind = Literal["likely", "normal", "unsure", "cannot_judge"]
_STARTS = {"likely": "Likely", "unsure": "Unsure", "cannot_judge": "Cannot judge from a film"}


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of the sentence: "Likely" and the findings named; ``findings`` is empty for "Nothing stands out"."""

    kind: Kind
    start: str
    findings: str = ""

    def __str__(self) -> str:
        return f"{self.start}: {self.findings}." if self.findings else f"{self.start}."


def sentence(predictions: Sequence[Prediction], report: Report | None = None) -> tuple[Phrase, ...]:
    """The answer in words: what is likely, or that nothing stands out; what is unsure; what cannot be judged.

    *Normal* is no finding: it is never listed. Sides are the report's, where it names one.
    """
    found = sorted((p for p in predictions if p.label != NORMAL), key=lambda p: (-p.probability, p.label))
    if not found:
        return ()
    sides = _sides(report)
    groups: dict[Kind, list[Prediction]] = {
        "likely": [p for p in found if p.decision == "present"],
        "unsure": [p for p in found if p.decision == "abstain"],
        "cannot_judge": [p for p in found if p.decision == "cannot_judge"],
    }
    calm = "Nothing that can be judged stands out" if groups["cannot_judge"] else "Nothing stands out"
    said = [] if groups["likely"] else [Phrase("normal", calm)]
    said += [Phrase(kind, _STARTS[kind], _listed(group, sides)) for kind, group in groups.items() if group]
    return tuple(said)


def in_ten(share: float) -> str:
    """A share as a count of ten: "8 of 10"; shares near nothing and near all in words."""
    tenths = round(share * 10)
    return "nearly none" if tenths == 0 else "nearly all" if tenths == 10 else f"{tenths} of 10"


def odds_words(shares: str) -> str:
    """Odds in round numbers, with nothing and everything in words: "3 in 4", "nearly all"."""
    return {"0 in 10": "nearly none", "10 in 10": "nearly all"}.get(shares, shares)


def operating_words(name: str, sensitivity: float | None, specificity: float | None) -> str:
    """What a threshold costs, in words; empty where validation cannot tell."""
    if sensitivity is None or specificity is None:
        return ""
    return (
        f"At its threshold the model finds {in_ten(sensitivity)} studies with {in_prose(name)} and leaves alone "
        f"{in_ten(specificity)} of those without it."
    )


def _listed(group: Sequence[Prediction], sides: dict[str, str]) -> str:
    names = [in_prose(p.name) + (f" ({sides[p.label]})" if p.label in sides else "") for p in group]
    more = len(names) - NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:NAMED])} and {more} others"


def _sides(report: Report | None) -> dict[str, str]:
    """By label the side that a report says of it as present."""
    sides: dict[str, str] = {}
    for said in read_assertions(report) if report else ():
        if said.polarity == "present" and said.side and not said.past:
            sides.setdefault(label_of(said.finding), "both sides" if said.side == "bilateral" else said.side)
    return sides
