"""Galleries: the embeddings of one mode in memory, searched."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.library.catalogue import Roster, Rows, Selection
from lingula.library.engines import EXACT, Engine, Index, Mask, NumpyExact

MOST = 100


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """A snapshot of the studies that have an embedding of one mode. Immutable, so threads may share it.

    Attributes:
        revision: the write of the library it is complete up to.
        ids: N study ids, sorted as plain strings.
        vectors: (N, D) float32, unit norm, read-only, in the order of ``ids``.
        index: searches ``vectors``; None while there are none.
        recent: of a large gallery, the studies added since it was indexed, which are compared one by one.
    """

    revision: int
    ids: tuple[str, ...]
    vectors: npt.NDArray[np.float32] = field(repr=False)
    index: Index | None = field(repr=False)
    recent: Gallery | None = None
    _row_of: dict[str, int] = field(default_factory=dict, repr=False)
    _known: list[_Places] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not self._row_of and len(self.ids) <= EXACT:  # of more it would take much memory
            self._row_of.update(zip(self.ids, range(len(self.ids)), strict=True))

    @classmethod
    def empty(cls, dimension: int) -> Gallery:
        return cls(0, (), np.empty((0, dimension), np.float32), None)

    def extended(self, revision: int, ids: Sequence[str], vectors: npt.NDArray[np.float32], engine: Engine) -> Gallery:
        """The snapshot at a later revision, with these studies added."""
        if not ids:
            return replace(self, revision=revision)
        added = (self.recent or Gallery.empty(vectors.shape[1])).merged(revision, ids, vectors)
        if len(self.ids) > EXACT and len(added.ids) <= len(self.ids) // 20:
            return replace(self, revision=revision, recent=replace(added, index=NumpyExact(added.vectors)))
        every = replace(self, recent=None).merged(revision, added.ids, added.vectors)
        return replace(every, index=engine(every.vectors))

    def merged(self, revision: int, ids: Sequence[str], vectors: npt.NDArray[np.float32]) -> Gallery:
        """These studies among its own, not yet indexed."""
        every = (*self.ids, *ids)
        order = sorted(range(len(every)), key=every.__getitem__)
        both = np.concatenate([self.vectors, vectors])[order]  # (N, D)
        both.flags.writeable = False
        return Gallery(revision, tuple(every[row] for row in order), both, None)

    def whole(self) -> Gallery:
        """The same studies in one part; to be read, not searched."""
        return self.merged(self.revision, self.recent.ids, self.recent.vectors) if self.recent else self

    def _rows(self, study_ids: Collection[str]) -> list[int | None]:
        """Where each of these N studies is, None for one that is not here."""
        return [*map(self._row if len(self.ids) > EXACT else self._row_of.get, study_ids)]

    def _rows_here(self, study_ids: Collection[str]) -> npt.NDArray[np.int64]:
        """Where these studies are, those that are not here left out."""
        return np.array([row for row in self._rows(study_ids) if row is not None], np.int64)

    def _row(self, study_id: str) -> int | None:
        row = bisect_left(self.ids, study_id)
        return row if row < len(self.ids) and self.ids[row] == study_id else None

    def compared(self, roster: Roster, query: npt.NDArray[np.float32]) -> MemoryComparison:
        """A (D,) unit-norm query compared with its embeddings."""
        scores = self.index.scores(query) if isinstance(self.index, NumpyExact) and self.recent is None else None
        return MemoryComparison(self, roster, query, scores)

    def of(self, study_ids: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
        """(D,) vectors of these studies; those that are not here are left out."""
        rows = zip(study_ids, self._rows(study_ids), strict=True)
        own = {study_id: self.vectors[row] for study_id, row in rows if row is not None}
        return own if self.recent is None else own | self.recent.of(study_ids)

    def __contains__(self, study_id: str) -> bool:
        return self._row(study_id) is not None or (self.recent is not None and study_id in self.recent)

    def nearest(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        exclude: Collection[str] = (),
        within: Collection[str] | None = None,
    ) -> tuple[tuple[str, float], ...]:
        """The best k (study id, cosine) for a (D,) unit-norm query, by ``(-score, study_id)``.

        Scores are rounded to 6 decimals before they are ranked, so ties are ties whatever engine computed them. With
        ``within``, only those studies may answer.
        """
        found = self._nearest(query, k, exclude, within)
        if self.recent is None:
            return found
        both = (*found, *self.recent.nearest(query, k, exclude, within))
        return tuple(sorted(both, key=lambda pair: (-pair[1], pair[0])))[:k]

    def _nearest(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        exclude: Collection[str],
        within: Collection[str] | None,
    ) -> tuple[tuple[str, float], ...]:
        if self.index is None:
            return ()
        if within is not None:
            scores, rows = self.index.search_among(query, self.mask(exclude, within), k)
            return tuple(zip(map(self.ids.__getitem__, rows.tolist()), scores.tolist(), strict=True))
        left_out = self._rows_here(exclude)
        near, found = self.index.search(query[None], k + len(left_out))  # (1, k + left out) each
        rows, scores = found[0], near[0]
        if len(left_out):
            kept = ~np.isin(rows, left_out)
            rows, scores = rows[kept], scores[kept]
        return tuple(zip(map(self.ids.__getitem__, rows[:k].tolist()), scores[:k].tolist(), strict=True))

    def mask(self, exclude: Collection[str], within: Collection[str] | None) -> Mask:
        """(N,) which of its studies may answer."""
        mask = np.ones(len(self.ids), np.bool_) if within is None else self._among(within)
        mask[self._rows_here(exclude)] = False
        return mask

    def _among(self, within: Collection[str]) -> Mask:
        """(N,) which of its studies are within a set."""
        if isinstance(within, Selection):
            places = self.places(within.roster)
            are_same = places.in_order and len(within.mask) == len(self.ids)
            return within.mask.copy() if are_same else within.at(places.of_own)
        mask = np.zeros(len(self.ids), np.bool_)
        mask[self._rows_here(within)] = True
        return mask

    def places(self, roster: Roster) -> _Places:
        """Where its studies are in a roster; remembered once all of them are there."""
        for known in self._known:
            if known.roster is roster:
                return known
        places = _Places.of(roster, self.ids)
        if not (places.of_own < 0).any():
            self._known[:] = [places]
        return places


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the N studies of a gallery are among the M of a roster.

    Attributes:
        of_own: (N,) rows in the roster, -1 for a study that it lacks.
        of_roster: (M,) rows in the gallery, -1 for a study that has no embedding of its mode.
        in_order: whether ``of_own`` counts from 0.
    """

    roster: Roster
    of_own: Rows
    of_roster: Rows
    in_order: bool

    @classmethod
    def of(cls, roster: Roster, ids: Sequence[str]) -> _Places:
        of_own = np.fromiter((roster.row_of.get(each, -1) for each in ids), np.int32, len(ids))
        of_roster = np.full(len(roster.ids), -1, np.int32)
        here = np.flatnonzero((of_own >= 0) & (of_own < len(of_roster)))
        of_roster[of_own[here]] = here
        return cls(roster, of_own, of_roster, bool((of_own == np.arange(len(of_own))).all()))

    def own(self, rows: Rows) -> Rows:
        """(K,) rows in the gallery of rows of the roster, -1 also for what the roster got since."""
        known = len(self.of_roster)
        if not len(rows) or int(rows.max()) < known:
            return self.of_roster[rows]
        found = np.full(len(rows), -1, np.int32)
        found[rows < known] = self.of_roster[rows[rows < known]]
        return found


