"""What DICOM nodes received and have to deliver: the inbox and the outbox of a library, and leases on the work in them.

Nodes share the tables and nothing else: a lease is one UPDATE that takes rows whose former lease has run out, so that
no two workers hold the same study or the same delivery. Clocks of the machines are to agree to within a few seconds.
Writing here changes no study: the library's revision stays. No patient's data stand here: studies have keyed names,
objects the identifiers that the node made for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from lingula.library.schema import InboxRow, OriginRow, OutboxRow
from lingula.library.table_records import TableRecords

SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 3600.0
"""Seconds between the first two attempts, and at most; each pause is twice the one before."""
SILENT_PAUSE = 60.0
"""Most seconds between two attempts at a target that does not answer."""
_FREE: dict[str, Any] = {"owner": "", "lease": 0.0}
_NEW: dict[str, Any] = {"state": "waiting", "code": "", "attempts": 0, "due": 0.0, **_FREE}
_MANY = 500


@dataclass(frozen=True, slots=True)
class ReceivedFilm:
    """A film in a spool.

    Attributes:
        film: name of its file. sender: AE title, or the name of the archive polled.
        digest: SHA-256 of the file, hex. study: keyed name of its study.
    """

    film: str
    sender: str
    digest: str
    study: str
    received: float


@dataclass(frozen=True, slots=True)
class StudyLease:
    """The films of one study, held by one worker until ``until``."""

    study: str
    films: tuple[ReceivedFilm, ...]
    owner: str
    until: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """Objects of one study for one target, held by one worker until ``until``."""

    target: str
    study: str
    instances: tuple[tuple[str, str], ...]  # SOP Instance UID, kind
    owner: str
    until: float
    attempts: int


@dataclass(frozen=True, slots=True)
class ExchangeItem:
    """One line of what a node did: a study with its films, or an object for a target.

    Attributes:
        item: the study's keyed name, or the object's identifier. target: empty for a study.
        state: waiting, working, answered, refused, copy, stored. code: of the last refusal; empty for none.
        due: when it is tried again. at: when it was received or made. stored: when it was read back; None if not.
    """

    item: str
    study: str
    target: str
    kind: str
    node: str
    sender: str
    films: int
    state: str
    code: str
    attempts: int
    due: float
    at: float
    stored: float | None


def pause(attempts: int) -> float:
    """Seconds until what failed so often is tried again."""
    return min(SHORTEST_PAUSE * 2.0 ** max(attempts - 1, 0), LONGEST_PAUSE)


class ExchangeRecords(TableRecords):
    """Inbox and outbox of one library."""

    # -- received

    def note(self, node: str, films: Iterable[ReceivedFilm]) -> None:
        """Note films of a spool, those noted already stay as they are; one with the bytes of another is a copy."""
        with self._transaction() as connection:
            for film in films:
                if connection.execute(_new_inbox(connection, node, film)).rowcount:
                    same = and_(InboxRow.digest == film.digest, InboxRow.film != film.film, InboxRow.node == node,
                                InboxRow.state.in_(["waiting", "answered"]))  # fmt: skip
                    if connection.execute(select(InboxRow.film).where(same).limit(1)).first():
                        connection.execute(update(InboxRow).where(InboxRow.film == film.film).values(state="copy"))

    def films(self, node: str, *states: str) -> frozenset[str]:
        """Names of the films of a node's spool in these states; in any where none is given."""
        wanted = select(InboxRow.film).where(InboxRow.node == node)
        rows = self._rows(wanted.where(InboxRow.state.in_(states)) if states else wanted)
        return frozenset(row.film for row in rows)

    def claim_study(self, node: str, owner: str, *, now: float, lease: float, quiet: float) -> StudyLease | None:
        """The study that waits longest of those that nothing was received of for ``quiet`` seconds; None for none.

        Args:
            owner: unique to the worker. lease: for how many seconds it may hold the study.
        """
        free = and_(InboxRow.node == node, InboxRow.state == "waiting", InboxRow.lease <= now)
        first = (
            select(InboxRow.study)
            .where(free, InboxRow.due <= now)
            .group_by(InboxRow.study)
            .having(func.max(InboxRow.received) <= now - quiet)
            .order_by(func.min(InboxRow.received), InboxRow.study)
            .limit(1)
            .scalar_subquery()
        )
        held = {"owner": owner, "lease": now + lease, "attempts": InboxRow.attempts + 1}
        with self._transaction() as connection:
            taken = connection.execute(update(InboxRow).where(free, InboxRow.study == first).values(**held))
            if not taken.rowcount:
                return None
            mine = and_(InboxRow.owner == owner, InboxRow.lease == now + lease, InboxRow.state == "waiting")
            rows = connection.execute(select(InboxRow.__table__).where(mine).order_by(InboxRow.received)).all()
        if not rows:
            return None
        films = tuple(ReceivedFilm(row.film, row.sender, row.digest, row.study, row.received) for row in rows)
        return StudyLease(rows[0].study, films, owner, now + lease, max(row.attempts for row in rows))

    def answer_study(
        self,
        held: StudyLease,
        refused: Sequence[tuple[str, str]],
        objects: Sequence[tuple[str, str]],
        targets: Collection[str],
        *,
        node: str,
        now: float,
    ) -> bool:
        """Note what became of a study, and what is to be delivered of it, in one transaction.

        Args:
            refused: film and code of each that could not be read. objects: identifier and kind of each result.

        Returns:
            Whether the lease still held; where it did not, another worker has the study and nothing was noted. Objects
            that the outbox has already stay as they are: the same films and model give the same objects.
        """
        with self._transaction() as connection:
            mine = and_(InboxRow.owner == held.owner, InboxRow.lease == held.until, InboxRow.study == held.study)
            if not connection.execute(update(InboxRow).where(mine).values(state="answered", code="", **_FREE)).rowcount:
                return False
            for film, code in refused:
                connection.execute(update(InboxRow).where(InboxRow.film == film).values(state="refused", code=code))
            for instance, kind in objects:
                for target in targets:
                    connection.execute(_new_outbox(connection, instance, target, node, held.study, kind, now))
        return True

    def postpone_study(self, held: StudyLease, code: str, *, now: float) -> None:
        """Let a study go that could not be answered now; it is tried again after a pause."""
        mine = and_(InboxRow.owner == held.owner, InboxRow.lease == held.until)
        later = {"code": code, "due": now + pause(held.attempts), **_FREE}
        self._write(update(InboxRow).where(mine).values(**later))

    # -- to be delivered

    def claim_delivery(
        self, node: str, target: str, owner: str, *, now: float, lease: float
    ) -> Delivery | None:  # fmt: skip
        """All that waits of one study for one target, the oldest first; None for none."""
        free = and_(
            OutboxRow.node == node, OutboxRow.target == target, OutboxRow.state == "waiting", OutboxRow.lease <= now,
            OutboxRow.due <= now,
        )  # fmt: skip
        first = select(OutboxRow.study).where(free).order_by(OutboxRow.made, OutboxRow.study).limit(1).scalar_subquery()
        held = {"owner": owner, "lease": now + lease, "attempts": OutboxRow.attempts + 1}
        with self._transaction() as connection:
            if not connection.execute(update(OutboxRow).where(free, OutboxRow.study == first).values(**held)).rowcount:
                return None
            mine = and_(OutboxRow.owner == owner, OutboxRow.lease == now + lease, OutboxRow.target == target)
            rows = connection.execute(select(OutboxRow.__table__).where(mine).order_by(OutboxRow.kind)).all()
        if not rows:
            return None
        instances = tuple((row.instance, row.kind) for row in rows)
        return Delivery(target, rows[0].study, instances, owner, now + lease, max(row.attempts for row in rows))

    def settle_delivery(self, held: Delivery, stored: Collection[str], code: str, *, now: float) -> None:
        """Note which objects were read back at the target; the others are tried again after a pause. While a target
        does not answer, one delivery asks for all that wait for it, at least every ``SILENT_PAUSE`` seconds."""
        mine = and_(OutboxRow.owner == held.owner, OutboxRow.lease == held.until, OutboxRow.target == held.target)
        done = {"state": "stored", "stored": now, "code": "", **_FREE}
        is_silent = code == "peer_unreachable"
        due = now + (min(pause(held.attempts), SILENT_PAUSE) if is_silent else pause(held.attempts))
        later = {"code": code or "not_stored", "due": due, **_FREE}
        with self._transaction() as connection:
            connection.execute(update(OutboxRow).where(mine, OutboxRow.instance.in_(list(stored))).values(**done))
            node = connection.execute(select(OutboxRow.node).where(mine).limit(1)).scalar()
            connection.execute(update(OutboxRow).where(mine).values(**later))
            if is_silent and node is not None:
                others = and_(OutboxRow.node == node, OutboxRow.target == held.target, OutboxRow.state == "waiting",
                              OutboxRow.lease <= now)  # fmt: skip
                connection.execute(update(OutboxRow).where(others).values(code=code, due=due))

    def settled_studies(self, node: str) -> frozenset[str]:
        """Studies of a node with nothing left to be answered or delivered: their files may go."""
        studies = select(InboxRow.study).where(InboxRow.node == node).distinct()
        waiting = select(InboxRow.study).where(InboxRow.node == node, InboxRow.state == "waiting")
        undelivered = select(OutboxRow.study).where(OutboxRow.node == node, OutboxRow.state != "stored")
        with self._transaction() as connection:
            left = {*connection.execute(waiting).scalars(), *connection.execute(undelivered).scalars()}
            return frozenset(set(connection.execute(studies).scalars()) - left)

    def undelivered(self, node: str) -> frozenset[str]:
        """Objects that wait to be delivered by a node."""
        wanted = select(OutboxRow.instance).where(OutboxRow.node == node, OutboxRow.state != "stored")
        return frozenset(row.instance for row in self._rows(wanted))

    def files_of(self, node: str, studies: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Films that were answered, and objects made, of these studies."""
        films: list[str] = []
        objects: list[str] = []
        listed = sorted(studies)
        with self._transaction() as connection:
            for start in range(0, len(listed), _MANY):
                some = listed[start : start + _MANY]
                films += connection.execute(
                    select(InboxRow.film).where(
                        InboxRow.node == node, InboxRow.study.in_(some), InboxRow.state.in_(["answered", "copy"])
                    )
                ).scalars()
                objects += connection.execute(
                    select(OutboxRow.instance).where(OutboxRow.node == node, OutboxRow.study.in_(some))
                ).scalars()
        return tuple(films), tuple(dict.fromkeys(objects))

    # -- looking and helping

    def free(self, node: str) -> None:
        """Let go of everything that workers of this node held: called when the node starts."""
        with self._transaction() as connection:
            for table in (InboxRow, OutboxRow):
                connection.execute(update(table).where(table.node == node, table.owner != "").values(**_FREE))

    def retry(self, item: str = "") -> int:
        """Try again now what waits: one study or object, or all; how many rows. A refused study is read again."""
        chosen_in = literal(True) if not item else InboxRow.study == item
        chosen_out = literal(True) if not item else (OutboxRow.study == item) | (OutboxRow.instance == item)
        states = ["waiting", "refused"] if item else ["waiting"]
        with self._transaction() as connection:
            again = {"due": 0.0, "attempts": 0}
            films = update(InboxRow).where(chosen_in, InboxRow.state.in_(states)).values(state="waiting", **again)
            objects = update(OutboxRow).where(chosen_out, OutboxRow.state == "waiting").values(**again)
            return int(connection.execute(films).rowcount) + int(connection.execute(objects).rowcount)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many films (``inbox``) and objects (``outbox``) are in each state."""
        with self._transaction() as connection:
            return {
                table.__tablename__: {
                    state: count
                    for state, count in connection.execute(select(table.state, func.count()).group_by(table.state))
                }
                for table in (InboxRow, OutboxRow)
            }

    def oldest(self) -> dict[str, float | None]:
        """When the oldest that waits was received (``inbox``) or made (``outbox``); None where nothing waits."""
        with self._transaction() as connection:
            films = select(func.min(InboxRow.received)).where(InboxRow.state == "waiting")
            objects = select(func.min(OutboxRow.made)).where(OutboxRow.state == "waiting")
            return {"inbox": connection.execute(films).scalar(), "outbox": connection.execute(objects).scalar()}

    def items(self, *, now: float, limit: int = 100) -> tuple[ExchangeItem, ...]:
        """The latest studies and objects, what waits first."""
        first = (InboxRow.state != "waiting", InboxRow.received.desc())
        with self._transaction() as connection:
            films = connection.execute(select(InboxRow.__table__).order_by(*first).limit(4 * limit)).all()
            order = (OutboxRow.state != "waiting", OutboxRow.made.desc(), OutboxRow.kind)
            objects = connection.execute(select(OutboxRow.__table__).order_by(*order).limit(limit)).all()
        studies: dict[tuple[str, str], list[Row[Any]]] = {}
        for film in films:
            studies.setdefault((film.study, film.state), []).append(film)
        listed = [_study_item(rows, now) for rows in list(studies.values())[:limit]]
        return (*listed, *(_object_item(row, now) for row in objects))

    def forget(self, studies: Collection[str]) -> None:
        """Take studies, by their keyed names, out of both tables."""
        with self._transaction() as connection:
            for table in (InboxRow, OutboxRow):
                connection.execute(delete(table).where(table.study.in_(list(studies))))

    # -- indexed from archives

    def indexed(self, archive: str) -> dict[str, int | None]:
        """The studies that were indexed from an archive, and how many objects each had there; None: nobody counted."""
        wanted = select(OriginRow.study_id, OriginRow.instances).where(OriginRow.archive == archive)
        return {row.study_id: row.instances for row in self._rows(wanted)}

    def note_indexed(self, archive: str, counts: Mapping[str, int | None]) -> None:
        """Note from which archive studies came, the first stands, and how many objects each has there now."""
        with self._transaction() as connection:
            for study_id, instances in counts.items():
                row = _insert_of(connection)(OriginRow).values(study_id=study_id, archive=archive, instances=instances)
                connection.execute(
                    row.on_conflict_do_update(
                        index_elements=["study_id"], set_={"instances": instances}, where=OriginRow.archive == archive
                    )
                )

    def forget_origins(self, study_ids: Collection[str]) -> None:
        """Forget from where these studies came."""
        self._write(delete(OriginRow).where(OriginRow.study_id.in_(list(study_ids))))

    def forget_before(self, at: float) -> int:
        """Take out what was settled before a time; how many rows."""
        old_films = delete(InboxRow).where(InboxRow.state != "waiting", InboxRow.received < at)
        old_objects = delete(OutboxRow).where(OutboxRow.state == "stored", OutboxRow.stored < at)
        with self._transaction() as connection:
            return int(connection.execute(old_films).rowcount) + int(connection.execute(old_objects).rowcount)


def _study_item(rows: Sequence[Row[Any]], now: float) -> ExchangeItem:
    row = max(rows, key=lambda each: each.attempts)
    state = "working" if row.state == "waiting" and row.lease > now else row.state
    return ExchangeItem(
        row.study, row.study, "", "study", row.node, row.sender, len(rows), state, row.code, row.attempts, row.due,
        min(each.received for each in rows), None,
    )  # fmt: skip


def _object_item(row: Row[Any], now: float) -> ExchangeItem:
    state = "working" if row.state == "waiting" and row.lease > now else row.state
    return ExchangeItem(
        row.instance, row.study, row.target, row.kind, row.node, "", 0, state, row.code, row.attempts, row.due,
        row.made, row.stored,
    )  # fmt: skip


def _insert_of(connection: Connection) -> Any:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _new_inbox(connection: Connection, node: str, film: ReceivedFilm) -> Any:
    values = {"film": film.film, "node": node, "sender": film.sender, "digest": film.digest, "study": film.study,
              "received": film.received, **_NEW}  # fmt: skip
    return _insert_of(connection)(InboxRow).values(**values).on_conflict_do_nothing()


def _new_outbox(
    connection: Connection, instance: str, target: str, node: str, study: str, kind: str, now: float
) -> Any:  # fmt: skip
    values = {"instance": instance, "target": target, "node": node, "study": study, "kind": kind, "made": now,
              "stored": None, **_NEW}  # fmt: skip
    return _insert_of(connection)(OutboxRow).values(**values).on_conflict_do_nothing()
