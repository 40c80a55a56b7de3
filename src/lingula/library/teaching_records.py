"""What is taught with a library, in its own database: sets, links for classes, answers, reviews.

Writing here changes no study: the library's revision stays, so that what is remembered of it holds. Studies are named
by id, without a foreign key: a set outlives a study that is deleted, and ``erasure`` takes the study out of everything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from lingula.errors import LibraryError
from lingula.library.schema import ClassLinkRow, ReviewRow, TeachingAnswerRow, TeachingSetRow
from lingula.library.table_records import TableRecords

_TABLES = (TeachingSetRow, ClassLinkRow, TeachingAnswerRow, ReviewRow)
_COPIED = 500  # rows in one statement


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A set as it is stored; ``version`` counts its changes from 1."""

    set_id: str
    owner: str
    title: str
    version: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClassLink:
    """A way into one task of one set; ``until`` in seconds since 1970."""

    link_id: str
    set_id: str
    task: str
    until: float


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """An answer that was given: to a task, about a study, at a time in seconds since 1970; ``body`` says what."""

    answer_id: str
    set_id: str
    link_id: str
    student: str
    task: str
    study_id: str
    at: float
    right: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    """When a study is due to a student again, in seconds since 1970; ``body`` holds how that was reckoned."""

    student: str
    study_id: str
    due: float
    body: dict[str, Any]


class TeachingRecords(TableRecords):
    """Sets, links, answers and reviews of one library."""

    # -- sets

    def sets(self) -> tuple[SetRecord, ...]:
        """All sets, by title."""
        found = self._rows(select(TeachingSetRow.__table__))
        return tuple(sorted((SetRecord(**row._mapping) for row in found), key=lambda each: (each.title, each.set_id)))

    def set(self, set_id: str) -> SetRecord:
        """One set.

        Raises:
            LibraryError: ``set_unknown``.
        """
        for row in self._rows(select(TeachingSetRow.__table__).where(TeachingSetRow.set_id == set_id)):
            return SetRecord(**row._mapping)
        raise _unknown(set_id)

    def add_set(self, record: SetRecord) -> None:
        self._write(insert(TeachingSetRow), asdict(record))

    def change_set(self, record: SetRecord) -> SetRecord:
        """Store a set that was ``record.version`` when it was read, as the next version.

        Raises:
            LibraryError: ``set_unknown``; ``set_changed`` where somebody else has changed it meanwhile.
        """
        changed = {**asdict(record), "version": record.version + 1}
        own = (TeachingSetRow.set_id == record.set_id, TeachingSetRow.version == record.version)
        if self._write(update(TeachingSetRow).where(*own).values(changed)) != 1:
            self.set(record.set_id)
            raise LibraryError(
                "set_changed", "The set was changed meanwhile.", "Open it again and make the change anew."
            )
        return SetRecord(**changed)

    def delete_set(self, set_id: str) -> None:
        """Delete a set with its links and answers."""
        with self._transaction() as connection:
            done = connection.execute(delete(TeachingSetRow).where(TeachingSetRow.set_id == set_id))
            for table in (ClassLinkRow, TeachingAnswerRow):
                connection.execute(delete(table).where(table.set_id == set_id))
        if done.rowcount != 1:
            raise _unknown(set_id)

    # -- links

    def add_link(self, link: ClassLink) -> None:
        self._write(insert(ClassLinkRow), asdict(link))

    def link(self, link_id: str) -> ClassLink | None:
        found = self._rows(select(ClassLinkRow.__table__).where(ClassLinkRow.link_id == link_id))
        return next((ClassLink(**row._mapping) for row in found), None)

    def delete_links(self, set_id: str) -> int:
        """Close all links of a set; how many there were."""
        return self._write(delete(ClassLinkRow).where(ClassLinkRow.set_id == set_id))

    # -- answers and reviews

    def add_answer(self, answer: TaskAnswer, review: Review | None = None) -> None:
        """Store an answer, and when its study is due again, in one transaction."""
        with self._transaction() as connection:
            connection.execute(insert(TeachingAnswerRow), asdict(answer))
            if review is not None:
                own = (ReviewRow.student == review.student, ReviewRow.study_id == review.study_id)
                connection.execute(delete(ReviewRow).where(*own))
                connection.execute(insert(ReviewRow), asdict(review))

    def answers(self, *, set_id: str | None = None, student: str | None = None) -> tuple[TaskAnswer, ...]:
        """Answers to a set, of a student, or all, in the order in which they were given."""
        wanted = select(TeachingAnswerRow.__table__)
        if set_id is not None:
            wanted = wanted.where(TeachingAnswerRow.set_id == set_id)
        if student is not None:
            wanted = wanted.where(TeachingAnswerRow.student == student)
        found = [TaskAnswer(**row._mapping) for row in self._rows(wanted)]
        return tuple(sorted(found, key=lambda each: (each.at, each.answer_id)))

    def reviews(self, student: str) -> dict[str, Review]:
        """A student's reviews by study."""
        wanted = select(ReviewRow.__table__).where(ReviewRow.student == student)
        return {row.study_id: Review(**row._mapping) for row in self._rows(wanted)}

    def copy_from(self, other: TeachingRecords) -> None:
        """Add what another library has and this one has not; what both have stays as it is here."""
        for table in _TABLES:
            keys = list(table.__table__.primary_key.columns)  # type: ignore[attr-defined]
            theirs = [dict(row._mapping) for row in other._rows(select(table.__table__))]
            with self._transaction() as connection:
                own = {tuple(row) for row in connection.execute(select(*keys))}
                new = [row for row in theirs if tuple(row[key.name] for key in keys) not in own]
                for start in range(0, len(new), _COPIED):
                    connection.execute(insert(table), new[start : start + _COPIED])


def _unknown(set_id: str) -> LibraryError:
    return LibraryError("set_unknown", f"there is no set {set_id!r}.", "lingula teach list names them.")
