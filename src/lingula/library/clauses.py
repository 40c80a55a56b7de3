"""Conditions on records in SQL, for either database."""

from __future__ import annotations

import sqlalchemy as sa

from lingula.errors import InputError
from lingula.library.conditions import (
    Aged,
    AnyOf,
    Asserts,
    Coded,
    Condition,
    Labelled,
    Not,
    Reported,
    Says,
    Shows,
)
from lingula.library.database import Database
from lingula.library.schema import FindingRow, LabelRow, RadiographRow, StudyRow


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
