"""The records of a library: one transaction per batch of studies, on the disk before it is acknowledged."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute

from lingula.errors import InputError, LibraryError, ModelError
from lingula.labels.assertions import Assertion
from lingula.library import migrations, rows
from lingula.library.access_records import AccessRecords
from lingula.library.columns import SEPARATOR, column_of
from lingula.library.database import Candidates, Database, damaged, unanswerable
from lingula.library.erasure import CopyRecord, erase
from lingula.library.exchange_records import ExchangeRecords
from lingula.library.observation_records import ObservationRecords
from lingula.library.record import (
    Entry,
    LibraryDescription,
    LibraryStatus,
    Outcome,
    Refusal,
    StudyRecord,
    Summary,
    study_digest,
)
from lingula.library.schema import (
    CopyRow,
    EmbeddingRow,
    FindingRow,
    LabelRow,
    LibraryRow,
    RadiographRow,
    RefusedRow,
    StudyRow,
    vector_checksum,
)
from lingula.library.teaching_records import TeachingRecords
from lingula.study import MODES, Mode
from lingula.types import FilePath

T = TypeVar("T")
Progress = Callable[[int, int], None]
BATCH = 500  # rows or names in one statement


class Store:
    """An open database. Threads may share it: every call takes its own connection from the pool."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.place = database.place
        """Its file, or its URL without a password."""
        self._engine = database.connect()
        self.about = LibraryDescription("", "", (), 0)
        """What the library was made for: model, vocabulary, labels, dimension."""
        self.secret = b""
        """What birth dates are hidden with; for processes that lay studies out for this library."""
        self._reader = rows.reader_version()
        self._read: dict[str, tuple[int | None, Any]] = {}
        self.teaching = TeachingRecords(self._transaction)
        """Sets, links for classes, answers and reviews."""
        self.exchange = ExchangeRecords(self._transaction)
        """What a DICOM node received and delivers; it is not copied into backups."""
        self.access = AccessRecords(self._transaction)
        """Users, their tokens, the trail of who did what. Backups hold users and tokens, joined libraries none."""
        self.observations = ObservationRecords(self._transaction)
        """What nodes saw of each sender's films; not copied into backups."""

    @classmethod
    def create_in(cls, database: Database, about: LibraryDescription) -> Self:
        """Make the tables, all or none.

        Raises:
            InputError: ``bad_request`` when the database holds tables already.
        """
        with database.created() as making:
            store = cls(making)
            with store._closed_on_failure():
                store._make(about)
                store.settle()
            store.close()
        return cls.open_in(database)

    def _make(self, about: LibraryDescription) -> None:
        with self._transaction() as connection:
            self.database.lock(connection)
            if inspect(connection).get_table_names():
                raise InputError("bad_request", f"{self.place} exists already.", "Open it, or name another place.")
            self.database.prepare(connection)
            migrations.upgrade(connection, since=None)
            row = {"id": 1, "model": about.model, "vocabulary": about.vocabulary, "labels": list(about.labels),
                   "dimension": about.dimension, "revision": 0, "secret": secrets.token_bytes(32),
                   "reader": self._reader}  # fmt: skip
            connection.execute(insert(LibraryRow), row)
            self.database.index_vectors(connection, about.dimension)

    @classmethod
    def open_in(cls, database: Database) -> Self:
        """Open what ``create_in`` made, now or with an earlier version, whose tables are brought up to date.

        Raises:
            LibraryError: ``library_missing``; ``library_newer``; ``index_corrupt`` when the file is empty, damaged or
                something else.
        """
        database.require()
        store = cls(database)
        with store._closed_on_failure():
            with store._transaction() as connection:
                current = store._version(connection) == migrations.HEAD
            if not current:
                store._upgrade()
            with store._transaction() as connection:
                row = connection.execute(select(LibraryRow.__table__)).one_or_none()
            if row is None:
                raise damaged(store.place, "it lacks its description")
            store.about = LibraryDescription(row.model, row.vocabulary, tuple(row.labels), row.dimension)
            store.secret = row.secret
            if not row.reader:
                store.reread()
        return store

    def rename_model(self, earlier: str, now: str) -> bool:
        """Name the model that filled the library by its fingerprint of today, where it is named by an earlier one.

        Returns:
            Whether it was renamed; False where it has that name already.

        Raises:
            ModelError: ``model_mismatch`` where another model filled the library.
        """
        if self.about.model == now:
            return False
        if self.about.model != earlier:
            self.require_model(now)  # refuses
        with self._writing() as (connection, _):
            connection.execute(update(LibraryRow).values(model=now))
        self.about = replace(self.about, model=now)
        return True

    def require_model(self, model: str) -> None:
        """Raise ModelError, ``model_mismatch``, unless this very model filled the library."""
        if self.about.model != model:
            message = f"the library at {self.place} was filled by model {self.about.model}, not by {model}."
            raise ModelError("model_mismatch", message, "Use that model, or import the studies again.")

    def _version(self, connection: Connection) -> str:
        """The revision of the tables."""
        tables = inspect(connection).get_table_names()
        if not tables:  # nothing was ever made, or a creation was interrupted
            raise LibraryError("library_missing", f"there is no library at {self.place}.", "Create or import one.")
        if LibraryRow.__tablename__ not in tables:
            raise damaged(self.place, "it holds no library")
        if "alembic_version" in tables:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
            if len(found) == 1 and int(found[0]) > int(migrations.HEAD):
                message = f"{self.place} has tables of version {found[0]}, this lingula knows {migrations.HEAD}."
                raise LibraryError("library_newer", message, "Update lingula.")
        else:
            found = [str(row[0]) for row in connection.exec_driver_sql("SELECT version FROM library")]
        if len(found) != 1 or not 1 <= int(found[0]) <= int(migrations.HEAD):
            raise damaged(self.place, f"its tables are of versions {list(found)}")
        return str(found[0])

    def _upgrade(self) -> None:
        with self._transaction() as connection:
            self.database.lock(connection)
            if (since := self._version(connection)) != migrations.HEAD:  # no other process was quicker
                migrations.upgrade(connection, since=since)

    def close(self) -> None:
        self._engine.dispose()
        self.database.close()

    def discard(self) -> None:
        """Remove the library with all it holds, and close it."""
        with self._transaction() as connection:
            self.database.discard(connection)
        self.close()
        self.database.discard(None)

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction, committed at the end; a database error leaves as a ``LingulaError``."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self.database.translated(error) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise unanswerable(error) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise damaged(self.place, str(error)) from error

    # -- writing

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, int]]:
        """A transaction that holds the write lock from its first statement, and its revision."""
        with self._transaction() as connection:
            connection.execute(update(LibraryRow).values(revision=LibraryRow.revision + 1))
            yield connection, connection.execute(select(LibraryRow.revision)).scalar_one()

    def add_many(self, entries: Iterable[Entry]) -> tuple[Outcome, ...]:
        """Store a batch of studies in one transaction: when this returns, every study "added" is on the disk.

        A study stored before is "present", or "refused" (``uid_conflict``) when its content differs; the others of
        the batch are added all the same.

        Raises:
            InputError, ModelError: an entry that cannot be stored; then nothing of the batch was.
        """
        entries = tuple(entries)
        digests = [study_digest(entry.study) for entry in entries]
        with self._transaction() as connection:
            known = _digests(connection, entries)
        laid_out = {  # outside the write lock: drawing previews takes time
            at: rows.from_entry(entry, digest, self.about, self.secret)
            for at, (entry, digest) in enumerate(zip(entries, digests, strict=True))
            if entry.study.study_id not in known or entry.replaces
        }
        with self._writing() as (connection, revision):
            known = _digests(connection, entries)
            found = []
            for at, (entry, digest) in enumerate(zip(entries, digests, strict=True)):
                study_id = entry.study.study_id
                if entry.replaces and known.get(study_id) == entry.replaces:
                    laid_out[at] = self._taken_out(connection, revision, laid_out[at])
                    del known[study_id]
                found.append(_settle(connection, revision, known, study_id, digest, laid_out.get(at)))
            self._note_reader(connection)
        return tuple(found)

    def _taken_out(self, connection: Connection, revision: int, study: rows.StudyRows) -> rows.StudyRows:
        """Take a stored study out for one with more films, which keeps what is known of it: films, patient, sender."""
        study_id = study.study["study_id"]
        stored = connection.execute(select(StudyRow.__table__).where(StudyRow.study_id == study_id)).one()
        films = connection.execute(select(RadiographRow.__table__).where(RadiographRow.study_id == study_id)).all()
        self.database.forget_text(connection, [study_id])
        for table in (FindingRow, LabelRow, EmbeddingRow, RadiographRow, StudyRow):
            connection.execute(delete(table).where(table.study_id == study_id))
        connection.execute(update(LibraryRow).values(erased=revision))  # what was read before holds the former vectors
        return rows.with_films_of(study, stored, films)

    def rows_of(self, study_ids: Sequence[str]) -> list[rows.StudyRows]:
        """Whole studies as another library may ``take`` them, at most ``BATCH``: reports masked, derived rows made
        anew."""
        parts: dict[str, tuple[list[rows.Values], list[rows.Values]]] = {one: ([], []) for one in study_ids}
        with self._transaction() as connection:
            studies = connection.execute(select(StudyRow.__table__).where(StudyRow.study_id.in_(study_ids))).all()
            for row in connection.execute(select(RadiographRow.__table__).where(RadiographRow.study_id.in_(study_ids))):
                parts[row.study_id][0].append(dict(row._mapping))
            for row in connection.execute(select(EmbeddingRow.__table__).where(EmbeddingRow.study_id.in_(study_ids))):
                parts[row.study_id][1].append(dict(row._mapping))
        masked = ((study.study_id, rows.masked(dict(study._mapping), parts[study.study_id][0])) for study in studies)
        return [rows.again(study, *parts[study_id]) for study_id, study in masked]

    def take(self, studies: Sequence[rows.StudyRows], secret: bytes | None = None) -> tuple[Outcome, ...]:
        """Store studies that another process laid out, in one transaction; outcomes as from ``add_many``.

        Args:
            secret: of the library that they are of; None for this one's.
        """
        secret = self.secret if secret is None else secret
        with self._writing() as (connection, revision):
            if connection.execute(select(StudyRow.study_id).limit(1)).first() is None:
                connection.execute(update(LibraryRow).values(secret=secret))
                self.secret = secret
            asked = [study.study["study_id"] for study in studies]
            known = _known(connection, asked)
            found = []
            for study_id, study in zip(asked, studies, strict=True):
                if secret != self.secret:  # keys of another library say nothing here
                    study.study["birth_key"] = ""
                found.append(_settle(connection, revision, known, study_id, study.study["digest"], study))
            self._note_reader(connection)
        return tuple(found)

    def _note_reader(self, connection: Connection) -> None:
        other_reader = LibraryRow.reader.not_in(["", self._reader])
        connection.execute(update(LibraryRow).where(other_reader).values(reader="several"))

    def settle(self) -> None:
        """Bring everything into the one file of a database that has one."""
        with self._transaction() as connection:
            self.database.settle(connection)

    def refuse_all(self, refusals: Iterable[Refusal]) -> None:
        """Note files or studies that could not be imported, in one transaction; the last word on a source stands.

        Their sources are names that may be shown to others, of a study of the collection or ``identity.file_name``, and
        their messages words that may, ``errors.CAUSES[code]``.
        """
        if not (last := {refusal.source: refusal for refusal in refusals}):
            return
        with self._writing() as (connection, _):
            for some in _batches(last):
                connection.execute(delete(RefusedRow).where(RefusedRow.source.in_(some)))
                connection.execute(insert(RefusedRow), [asdict(last[source]) for source in some])

    def reread(self, progress: Progress = lambda done, of: None) -> None:
        """Read the assertions of every report anew. A batch a transaction: others may read and write meanwhile."""
        ids = self.ids()
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            wanted = select(StudyRow.study_id, StudyRow.text, StudyRow.sections).where(StudyRow.study_id.in_(some))
            with self._writing() as (connection, _):
                connection.execute(delete(FindingRow).where(FindingRow.study_id.in_(some)))
                reports = [(one.study_id, rows.to_report(one.text, one.sections)) for one in connection.execute(wanted)]
                if found := [row for study_id, report in reports for row in rows.findings_of(study_id, report)]:
                    connection.execute(insert(FindingRow), found)
            progress(start + len(some), len(ids))
        with self._writing() as (connection, revision):
            connection.execute(update(LibraryRow).values(reader=self._reader, erased=revision))

    def owned(self, *, patient: str = "", sender: str = "") -> tuple[str, ...]:
        """Ids, sorted, of the studies of a patient, by the key that stands for one, or of a sender."""
        wanted = StudyRow.birth_key == patient if patient else StudyRow.sender == sender
        with self._transaction() as connection:
            return tuple(sorted(connection.execute(select(StudyRow.study_id).where(wanted)).scalars()))

    def erase(self, study_ids: Sequence[str]) -> tuple[Counter[str], Counter[str]]:
        """Delete studies from every table in one transaction; see ``erasure.erase``."""
        with self._writing() as (connection, revision):
            self.database.forget_text(connection, study_ids)
            found = erase(connection, study_ids)
            connection.execute(update(LibraryRow).values(erased=revision))
        return found

    def overwrite(self) -> tuple[str, ...]:
        """See ``Database.overwrite``."""
        try:
            return self.database.overwrite(self._engine)
        except DBAPIError as error:
            raise self.database.translated(error) from error

    def erased(self) -> int:
        """The revision of the last deletion or reading anew; 0 where there was none."""
        with self._transaction() as connection:
            return connection.execute(select(LibraryRow.erased)).scalar_one()

    def note_copy(self, kind: str, place: FilePath) -> None:
        """Remember that studies are being copied out of the library, for the receipt of a later deletion."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._writing() as (connection, _):
            connection.execute(insert(CopyRow), {"kind": kind, "place": os.fspath(place), "at": at})

    def copies(self) -> tuple[CopyRecord, ...]:
        """The backups and exports that were made, oldest first."""
        with self._transaction() as connection:
            found = connection.execute(select(CopyRow.kind, CopyRow.place, CopyRow.at).order_by(CopyRow.number))
            return tuple(CopyRecord(*row) for row in found)

    def rebuild_indexes(self) -> None:
        """Build the database's own full-text and vector indexes anew, and the label rows."""
        with self._writing() as (connection, revision):
            connection.execute(update(LibraryRow).values(erased=revision))
            self.database.index_text(connection)
            self.database.index_vectors(connection, self.about.dimension)
            connection.execute(delete(LabelRow))
            coded = connection.execute(select(StudyRow.study_id, StudyRow.labels)).all()
            if found := [{"label": label, "study_id": study_id}
                         for study_id, labels in coded for label in dict.fromkeys(labels or ())]:  # fmt: skip
                connection.execute(insert(LabelRow), found)

    # -- reading

    def last_revision(self) -> int:
        """How many writes were committed."""

        def read() -> int:
            with self._transaction() as connection:
                return connection.execute(select(LibraryRow.revision)).scalar_one()

        return self._until_written("revision", read)

    def _until_written(self, name: str, read: Callable[[], T]) -> T:
        """What was read, read again once anything was committed since."""
        changes = self.database.changes()  # told first: what is read may be of a later commit, never of an earlier one
        known = self._read.get(name)
        if known is None or changes is None or changes != known[0]:
            known = self._read[name] = changes, read()
        return cast(T, known[1])

    def ids(self) -> tuple[str, ...]:
        """All study ids, sorted as plain strings."""
        with self._transaction() as connection:
            return tuple(sorted(connection.execute(select(StudyRow.study_id)).scalars()))

    def added(self, since: int) -> tuple[str, ...]:
        """Ids of the studies that were given an embedding after revision ``since``."""
        newer = (EmbeddingRow.mode.in_(MODES), EmbeddingRow.revision > since)
        with self._transaction() as connection:
            return tuple(connection.execute(select(EmbeddingRow.study_id).where(*newer).distinct()).scalars())

    def column(self, name: str, among: Collection[str] | None = None) -> list[tuple[tuple[Any, ...], list[str]]]:
        """Values of a column (``columns.column_of``), each with the ids of the studies that have it.

        Args:
            among: only these studies; None for all.
        """
        found: list[tuple[tuple[Any, ...], list[str]]] = []
        with self._transaction() as connection:
            for some in [None] if among is None else _batches(among):
                for *value, ids in connection.execute(column_of(name, some)):
                    if ids is not None:
                        found.append((tuple(value), ids.split(SEPARATOR)))
        return found

    def saying(self, phrase: str) -> tuple[str, ...]:
        """Ids of the studies whose report holds these words in this order, endings aside.

        Raises:
            InputError: ``bad_request`` for a phrase without a word.
        """
        if not any(character.isalnum() for character in phrase):
            raise InputError("bad_request", f"{phrase!r} holds no word to look for.")
        with self._transaction() as connection:
            wanted = select(StudyRow.study_id).where(self.database.says(phrase))
            return tuple(connection.execute(wanted).scalars())

    def has(self, mode: Mode) -> bool:
        """Whether any study has an embedding of this mode."""
        with self._transaction() as connection:
            some = connection.execute(select(EmbeddingRow.mode).where(EmbeddingRow.mode == mode).limit(1))
            return some.first() is not None

    def count(self) -> int:
        with self._transaction() as connection:
            return connection.execute(select(func.count()).select_from(StudyRow)).scalar_one()

    def record(self, study_id: str) -> StudyRecord | None:
        """One study with its previews; None when it is not there."""
        images = select(RadiographRow.__table__).where(RadiographRow.study_id == study_id)
        modes = select(EmbeddingRow.mode).where(EmbeddingRow.study_id == study_id)
        with self._transaction() as connection:
            study = connection.execute(select(StudyRow.__table__).where(StudyRow.study_id == study_id)).one_or_none()
            if study is None:
                return None
            radiographs = connection.execute(images.order_by(RadiographRow.position)).all()
            return rows.to_record(study, radiographs, connection.execute(modes).scalars().all())

    def holders(self, digests: Collection[str]) -> dict[str, frozenset[str]]:
        """Ids of the studies that hold films with these file digests (SHA-256, hex), by digest; others are left out."""
        found: dict[str, set[str]] = {}
        pairs = select(RadiographRow.digest, RadiographRow.study_id)
        with self._transaction() as connection:
            for some in _batches(digests):
                for digest, study_id in connection.execute(pairs.where(RadiographRow.digest.in_(some))):
                    found.setdefault(digest, set()).add(study_id)
        return {digest: frozenset(studies) for digest, studies in found.items()}

    def known(self, study_ids: Collection[str], digests: Collection[str]) -> frozenset[str]:
        """Which of these studies are there, and which hold a film with one of these file digests."""
        owner = RadiographRow.study_id
        named = select(StudyRow.study_id).where(StudyRow.study_id.in_(study_ids))
        held = select(owner).where(RadiographRow.digest.in_(digests))
        with self._transaction() as connection:
            return frozenset(connection.execute(named.union(held)).scalars())

    def summaries(self, study_ids: Collection[str]) -> dict[str, Summary]:
        """What a search answer shows of each study; no previews are read."""
        owner = RadiographRow.study_id
        studies = select(StudyRow.study_id, StudyRow.text, StudyRow.sections, StudyRow.labels, StudyRow.age,
                         StudyRow.birth_key)  # fmt: skip
        images = select(owner, RadiographRow.image_id, RadiographRow.view, RadiographRow.digest)
        named: dict[str, list[Any]] = {study_id: [] for study_id in study_ids}
        found: list[Any] = []
        with self._transaction() as connection:
            for some in _batches(study_ids):
                found += connection.execute(studies.where(StudyRow.study_id.in_(some)))
                for image in connection.execute(images.where(owner.in_(some)).order_by(RadiographRow.position)):
                    named[image.study_id].append(image)
        return {study.study_id: rows.to_summary(study, named[study.study_id]) for study in found}

    def assertions(self, study_ids: Collection[str]) -> dict[str, tuple[Assertion, ...]]:
        """What the reports of these studies assert, in the order of their texts."""
        said: dict[str, list[Assertion]] = {study_id: [] for study_id in study_ids}
        wanted = select(FindingRow.__table__).order_by(FindingRow.study_id, FindingRow.position)
        with self._transaction() as connection:
            for some in _batches(study_ids):
                for row in connection.execute(wanted.where(FindingRow.study_id.in_(some))):
                    said[row.study_id].append(rows.to_assertion(row))
        return {study_id: tuple(found) for study_id, found in said.items()}

    def candidates(
        self,
        mode: Mode,
        query: npt.NDArray[np.float32],
        fetch: int,
        exclude: Collection[str],
        within: Collection[str] | None,
    ) -> Candidates:
        """Candidates by the database's own vector index; see ``Database.nearest``."""
        with self._transaction() as connection:
            return self.database.nearest(connection, mode, query, fetch, exclude, within)

    def vectors_since(
        self, mode: Mode, since: int, until: int | None = None
    ) -> tuple[int, list[str], npt.NDArray[np.float32]]:
        """Embeddings of one mode written after revision ``since``, up to ``until`` or the last.

        Returns:
            The revision they are complete up to, N study ids in no order, (N, D) float32 unit-norm vectors.

        Raises:
            LibraryError: ``index_corrupt`` when a vector has the wrong size or norm.
        """
        wanted = select(EmbeddingRow.study_id, EmbeddingRow.vector)
        wanted = wanted.where(EmbeddingRow.mode == mode, EmbeddingRow.revision > since)
        with self._transaction() as connection:
            revision = connection.execute(select(LibraryRow.revision)).scalar_one() if until is None else until
            found = connection.execute(wanted.where(EmbeddingRow.revision <= revision)).all()
        return revision, [study_id for study_id, _ in found], self._checked(mode, found)

    def vectors_of(self, mode: Mode, study_ids: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
        """(D,) float32 unit-norm embeddings of these studies; a study without one is left out."""
        wanted = select(EmbeddingRow.study_id, EmbeddingRow.vector).where(EmbeddingRow.mode == mode)
        with self._transaction() as connection:
            found = [one for some in _batches(study_ids)
                     for one in connection.execute(wanted.where(EmbeddingRow.study_id.in_(some)))]  # fmt: skip
        return dict(zip([study_id for study_id, _ in found], self._checked(mode, found), strict=True))

    def altered(self, mode: Mode) -> tuple[str, ...]:
        """Ids, sorted, of the studies whose embedding of this mode is not the one that was stored."""
        wanted = select(EmbeddingRow.study_id, EmbeddingRow.vector, EmbeddingRow.checksum)
        with self._transaction() as connection:
            found = connection.execute(wanted.where(EmbeddingRow.mode == mode)).all()
        return tuple(
            sorted(one.study_id for one in found if vector_checksum(one.study_id, mode, one.vector) != one.checksum)
        )

    def _checked(self, mode: Mode, found: Sequence[Any]) -> npt.NDArray[np.float32]:
        """(N, D) of N (study id, bytes)."""
        size = 4 * self.about.dimension
        if wrong := [study_id for study_id, vector in found if len(vector) != size]:
            raise damaged(self.place, f"the {mode} embedding of {wrong[0]} is not {size} bytes")
        flat = np.frombuffer(b"".join(vector for _, vector in found), "<f4").astype(np.float32, copy=False)
        matrix = flat.reshape(len(found), self.about.dimension)
        sound = np.abs(np.linalg.norm(matrix, axis=1) - 1) < 1e-5  # False for NaN
        if not sound.all():
            study_id, _ = found[int(np.argmin(sound))]
            raise damaged(self.place, f"the {mode} embedding of {study_id} has no unit norm")
        return matrix

    def refusals(self) -> tuple[Refusal, ...]:
        """What could not be imported, sorted by source."""
        with self._transaction() as connection:
            found = connection.execute(select(RefusedRow.source, RefusedRow.code, RefusedRow.message)).all()
        return tuple(Refusal(*row) for row in sorted(tuple(row) for row in found))

    def status(self) -> LibraryStatus:
        return self._until_written("status", self._status)

    def _status(self) -> LibraryStatus:
        with self._transaction() as connection:
            coded = connection.execute(select(StudyRow.labels)).scalars().all()
            views = _tally(connection, RadiographRow.view)
            modes = _tally(connection, EmbeddingRow.mode)
            refused = _tally(connection, RefusedRow.code)
            studies = func.count(FindingRow.study_id.distinct())
            mentioned = connection.execute(select(FindingRow.finding, studies).group_by(FindingRow.finding)).all()
        counts = Counter(label for labels in coded for label in labels or ())
        return LibraryStatus(
            location=self.place,
            about=self.about,
            studies=len(coded),
            radiographs=sum(views.values()),
            uncoded=sum(labels is None for labels in coded),
            labels={label: counts[label] for label in self.about.labels},
            views=dict(sorted(views.items())),
            embeddings={mode: modes.get(mode, 0) for mode in MODES},
            refused=dict(sorted(refused.items())),
            mentioned=dict(sorted((finding, count) for finding, count in mentioned)),
            outdated=self.outdated(),
        )

    def outdated(self) -> bool:
        """Whether other rules than today's read the assertions."""
        with self._transaction() as connection:
            return connection.execute(select(LibraryRow.reader)).scalar_one() != self._reader

    def problems(self) -> tuple[str, ...]:
        """What the database's own checks find wrong, and derived rows that are not what the records say."""
        with self._transaction() as connection:
            found = self.database.problems(connection)
            labels = {tuple(row) for row in connection.execute(select(LabelRow.study_id, LabelRow.label))}
            coded = connection.execute(select(StudyRow.study_id, StudyRow.labels)).all()
        if labels != {(study_id, label) for study_id, given in coded for label in given or ()}:
            found = (*found, "the label rows are not those of the studies: reindex")
        if self.outdated():
            found = (*found, "assertions were read by other rules than today's: reindex")
        return found


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    """In parts small enough for one statement."""
    listed = list(names)
    return (listed[start : start + BATCH] for start in range(0, len(listed), BATCH))


def _digests(connection: Connection, entries: Sequence[Entry]) -> dict[str, str]:
    return _known(connection, [entry.study.study_id for entry in entries])


def _known(connection: Connection, asked: Sequence[str]) -> dict[str, str]:
    """Content digests of those studies that are stored, by study id."""
    found = connection.execute(select(StudyRow.study_id, StudyRow.digest).where(StudyRow.study_id.in_(asked)))
    return {study_id: digest for study_id, digest in found}


def _settle(
    connection: Connection,
    revision: int,
    known: dict[str, str],
    study_id: str,
    digest: str,
    study: rows.StudyRows | None,
) -> Outcome:
    """Write a study unless one of its id is ``known``, to which it is then added."""
    if study_id not in known:
        assert study is not None
        _write(connection, study, revision)
        known[study_id] = digest
        return Outcome(study_id, "added")
    if known[study_id] == digest:
        return Outcome(study_id, "present")
    message = f"study {study_id} is stored already, with other content."
    return Outcome(study_id, "refused", InputError("uid_conflict", message, "Give it another identifier."))


def _write(connection: Connection, study: rows.StudyRows, revision: int) -> None:
    connection.execute(insert(StudyRow), study.study)
    embeddings = [{**row, "revision": revision} for row in study.embeddings]
    parts = ((RadiographRow, study.radiographs), (EmbeddingRow, embeddings), (FindingRow, study.findings),
             (LabelRow, study.labels))  # fmt: skip
    for table, values in parts:
        if values:  # an empty list would insert a row of defaults
            connection.execute(insert(table), values)


def _tally(connection: Connection, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return {value: count for value, count in connection.execute(select(column, func.count()).group_by(column))}
