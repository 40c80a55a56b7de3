"""Columns of a library for its catalogue, in SQL for either database: for each value the studies that have it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from lingula.library.schema import FindingRow, LabelRow, RadiographRow, StudyRow

SEPARATOR = "\x1f"
"""Between the ids of one value: one long text a value is read several times as quickly as a row a study."""

_SAID = (FindingRow.polarity, FindingRow.past, FindingRow.side, FindingRow.place, FindingRow.section)


def column_of(name: str, among: Collection[str] | None = None) -> sa.Select[Any]:
    """The values of a column and, last, the ids of the studies that have each, joined by ``SEPARATOR``.

    Args:
        name: ``finding`` and its code behind a space (without one: any finding), ``label``, ``view``, ``age``,
            ``coded`` or ``reported``.
        among: only these studies; None for all.
    """
    kind, _, finding = name.partition(" ")
    owner, values, wanted = _parts(kind, finding)
    ids = sa.func.aggregate_strings(owner, SEPARATOR)
    if among is not None:
        wanted = sa.and_(wanted, owner.in_(among))
    return sa.select(*values, ids).where(wanted).group_by(*values)


def _parts(kind: str, finding: str) -> tuple[Any, tuple[Any, ...], sa.ColumnElement[bool]]:
    """Whose, which values, which rows."""
    match kind:
        case "finding":
            return FindingRow.study_id, _SAID, FindingRow.finding == finding if finding else sa.true()
        case "label":
            return LabelRow.study_id, (LabelRow.label,), sa.true()
        case "view":
            return RadiographRow.study_id, (RadiographRow.view,), sa.true()
        case "age":
            return StudyRow.study_id, (StudyRow.age,), StudyRow.age.is_not(None)
        case "coded":
            return StudyRow.study_id, (), StudyRow.labels.is_not(sa.null())
        case _:
            return StudyRow.study_id, (), StudyRow.text.is_not(sa.null())
