"""Why two studies are alike, in three sentences; and which matched regions carry enough of the score to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lingula.explanation.similarity import Change, Match, Similarity
from lingula.labels.findings import in_prose
from lingula.study import NORMAL, Study

SHARE = 0.01
"""Least share of the score that a matched region must carry to be shown."""
_MIDLINE = 0.08
"""Of a film's width: how far over the midline a place may lie and still count to the other side."""
_CORNER = (0.2, 0.14)
"""Width and height of an upper corner, where side markers stand, in shares of the film."""

Place = tuple[int, int, int, int, int]


class PairOfFindings(Protocol):
    """What the sentences need of a finding of either study (``FindingPair``)."""

    @property
    def finding(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def one(self) -> str | None: ...
    @property
    def other(self) -> str | None: ...
    @property
    def basis(self) -> tuple[str, str]: ...


def carrying(found: Similarity) -> tuple[Match, ...]:
    """The matched regions that carry the score: a hundredth of it at least, left with left, no side marker."""
    least = SHARE * abs(found.score)

    def is_shown(match: Match) -> bool:
        one, other = _centre(match.one, found.one.study), _centre(match.other, found.other.study)
        same = (one[0] - 0.5) * (other[0] - 0.5) >= 0 or min(abs(one[0] - 0.5), abs(other[0] - 0.5)) <= _MIDLINE
        both_frontal = all(
            side.study.radiographs[place[0]].view != "lateral"
            for side, place in ((found.one, match.one), (found.other, match.other))
        )
        return match.score >= least and (same or not both_frontal) and not _in_corner(one) and not _in_corner(other)

    return tuple(match for match in found.matches if is_shown(match))


def why_words(
    shared: Sequence[PairOfFindings], differing: Sequence[PairOfFindings], changes: Sequence[Change], study: Study
) -> tuple[str, ...]:
    """At most three sentences: what is alike, what differs, without what of the query ``study`` it would fall."""
    return tuple(filter(None, (_alike(shared), _different(differing), _without(changes, study))))


def zone(x: float, y: float) -> str:
    """A place on a frontal film, in shares of its width and height: "left lower zone", "heart", "mediastinum"."""
    if abs(x - 0.53) < 0.12:
        return "heart" if y > 0.45 else "mediastinum"
    third = "upper" if y < 0.38 else "mid" if y < 0.6 else "lower"
    return f"{'right' if x < 0.5 else 'left'} {third} zone"


def _alike(pairs: Sequence[PairOfFindings]) -> str:
    shared = [pair for pair in pairs if pair.finding != NORMAL]
    if not shared:
        return "Alike: in look; no finding is named in both."
    both = [in_prose(pair.name) for pair in shared if pair.basis == ("report", "report")]
    named = f"; both reports name {_and(both)}." if both else "."
    return f"Alike: {_and([in_prose(pair.name) for pair in shared])}{named}"


def _different(pairs: Sequence[PairOfFindings]) -> str:
    here = [in_prose(pair.name) for pair in pairs if pair.one == "present" and pair.finding != NORMAL]
    there = [in_prose(pair.name) for pair in pairs if pair.other == "present" and pair.finding != NORMAL]
    parts = [f"yours shows {_and(here)}"] if here else []
    parts += [f"this one shows {_and(there)}"] if there else []
    return f"Different: {'; '.join(parts)}." if parts else ""


def _without(changes: Sequence[Change], study: Study) -> str:
    """The first change that was found: one of something, after which the rank is another."""
    telling = (each for each in changes if each.found and each.rank_after > each.rank_before)
    change = next((each for each in telling if each.words or each.places), None)
    if change is None:
        return ""
    if change.words and study.report:
        said = dict.fromkeys(study.report.text[slice(*span)] for span in change.words)
        covered = "Without the words " + _and([f"“{word}”" for word in said][:3])
    else:
        places = dict.fromkeys(zone(*_centre(place, study)) for place in change.places)
        covered = f"With the {_and(list(places)[:3])} covered"
    return f"{covered} it would fall from {_ordinal(change.rank_before)} to {_ordinal(change.rank_after)}."


def _centre(place: Place, study: Study) -> tuple[float, float]:
    film, x, y, width, height = place
    rows, columns = study.radiographs[film].pixels.shape
    return (x + width / 2) / columns, (y + height / 2) / rows


def _in_corner(place: tuple[float, float]) -> bool:
    x, y = place
    return y < _CORNER[1] and (x < _CORNER[0] or x > 1 - _CORNER[0])


def _and(words: Sequence[str]) -> str:
    shown = list(words[:4])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def _ordinal(rank: int) -> str:
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
