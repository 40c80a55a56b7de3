"""The library of studies: add them with their embeddings, read them back, search them."""

from __future__ import annotations

import difflib
import hashlib
import os
import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.durable_file import sync
from lingula.errors import InputError, LibraryError, ModelError
from lingula.frames import table_of
from lingula.labels.assertions import Assertion
from lingula.library.catalogue import Catalogue, Roster, Rows, Selection
from lingula.library.conditions import Condition
from lingula.library.database import Database
from lingula.library.database_url import database_at
from lingula.library.engines import EXACT, MARGIN, Engine, FaissQuantised, Index, NumpyExact, ranked
from lingula.library.erasure import DeletionReceipt
from lingula.library.identity import patient_key, stored_ids
from lingula.library.ivf import Cells
from lingula.library.record import (
    Entry,
    LibraryDescription,
    Outcome,
    Refusal,
    StudyRecord,
    Summary,
    birth_key,
    unit,
)
from lingula.library.record_cache import RecordCache, remembered
from lingula.library.rows import reencoded
from lingula.library.store import Progress, Store
from lingula.library.vectors import Comparison, Gallery, check_k, exact
from lingula.library.verify import problems
from lingula.study import MODES, Mode, Neighbour, Study
from lingula.types import FilePath

Encode = Callable[
    [Sequence[StudyRecord]],
    Sequence[tuple[Mapping[Mode, npt.NDArray[np.floating[Any]]], tuple[str, ...] | None]],
]
"""Records to the vectors by mode, and the labels, of each."""
T = TypeVar("T")
COPIED = 100  # studies copied in one transaction
ASKED = 5_000
"""Studies within which a database with vectors of its own is asked; more are compared in memory."""
SPARE = 16  # candidates beyond k that are asked for at once, to settle ties


