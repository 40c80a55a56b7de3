"""Which studies a search may answer with: conditions on records, answered in SQL by either database.

They say what is stored, not what a reader means by it: whether "no effusion" wants an absent mention or only no present
one is for the caller to spell out.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from lingula.errors import InputError
from lingula.library.database import Database
from lingula.library.schema import FindingRow, LabelRow, RadiographRow, StudyRow
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


def clause(condition: Condition, database: Database) -> sa.ColumnElement[bool]:
    """The condition on a row of ``study``.

    Raises:
        InputError: ``bad_request`` for a phrase without a word.
    """
    match condition:
        case Asserts():
            return StudyRow.study_id.in_(sa.select(FindingRow.study_id).where(*_assertion(condition)))
        case Says(phrase):
            if not any(character.isalnum() for character in phrase):
                raise InputError("bad_request", f"{phrase!r} holds no word to look for.")
            return database.says(phrase)
        case Labelled(label):
            return StudyRow.study_id.in_(sa.select(LabelRow.study_id).where(LabelRow.label == label))
        case Coded():
            return StudyRow.labels.is_not(sa.null())
        case Reported():
            return StudyRow.text.is_not(sa.null())
        case Shows(view):
            return StudyRow.study_id.in_(sa.select(RadiographRow.study_id).where(RadiographRow.view == view))
        case Aged(youngest, oldest):
            return sa.func.coalesce(StudyRow.age, -1).between(youngest, oldest)
        case Not(inner):
            return sa.not_(clause(inner, database))
        case AnyOf(several):
            return sa.or_(sa.false(), *(clause(one, database) for one in several))


def _assertion(asked: Asserts) -> list[sa.ColumnElement[bool]]:
    named = {"polarity": asked.polarities, "side": asked.sides, "place": asked.places, "section": asked.sections}
    wanted = [getattr(FindingRow, name).in_(values) for name, values in named.items() if values]
    if asked.past is not None:
        wanted.append(FindingRow.past.is_(asked.past))
    if asked.finding:
        wanted.append(FindingRow.finding == asked.finding)
    return wanted