class Comparison(Protocol):
    """A question compared with the embeddings of one mode, of studies that are named by their rows in a roster."""

    def nearest(self, k: int, exclude: Collection[str], within: Collection[str] | None) -> Rows:
        """The rows of the k nearest that may answer, in no order; none where none has an embedding of the mode."""

    def cosines(self, rows: Rows, *, exactly: bool) -> tuple[Mask, npt.NDArray[np.float64]]:
        """Which of N studies have an embedding, (N,), and their cosines with the question, (N,), 0 for the others.

        Args:
            exactly: six decimals; else less than ``engines.MARGIN`` off.
        """


@dataclass(frozen=True, slots=True, eq=False)
class MemoryComparison:
    """A ``Comparison`` in memory.

    Attributes:
        scores: (N,) cosines in float32 with all of a gallery in one part; None where they are not all compared.
    """

    gallery: Gallery
    roster: Roster
    query: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32] | None

    def nearest(self, k: int, exclude: Collection[str], within: Collection[str] | None) -> Rows:
        if self.scores is None:
            near = self.gallery.nearest(self.query, k, exclude, within)
            return self.roster.rows([study_id for study_id, _ in near])
        assert isinstance(self.gallery.index, NumpyExact)
        best = self.gallery.index.best(self.query, self.scores, self.gallery.mask(exclude, within), k)
        rows = self.gallery.places(self.roster).of_own[best]
        return rows[rows >= 0]

    def cosines(self, rows: Rows, *, exactly: bool) -> tuple[Mask, npt.NDArray[np.float64]]:
        gallery = self.gallery
        own = gallery.places(self.roster).own(rows)
        there, found = own >= 0, np.zeros(len(own))
        if exactly or self.scores is None:
            found[there] = exact(gallery.vectors[own[there]], self.query)
        else:
            found[there] = self.scores[own[there]]
        if gallery.recent is not None:
            also, more = MemoryComparison(gallery.recent, self.roster, self.query, None).cosines(rows, exactly=True)
            there, found = there | also, np.where(also, more, found)
        return there, found


def exact(vectors: npt.NDArray[np.float32], query: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N,) cosines of (N, D) vectors with a (D,) query, six decimals."""
    return np.asarray((vectors.astype(np.float64) @ query.astype(np.float64)).round(6))


def check_k(k: int) -> None:
    """Refuse a number of neighbours outside 1 ... 100.

    Raises:
        InputError: ``bad_request``.
    """
    if not 1 <= k <= MOST:
        raise InputError("bad_request", f"k is {k}.", f"Ask for 1 to {MOST} neighbours.")