class Library(Store):
    """Studies on disk, found again. Use ``create`` or ``open``, best in a ``with`` statement.

    Threads may share a library, and processes a database. In SQLite, vectors are searched in memory, and every search
    first looks whether anything was written since they were read; in PostgreSQL they are indexed in the transaction
    that stores their study. Either way records and index cannot drift apart.
    """

    has_texts = True

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.engine: Engine | None = None
        """What searches the vectors in memory; None for the database's own index, where it has one."""
        self._galleries: dict[Mode, Gallery] = {}
        self._refreshing = threading.Lock()
        self._fingerprint: tuple[tuple[int, ...], str] = ((), "")
        self._catalogue = Catalogue(self)
        self._matching = lru_cache(maxsize=64)(
            lambda revision, conditions: self._catalogue.matching(conditions, revision)
        )
        self._cache = RecordCache(-1)
        self._held = threading.local()

    @classmethod
    def create(
        cls,
        url_or_path: FilePath,
        *,
        model: str,
        vocabulary: str,
        labels: tuple[str, ...],
        dimension: int,
        engine: Engine | None = None,
    ) -> Self:
        """Make a new, empty library.

        Args:
            url_or_path: a folder, a ``.sqlite`` file, a ``sqlite:///`` URL, or the ``postgresql://`` URL of an empty
                database.
            model: fingerprint of the model that encodes its studies.
            vocabulary, labels: digest of the label vocabulary, and its codes in order.
            dimension: length of an embedding.
            engine: what searches the vectors in memory; by default, the database's own index where it has one.

        Raises:
            InputError: ``bad_request`` when there is a library already.
        """
        about = LibraryDescription(model, vocabulary, labels, dimension)
        library = cls.create_in(database_at(url_or_path), about)
        library.engine = engine
        return library

    @classmethod
    def open(cls, url_or_path: FilePath, *, model: str | None = None, engine: Engine | None = None) -> Self:
        """Open a library; with ``model``, only if that very model filled it. An older library is brought up to date.

        Raises:
            LibraryError: ``library_missing``, ``library_newer``, ``index_corrupt``.
            ModelError: ``model_mismatch`` when another model filled it.
        """
        library = cls.open_in(database_at(url_or_path))
        library.engine = engine
        if model is not None:
            with library._closed_on_failure():
                library.require_model(model)
        return library

    @classmethod
    def like(cls, other: Library, url_or_path: FilePath) -> Self:
        """Open the library there, or make one for the same model and labels as another."""
        try:
            return cls.open(url_or_path, model=other.about.model)
        except LibraryError as error:
            if error.code != "library_missing":
                raise
        about = other.about
        return cls.create(
            url_or_path, model=about.model, vocabulary=about.vocabulary, labels=about.labels, dimension=about.dimension
        )

    def derived_file(self, name: str) -> Path | None:
        """Where data derived from the library may be kept, beside its file; None where it lives in a server."""
        return self.database.derived_file(name)

    def check(self) -> None:
        """See that the library is there and its file not plainly damaged. Reads a file anew only where it was written.

        Raises:
            LibraryError: ``library_missing``, ``index_corrupt``. LingulaError: ``storage_unavailable``.
        """
        self.last_revision()
        self.database.check()

    def sweep(self) -> int:
        """Remove temporary files beside the library that killed processes left an hour ago or earlier; how many."""
        return self.database.sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, over the model, the sorted study ids and their vectors: equal libraries answer equally."""
        galleries = [self.gallery(mode).whole() for mode in MODES]
        revisions = tuple(gallery.revision for gallery in galleries)
        if self._fingerprint[0] != revisions:
            digest = hashlib.sha256(self.about.model.encode())
            for mode, gallery in zip(MODES, galleries, strict=True):
                digest.update("\0".join(("", mode, *gallery.ids, "")).encode())
                digest.update(gallery.vectors.astype("<f4", copy=False).tobytes())
            self._fingerprint = revisions, digest.hexdigest()
        return self._fingerprint[1]

    # -- adding

    def add(
        self,
        study: Study,
        embeddings: Mapping[Mode, npt.NDArray[np.floating[Any]]],
        labels: tuple[str, ...] | None = None,
    ) -> Literal["added", "present"]:
        """Store one study. When this returns, it is on the disk.

        Args:
            embeddings: (D,) unit-norm vectors by mode; a mode the study lacks is left out.
            labels: codes of the labels present; None when nobody coded the study.

        Returns:
            "present" when the same study with the same content was stored before; it is left as it is.

        Raises:
            InputError: ``uid_conflict`` when the id is taken by a study with other content.
            ModelError: ``model_mismatch`` for an embedding or label that does not belong here.
        """
        (outcome,) = self.add_many([Entry(study, embeddings, labels)])
        if outcome.state == "refused":
            assert outcome.error is not None
            raise outcome.error
        return outcome.state

    def copy_from(self, other: Library, progress: Progress = lambda done, of: None) -> tuple[Outcome, ...]:
        """Add every study of another library with its embeddings, and what is taught with it: nothing is decoded or
        encoded again.

        Studies that are there already are passed over, so a copy that was stopped goes on. The other library may be
        written meanwhile. Only into an empty library do its keys of birth dates come along.

        Args:
            progress: called with (studies done, of how many).

        Raises:
            ModelError: ``model_mismatch`` when the other library is of another model or vocabulary.
        """
        if other.about != self.about:
            message = f"{other.place} is of model {other.about.model}, {self.place} of {self.about.model}."
            raise ModelError("model_mismatch", message, "Only libraries of one model can be joined.")
        ids, known = other.ids(), set(self.ids())
        outcomes = []
        for start in range(0, len(ids), COPIED):
            some = ids[start : start + COPIED]
            outcomes += [Outcome(study_id, "present") for study_id in known.intersection(some)]
            if missing := [study_id for study_id in some if study_id not in known]:
                outcomes += self.take(other.rows_of(missing), other.secret)
            progress(start + len(some), len(ids))
        self.refuse_all(other.refusals())
        self.teaching.copy_from(other.teaching)
        return tuple(outcomes)

    def copy_reencoded(
        self, other: Library, encode: Encode, progress: Progress = lambda done, of: None
    ) -> tuple[Outcome, ...]:
        """Add every study of a library of another model, encoded anew from its previews and report.

        Studies that are there already are passed over, so what was stopped goes on.

        Args:
            encode: from records to the vectors by mode and the labels (None: not coded) of each, in their order.
            progress: called with (studies done, of how many).
        """
        ids, known = other.ids(), set(self.ids())
        outcomes = [Outcome(study_id, "present") for study_id in ids if study_id in known]
        missing = [study_id for study_id in ids if study_id not in known]
        for start in range(0, len(missing), COPIED):
            some = missing[start : start + COPIED]
            records = [other.get(study_id) for study_id in some]
            stored = {each.study["study_id"]: each for each in other.rows_of(some)}
            made = [
                reencoded(stored[record.study_id], vectors, labels, self.about)
                for record, (vectors, labels) in zip(records, encode(records), strict=True)
            ]
            outcomes += self.take(made, other.secret)
            progress(len(outcomes), len(ids))
        self.refuse_all(other.refusals())
        self.teaching.copy_from(other.teaching)
        return tuple(outcomes)

    def backup(self, file: FilePath, progress: Progress = lambda done, of: None) -> None:
        """Write a copy of the library, in whichever database it lives, as one SQLite file, while it is used.

        The copy is a library itself: open it, or bring it back with ``copy_from``. It is written under another name and
        renamed when whole; one that was stopped goes on.

        Raises:
            InputError: ``bad_request`` when the file exists already.
        """
        file = Path(file)
        if file.exists():
            raise InputError("bad_request", f"{file} exists already.", "Name another file.")
        part = file.with_name(f"{file.name}.part.sqlite")
        self.note_copy("backup", file.absolute())
        with Library.like(self, part) as copy:
            copy.copy_from(self, progress)
            copy.access.copy_from(self.access)
            copy.settle()
        os.replace(part, file)
        sync(file.parent)

    # -- deleting

    def owned(self, *, patient: str = "", sender: str = "") -> tuple[str, ...]:
        """Ids, sorted, of all studies of a patient or of a sender.

        Args:
            patient: the key that a record shows (``birth_key``), or the name by which the patient was imported.
            sender: as the studies were imported.
        """
        if bool(patient) == bool(sender):
            raise InputError("bad_request", "a patient or a sender is to be named.", "Name one of them.")
        if sender:
            return super().owned(sender=sender)
        keys = dict.fromkeys((patient, patient_key(self.secret, patient)))
        return tuple(sorted({study_id for key in keys for study_id in super(Library, self).owned(patient=key)}))

    def delete(self, study_ids: Collection[str]) -> DeletionReceipt:
        """Delete studies from all tables and from the file's free bytes. Where others read the file, it waits for them.

        ``lingula.deletion.delete_studies`` also deletes what was derived from them beside the library.

        Raises:
            LibraryError: ``study_unknown``; then nothing was deleted.
        """
        ids = sorted(set(study_ids))
        for start in range(0, len(ids), COPIED):
            some = ids[start : start + COPIED]
            if missing := sorted(set(some) - self.summaries(some).keys()):
                self.get(missing[0])  # says what is near
        copies = self.copies()
        rows, changed = self.erase(ids) if ids else ({}, {})
        remains = self.overwrite() if ids else ()
        keys = tuple(sorted(patient_key(self.secret, f"study {study_id}") for study_id in ids))
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return DeletionReceipt(at, keys, rows, changed, 0, copies if ids else (), remains)

    def refuse(self, source: str, code: str, message: str) -> None:
        """Note a file or study that could not be imported; the last word on a source stands.

        Args:
            source: a name that may be shown to others: of a study of the collection, or ``identity.file_name``.
            message: what may be shown likewise, ``errors.CAUSES[code]``.
        """
        self.refuse_all([Refusal(source, code, message)])

    # -- reading

    def __len__(self) -> int:
        known = self._now()
        if known.count is None:
            known.count = self.count()
        return known.count

    def __iter__(self) -> Iterator[str]:
        """Study ids, sorted as plain strings."""
        return iter(self.ids())

    def __contains__(self, study_id: object) -> bool:
        return isinstance(study_id, str) and bool(self.summaries([study_id]))

    def __getitem__(self, study_id: str) -> Study:
        """A study by its id; as ``study``."""
        return self.study(study_id)

    def to_frame(self) -> Any:
        """A pandas table, a row a study: id, labels, age, films, report.

        Raises:
            InputError: ``bad_request`` where pandas is not installed.
        """
        shown = self.summaries(self.ids())
        return table_of(
            {
                "study_id": study_id,
                "labels": known.labels if known.coded else None,
                "age": known.age,
                "image_ids": [image.image_id for image in known.images],
                "report": known.report.text if known.report else None,
            }
            for study_id, known in shown.items()
        )

    def _now(self) -> RecordCache:
        if (known := self._cache).revision != (revision := self.revision):
            self._cache = known = RecordCache(revision)
        return known

    def get(self, study_id: str) -> StudyRecord:
        """One study with its previews.

        Raises:
            LibraryError: ``study_unknown``, naming the nearest ids.
        """
        if (record := self.record(study_id)) is None:
            near = difflib.get_close_matches(study_id, self.ids(), n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else ""
            raise LibraryError("study_unknown", f"the library has no study {study_id!r}.", hint)
        return record

    def summaries(self, study_ids: Collection[str]) -> dict[str, Summary]:
        """What an answer shows of each study, by id; unknown ids are left out. Remembered until the next write."""
        return remembered(self._now().summaries, study_ids, super().summaries)

    def assertions(self, study_ids: Collection[str]) -> dict[str, tuple[Assertion, ...]]:
        """What the report of each study asserts, in the order of its text. Remembered until the next write."""
        return remembered(self._now().assertions, study_ids, super().assertions)

    def remembered(
        self, kind: Hashable, study_ids: Collection[str], read: Callable[[Collection[str]], dict[str, T]]
    ) -> dict[str, T]:
        """What is made of each study's record, for one kind of thing the same way: remembered until the next write."""
        return remembered(self._now().made.setdefault(kind, {}), study_ids, read)

    @property
    def roster(self) -> Roster:
        """Its studies by row, now or, within ``held``, at its start or later."""
        return self._catalogue.roster(self.revision)

    def numbers(
        self, kind: Hashable, roster: Roster, rows: Rows, make: Callable[[list[str]], npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        """What is made of each study's record, as numbers (N, ...) of the studies in N rows of its roster, for one kind
        of thing the same way: remembered until the next write."""
        return self._now().numbers.of(kind, roster, rows, make)

    def birth_key(self, birth_date: str) -> str:
        """What stands for a birth date (YYYYMMDD) in this library, to be compared with ``Summary.birth_key``."""
        return birth_key(self.secret, birth_date)

    def ids_of(self, study: Study) -> frozenset[str]:
        """Under which ids this library would hold a study that was read from files."""
        return stored_ids(study, self.secret)

    def holding(self, study: Study) -> frozenset[str]:
        """Ids of the studies of the library that are this one: by its names, or by the files of its films."""
        return self.known(self.ids_of(study), [film.digest for film in study.radiographs if film.digest])

    def study(self, study_id: str) -> Study:
        """One study, ready to be encoded or explained; its pixels are the previews', float32 in [0, 1]."""
        return self.get(study_id).study()

    def verify(self) -> tuple[str, ...]:
        """Check everything; one sentence per problem, empty when the library is sound. Reads it all: seconds."""
        return problems(self, self.gallery)

    def reindex(self, progress: Progress = lambda done, of: None) -> None:
        """Make all derived data anew: assertions by today's rules, full-text and vector indexes.

        Args:
            progress: called with (reports read, of how many).
        """
        self.rebuild_indexes()
        self.reread(progress)

    # -- searching

    @property
    def revision(self) -> int:
        """How many writes the library has seen, by anybody: what was read at the same revision is still true."""
        held: int | None = getattr(self._held, "revision", None)
        return self.last_revision() if held is None else held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block this thread looks once, at its start, whether the library was written to: as every part of
        one answer is to be of one revision."""
        outer: int | None = getattr(self._held, "revision", None)
        self._held.revision = self.revision
        try:
            yield
        finally:
            self._held.revision = outer

    def matching(self, *conditions: Condition) -> Set[str]:
        """Ids of the studies that meet all conditions (see ``lingula.library.conditions``).

        They are answered from columns in memory (``catalogue``); the last answers are remembered until the library is
        written to.

        Raises:
            InputError: ``bad_request`` for a phrase without a word.
        """
        return self._matching(self.revision, conditions)

    def vectors(self, study_ids: Collection[str], mode: Mode = "joint") -> dict[str, npt.NDArray[np.float32]]:
        """(D,) unit-norm embeddings of these studies by id; a study that lacks one is left out."""
        if self._in_memory:
            return self.gallery(mode).of(study_ids)
        return self.vectors_of(mode, study_ids)

    def gallery(self, mode: Mode = "joint") -> Gallery:
        """The current ids and vectors of one mode.

        Raises:
            LibraryError: ``index_corrupt`` when a stored vector is damaged.
        """
        empty = Gallery.empty(self.about.dimension)
        if self._galleries.get(mode, empty).revision < (revision := self.revision):
            with self._refreshing:
                known = self._galleries.get(mode, empty)
                if known.revision < revision:  # no other thread was quicker
                    if known.revision < self.erased():  # it may hold studies that are gone
                        known = empty
                    read = self.vectors_since(mode, known.revision)
                    self._galleries[mode] = known.extended(*read, self.engine or partial(self._suited, mode))
        return self._galleries.get(mode, empty)

    @property
    def _in_memory(self) -> bool:
        return self.engine is not None or not self.database.searches

    def _suited(self, mode: Mode, vectors: npt.NDArray[np.float32]) -> Index:
        """Exact where that is quick, or where the extra ``large`` is not installed."""
        if len(vectors) <= EXACT or find_spec("faiss") is None:
            return NumpyExact(vectors)
        file = self.derived_file(f"{mode}.cells")
        return FaissQuantised(vectors, Cells.kept(file, vectors) if file else None)

    def search(
        self,
        vector: npt.NDArray[np.floating[Any]],
        *,
        mode: Mode = "joint",
        k: int = 5,
        exclude: Collection[str] = (),
    ) -> tuple[Neighbour, ...]:
        """The k nearest studies, by ``(-score, study_id)``; fewer when the gallery is smaller.

        Args:
            vector: (D,) unit-norm query embedding, of any mode.
            mode: which embeddings of the stored studies to compare it with.
            k: 1 to 100.
            exclude: studies to leave out, such as the asked study itself.

        Raises:
            InputError: ``bad_request`` for another k.
            ModelError: ``model_mismatch`` for a vector of another length or norm.
            LibraryError: ``library_empty`` when no study has an embedding of this mode.
        """
        check_k(k)
        ranking = self.nearest(vector, mode=mode, k=k, exclude=exclude)
        shown = self.summaries([study_id for study_id, _ in ranking])
        neighbours = []
        for rank, (study_id, score) in enumerate(ranking, start=1):
            known = shown[study_id]
            image_ids = tuple(image.image_id for image in known.images)
            neighbours.append(Neighbour(rank, study_id, score, known.labels, known.report, image_ids))
        return tuple(neighbours)

    def nearest(
        self,
        vector: npt.NDArray[np.floating[Any]],
        *,
        mode: Mode = "joint",
        k: int,
        exclude: Collection[str] = (),
        within: Collection[str] | None = None,
    ) -> tuple[tuple[str, float], ...]:
        """The k nearest (study id, cosine), by ``(-score, study_id)``; what ``search`` shows, without the records.

        Args:
            k: any number from 1.
            within: only these studies may answer; they are compared one by one, exactly.
        """
        query = unit(vector, self.about.dimension, "the query")
        if self._in_memory or (isinstance(within, Selection) and len(within) > ASKED):
            found = self.gallery(mode).nearest(query, k, exclude, within)
        else:
            found = self._nearest_stored(query, mode, k, exclude, within)
        if not found and not self.has(mode):
            message = f"no study at {self.place} has {'an' if mode == 'image' else 'a'} {mode} embedding."
            raise LibraryError("library_empty", message, "Import studies first.")
        return found

    def compared(self, roster: Roster, vector: npt.NDArray[np.floating[Any]], *, mode: Mode) -> Comparison:
        """A (D,) unit-norm question compared with the embeddings of one mode of the studies in its roster."""
        query = unit(vector, self.about.dimension, "the query")
        if self._in_memory:
            return self.gallery(mode).compared(roster, query)
        return _StoredComparison(self, roster, query, mode)

    def nearest_to(self, study_id: str, *, mode: Mode, k: int) -> tuple[tuple[str, float], ...]:
        """The k studies nearest to a stored one, which is left out; none where it has no embedding of the mode."""
        vector = self.vectors([study_id], mode).get(study_id)
        return () if vector is None else self.nearest(vector, mode=mode, k=k, exclude=(study_id,))

    def _nearest_stored(
        self,
        query: npt.NDArray[np.float32],
        mode: Mode,
        k: int,
        exclude: Collection[str],
        within: Collection[str] | None,
    ) -> tuple[tuple[str, float], ...]:
        """By the database's own index: enough candidates to pass the k-th score clearly, ranked as everywhere."""
        fetch = k + SPARE
        while True:
            ids, vectors = self.candidates(mode, query, fetch, exclude, within)
            by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
            scores, best = ranked(vectors[by_id], query, np.arange(len(ids)), k)
            if len(ids) < fetch or float(vectors[-1] @ query) < scores[-1] - MARGIN:
                return tuple((ids[by_id[row]], float(score)) for score, row in zip(scores, best, strict=True))
            fetch *= 4


@dataclass(frozen=True, slots=True, eq=False)
class _StoredComparison:
    """A ``Comparison`` by the database's own index; what was read for it is asked once."""

    library: Library
    roster: Roster
    query: npt.NDArray[np.float32]
    mode: Mode
    _known: dict[int, float | None] = field(default_factory=dict)

    def nearest(self, k: int, exclude: Collection[str], within: Collection[str] | None) -> Rows:
        try:
            near = self.library.nearest(self.query, mode=self.mode, k=k, exclude=exclude, within=within)
        except LibraryError as error:
            if error.code != "library_empty":
                raise
            near = ()
        return self.roster.rows([study_id for study_id, _ in near])

    def cosines(self, rows: Rows, *, exactly: bool) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        if new := {self.roster.ids[row]: row for row in rows.tolist() if row not in self._known}:
            self._known.update(dict.fromkeys(new.values()))
            if vectors := self.library.vectors_of(self.mode, new):
                cosines = exact(np.stack([*vectors.values()]), self.query).tolist()
                self._known.update(zip(map(new.__getitem__, vectors), cosines, strict=True))
        found = [self._known[row] for row in rows.tolist()]
        return np.array([each is not None for each in found], np.bool_), np.array([each or 0.0 for each in found])
