"""The records of a library: one transaction per batch of studies, on the disk before it is acknowledged."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute

from lingula.errors import InputError, LibraryError
from lingula.library import rows, schema, sqlite
from lingula.library.record import (
    MODES,
    About,
    Entry,
    LibraryStatus,
    Outcome,
    Refusal,
    StudyRecord,
    study_digest,
)  # fmt: skip
from lingula.library.schema import EmbeddingRow, LibraryRow, RadiographRow, RefusedRow, StudyRow
from lingula.study import Mode, Report

Summary = tuple[Report | None, tuple[str, ...], tuple[str, ...]]  # report, labels, image ids


class Store:
    """An open database. Threads may share it: every call takes its own connection from the pool."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._engine = sqlite.connect(file)
        self.about = About("", "", (), 0)
        self._secret = b""

    @classmethod
    def create(cls, file: Path, about: About) -> Store:
        """Make the tables, all or none.

        Raises:
            InputError: ``bad_request`` when the database holds tables already.
        """
        sqlite.make_folder(file.parent)
        store = cls(file)
        with store._closed_on_failure(), store._transaction() as connection:
            if inspect(connection).get_table_names():
                raise InputError("bad_request", f"{file} exists already.", "Open it, or name another path.")
            schema.Base.metadata.create_all(connection)
            store.about, store._secret = about, secrets.token_bytes(32)
            row = {"id": 1, "version": schema.VERSION, "model": about.model, "vocabulary": about.vocabulary,
                   "labels": list(about.labels), "dimension": about.dimension, "revision": 0,
                   "secret": store._secret}  # fmt: skip
            connection.execute(insert(LibraryRow), row)
        return store

    @classmethod
    def open(cls, file: Path) -> Store:
        """Open what ``create`` made.

        Raises:
            LibraryError: ``library_missing``; ``index_corrupt`` when the file is empty, damaged or something else.
        """
        if not file.is_file():
            raise LibraryError("library_missing", f"there is no library at {file}.", "Check the path, or import one.")
        if not file.stat().st_size:
            raise sqlite.damaged(file, "the file is empty")
        store = cls(file)
        with store._closed_on_failure(), store._transaction() as connection:
            if not inspect(connection).has_table(LibraryRow.__tablename__):
                raise sqlite.damaged(file, "it holds no library")
            row = connection.execute(select(LibraryRow.__table__)).one_or_none()
            if row is None or row.version != schema.VERSION:
                found = "no description" if row is None else f"schema version {row.version}, not {schema.VERSION}"
                raise sqlite.damaged(file, found)
            store.about = About(row.model, row.vocabulary, tuple(row.labels), row.dimension)
            store._secret = row.secret
        return store

    def close(self) -> None:
        self._engine.dispose()

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
            raise sqlite.translated(error, self.file) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise sqlite.damaged(self.file, str(error)) from error

    # -- writing

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, int]]:
        """A transaction that holds the write lock from its first statement, and its revision."""
        with self._transaction() as connection:
            connection.execute(update(LibraryRow).values(revision=LibraryRow.revision + 1))
            yield connection, connection.execute(select(LibraryRow.revision)).scalar_one()

    def insert(self, entries: Sequence[Entry]) -> tuple[Outcome, ...]:
        """Add studies in one transaction: when this returns, every study "added" is on the disk.

        A study stored before is "present", or "refused" (``uid_conflict``) when its content differs; the others of
        the batch are added all the same.

        Raises:
            InputError, ModelError: an entry that cannot be stored; then nothing of the batch was.
        """
        digests = [study_digest(entry.study) for entry in entries]
        with self._transaction() as connection:
            known = _digests(connection, entries)
        laid_out = {  # outside the write lock: drawing previews takes time
            at: rows.from_entry(entry, digest, self.about, self._secret)
            for at, (entry, digest) in enumerate(zip(entries, digests, strict=True))
            if entry.study.study_id not in known
        }
        outcomes = []
        with self._writing() as (connection, revision):
            known = _digests(connection, entries)
            for at, (entry, digest) in enumerate(zip(entries, digests, strict=True)):
                study_id = entry.study.study_id
                if study_id not in known:
                    _write(connection, laid_out[at], revision)
                    known[study_id] = digest
                    outcomes.append(Outcome(study_id, "added"))
                elif known[study_id] == digest:
                    outcomes.append(Outcome(study_id, "present"))
                else:
                    message = f"study {study_id} is stored already, with other content."
                    conflict = InputError("uid_conflict", message, "Give it another identifier.")
                    outcomes.append(Outcome(study_id, "refused", conflict))
        return tuple(outcomes)

    def refuse(self, refusal: Refusal) -> None:
        """Note what could not be imported; the last word on a source stands."""
        with self._writing() as (connection, _):
            connection.execute(delete(RefusedRow).where(RefusedRow.source == refusal.source))
            values = {"source": refusal.source, "code": refusal.code, "message": refusal.message}
            connection.execute(insert(RefusedRow), values)

    # -- reading

    def revision(self) -> int:
        """How many writes were committed."""
        with self._transaction() as connection:
            return connection.execute(select(LibraryRow.revision)).scalar_one()

    def ids(self) -> tuple[str, ...]:
        """All study ids, sorted as plain strings."""
        with self._transaction() as connection:
            return tuple(sorted(connection.execute(select(StudyRow.study_id)).scalars()))

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

    def summaries(self, study_ids: Collection[str]) -> dict[str, Summary]:
        """What a search answer shows of each study; no previews are read."""
        studies = select(StudyRow.study_id, StudyRow.text, StudyRow.sections, StudyRow.labels)
        images = select(RadiographRow.study_id, RadiographRow.image_id).order_by(RadiographRow.position)
        named: dict[str, list[str]] = {study_id: [] for study_id in study_ids}
        with self._transaction() as connection:
            found = connection.execute(studies.where(StudyRow.study_id.in_(study_ids))).all()
            for study_id, image_id in connection.execute(images.where(RadiographRow.study_id.in_(study_ids))):
                named[study_id].append(image_id)
        return {
            study_id: (rows.to_report(text, sections), tuple(labels or ()), tuple(named[study_id]))
            for study_id, text, sections, labels in found
        }

    def vectors(
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
        size = 4 * self.about.dimension
        if wrong := [study_id for study_id, vector in found if len(vector) != size]:
            raise sqlite.damaged(self.file, f"the {mode} embedding of {wrong[0]} is not {size} bytes")
        flat = np.frombuffer(b"".join(vector for _, vector in found), "<f4").astype(np.float32, copy=False)
        matrix = flat.reshape(len(found), self.about.dimension)
        sound = np.abs(np.linalg.norm(matrix, axis=1) - 1) < 1e-5  # False for NaN
        if not sound.all():
            study_id, _ = found[int(np.argmin(sound))]
            raise sqlite.damaged(self.file, f"the {mode} embedding of {study_id} has no unit norm")
        return revision, [study_id for study_id, _ in found], matrix

    def refusals(self) -> tuple[Refusal, ...]:
        """What could not be imported, sorted by source."""
        with self._transaction() as connection:
            found = connection.execute(select(RefusedRow.source, RefusedRow.code, RefusedRow.message)).all()
        return tuple(Refusal(*row) for row in sorted(tuple(row) for row in found))

    def status(self) -> LibraryStatus:
        with self._transaction() as connection:
            coded = connection.execute(select(StudyRow.labels)).scalars().all()
            by_view = _tally(connection, RadiographRow.view)
            by_mode = _tally(connection, EmbeddingRow.mode)
            by_refusal = _tally(connection, RefusedRow.code)
        counts = Counter(label for labels in coded for label in labels or ())
        return LibraryStatus(
            location=str(self.file),
            about=self.about,
            studies=len(coded),
            radiographs=sum(by_view.values()),
            uncoded=sum(labels is None for labels in coded),
            by_label=tuple((label, counts[label]) for label in self.about.labels),
            by_view=tuple(sorted(by_view.items())),
            by_mode=tuple((mode, by_mode.get(mode, 0)) for mode in MODES),
            by_refusal=tuple(sorted(by_refusal.items())),
        )

    def problems(self) -> tuple[str, ...]:
        """What the database's own checks find wrong."""
        with self._transaction() as connection:
            return sqlite.problems(connection)


def _digests(connection: Connection, entries: Sequence[Entry]) -> dict[str, str]:
    """Content digests of those entries that are stored, by study id."""
    asked = [entry.study.study_id for entry in entries]
    found = connection.execute(select(StudyRow.study_id, StudyRow.digest).where(StudyRow.study_id.in_(asked)))
    return {study_id: digest for study_id, digest in found}


def _write(connection: Connection, study: rows.StudyRows, revision: int) -> None:
    connection.execute(insert(StudyRow), study.study)
    if study.radiographs:  # an empty list would insert a row of defaults
        connection.execute(insert(RadiographRow), study.radiographs)
    if study.embeddings:
        connection.execute(insert(EmbeddingRow), [{**row, "revision": revision} for row in study.embeddings])


def _tally(connection: Connection, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return {value: count for value, count in connection.execute(select(column, func.count()).group_by(column))}
