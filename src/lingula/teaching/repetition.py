"""When a study comes back to a student: intervals by FSRS, and what was missed after others, not at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

from fsrs import Card, Rating, Scheduler

from lingula.library.teaching_records import Review

AGAIN = timedelta(minutes=10)
"""Until a study that was missed may come back: others come first."""
UNSURE, CERTAIN = 60, 95
"""Confidence in percent up to which a right answer was hard, and from which it was easy."""


@cache
def _scheduler() -> Scheduler:
    return Scheduler(learning_steps=(AGAIN,), relearning_steps=(AGAIN,), enable_fuzzing=False)


def reviewed(student: str, study_id: str, before: Review | None, *, right: bool, confidence: int) -> Review:
    """A study's review after an answer given now."""
    card = Card.from_dict(cast(Any, before.body)) if before else Card(card_id=0)
    now = datetime.fromtimestamp(time.time(), UTC)
    card, _ = _scheduler().review_card(card, _rating(right, confidence), now)
    due = max(card.due, now + AGAIN)
    return Review(student, study_id, due.timestamp(), cast("dict[str, Any]", card.to_dict()))


def due_ids(reviews: Mapping[str, Review], until: float | None = None) -> list[str]:
    """Studies that are due by a time, now by default, the longest overdue first."""
    until = time.time() if until is None else until
    return [each.study_id for each in sorted(reviews.values(), key=lambda r: (r.due, r.study_id)) if each.due <= until]


def end_of_day() -> float:
    """When this day ends on this machine, in seconds since 1970."""
    tomorrow = datetime.fromtimestamp(time.time()).replace(hour=0, minute=0, second=0, microsecond=0)
    return (tomorrow + timedelta(days=1)).timestamp()


def _rating(right: bool, confidence: int) -> Rating:
    if not right:
        return Rating.Again
    return Rating.Hard if confidence <= UNSURE else Rating.Easy if confidence >= CERTAIN else Rating.Good
