"""The library of studies: add them with their embeddings, read them back, search them."""

from __future__ import annotations

import difflib
import hashlib
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from lingula.errors import LibraryError, ModelError
from lingula.library import sqlite
from lingula.library.index import FaissFlat, Index
from lingula.library.record import MODES, About, Entry, LibraryStatus, Outcome, Refusal, StudyRecord, unit
from lingula.library.search import Gallery, check_k
from lingula.library.store import Store
from lingula.library.verify import problems
from lingula.study import Mode, Neighbour, Study


class Library:
    """Studies on disk and their vectors in memory. Use ``create`` or ``open``, best in a ``with`` statement.

    Threads may share a library, and processes a database: every search first looks whether anything was written since
    its vectors were read, so records and index cannot drift apart.
    """

    def __init__(self, store: Store, engine: type[Index]) -> None:
        self._store = store
        self._engine = engine
        self._galleries = dict.fromkeys(MODES, Gallery.empty(store.about.dimension))
        self._refreshing = threading.Lock()
        self._fingerprint: tuple[tuple[int, ...], str] = ((), "")

    @classmethod
    def create(
        cls,
        url_or_path: str | Path,
        *,
        model: str,
        vocabulary: str,
        labels: tuple[str, ...],
        dimension: int,
        engine: type[Index] = FaissFlat,
    ) -> Self:
        """Make a new, empty library.

        Args:
            url_or_path: a folder, a ``.sqlite`` file or a ``sqlite:///`` URL.
            model: fingerprint of the model that encodes its studies.
            vocabulary, labels: digest of the label vocabulary, and its codes in order.
            dimension: length of an embedding.
            engine: what searches the vectors.

        Raises:
            InputError: ``bad_request`` when there is a library already.
        """
        about = About(model, vocabulary, labels, dimension)
        return cls(Store.create(sqlite.location(url_or_path), about), engine)

    @classmethod
    def open(cls, url_or_path: str | Path, *, model: str | None = None, engine: type[Index] = FaissFlat) -> Self:
        """Open a library; with ``model``, only if that very model filled it.

        Raises:
            LibraryError: ``library_missing``, ``index_corrupt``.
            ModelError: ``model_mismatch`` when another model filled it.
        """
        store = Store.open(sqlite.location(url_or_path))
        if model is not None and model != store.about.model:
            store.close()
            message = f"the library at {store.file} was filled by model {store.about.model}, not by {model}."
            raise ModelError("model_mismatch", message, "Use that model, or import the studies again.")
        return cls(store, engine)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def about(self) -> About:
        """What the library was made for: model, vocabulary, labels, dimension."""
        return self._store.about

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, over the model, the sorted study ids and their vectors: equal libraries answer equally."""
        galleries = [self.gallery(mode) for mode in MODES]
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

    def add_many(self, entries: Iterable[Entry]) -> tuple[Outcome, ...]:
        """Store a batch of studies in one transaction: one wait for the disk instead of many.

        A study whose id is taken is "refused" in its outcome and stops nobody else; an embedding or label that does
        not belong here raises ``ModelError``, and then nothing of the batch was stored.
        """
        return self._store.insert(tuple(entries))

    def refuse(self, source: str, code: str, message: str) -> None:
        """Note a file or study that could not be imported; the last word on a source stands."""
        self._store.refuse(Refusal(source, code, message))

    # -- reading

    def __len__(self) -> int:
        return self._store.count()

    def ids(self) -> tuple[str, ...]:
        """All study ids, sorted as plain strings."""
        return self._store.ids()

    def get(self, study_id: str) -> StudyRecord:
        """One study with its previews.

        Raises:
            LibraryError: ``study_unknown``, naming the nearest ids.
        """
        if (record := self._store.record(study_id)) is None:
            near = difflib.get_close_matches(study_id, self.ids(), n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else ""
            raise LibraryError("study_unknown", f"the library has no study {study_id!r}.", hint)
        return record

    def study(self, study_id: str) -> Study:
        """One study, ready to be encoded or explained; its pixels are the previews', float32 in [0, 1]."""
        return self.get(study_id).study()

    def refusals(self) -> tuple[Refusal, ...]:
        return self._store.refusals()

    def status(self) -> LibraryStatus:
        return self._store.status()

    def verify(self) -> tuple[str, ...]:
        """Check everything; one sentence per problem, empty when the library is sound. Reads it all: seconds."""
        return problems(self._store, self.gallery)

    # -- searching

    def gallery(self, mode: Mode = "joint") -> Gallery:
        """The current ids and vectors of one mode.

        Raises:
            LibraryError: ``index_corrupt`` when a stored vector is damaged.
        """
        if self._galleries[mode].revision < (revision := self._store.revision()):
            with self._refreshing:
                known = self._galleries[mode]
                if known.revision < revision:  # no other thread was quicker
                    self._galleries[mode] = known.extended(*self._store.vectors(mode, known.revision), self._engine)
        return self._galleries[mode]

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
        query = unit(vector, self.about.dimension, "the query")
        gallery = self.gallery(mode)
        if not gallery.ids:
            message = f"no study at {self._store.file} has {'an' if mode == 'image' else 'a'} {mode} embedding."
            raise LibraryError("library_empty", message, "Import studies first.")
        ranked = gallery.nearest(query, k, exclude)
        shown = self._store.summaries([study_id for study_id, _ in ranked])
        neighbours = []
        for rank, (study_id, score) in enumerate(ranked, start=1):
            report, labels, image_ids = shown[study_id]
            neighbours.append(Neighbour(rank, study_id, score, labels, report, image_ids))
        return tuple(neighbours)
