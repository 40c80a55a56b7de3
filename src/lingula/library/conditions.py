"""Which studies a search may answer with: conditions on records.

They say what is stored, not what a reader means by it: whether "no effusion" wants an absent mention or only no present
one is for the caller to spell out.
"""

from __future__ import annotations

from dataclasses import dataclass

from lingula.study import View


@dataclass(frozen=True, slots=True)
class Asserts:
    """The report holds an assertion like this; an attribute that is None or empty may be anything."""

    finding: str = ""
    polarities: tuple[str, ...] = ()
    past: bool | None = None
    sides: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def holds(self, polarity: str, past: bool, side: str | None, place: str | None, section: str) -> bool:
        """Whether an assertion of the finding is like this."""
        return (
            (not self.polarities or polarity in self.polarities)
            and (self.past is None or past == self.past)
            and (not self.sides or side in self.sides)
            and (not self.places or place in self.places)
            and (not self.sections or section in self.sections)
        )


@dataclass(frozen=True, slots=True)
class Says:
    """The report holds these words in this order; case and endings do not matter."""

    phrase: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """The study is coded with this label."""

    label: str


@dataclass(frozen=True, slots=True)
class Coded:
    """Somebody coded the study, with or without labels."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The study has a report."""


@dataclass(frozen=True, slots=True)
class Shows:
    """It has a radiograph of this view."""

    view: View


@dataclass(frozen=True, slots=True)
class Aged:
    """Age in years is known and in this range, both ends included; everybody older than 90 counts as 90."""

    youngest: int = 0
    oldest: int = 90


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: tuple[Condition, ...]


Condition = Asserts | Says | Labelled | Coded | Reported | Shows | Aged | Not | AnyOf
