"""Search over unit-norm vectors: one protocol, two engines, one order.

Libraries for nearest neighbours break ties arbitrarily and differ in the last bits of a score. So an engine only
proposes candidates in float32; ``ranked`` scores those again in float64, rounds to 6 decimals and orders by
``(-score, row)``. Every engine therefore gives the same answer, and a gallery whose rows are sorted by study id gets
ties by ``(-score, study_id)``. Scores that differ by less than rounding shows are ties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lingula.library.ivf import Cells

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DECIMALS = 6
EXACT = 100_000  # vectors up to which all of them are compared
PROBES = 48  # cells looked into
AHEAD = 64  # candidates for each answer wanted, at least; their order is only nearly right until they are ranked
LEVELS = 127  # of a value with 8 bits, on each side of 0
PART = 50_000  # vectors made 8 bits at once
GATHERED = 20_000  # rows up to which they are compared as they are
FIRST = 1000  # candidates beyond k that are asked for at once
FEW = 16  # a share of the rows from which they are gathered rather than all compared
MARGIN = 1e-4  # float32 dot products of unit vectors err by at most D * 2**-24, 6e-5 for D = 1024


class Index(Protocol):
    """Vectors that can be searched; immutable, so threads may share it."""

    def __init__(self, vectors: Vectors) -> None:
        """Take (N, D) float32 vectors of unit norm, N >= 1."""

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Rows]:
        """The ``min(k, N)`` best rows for each query.

        Args:
            queries: (Q, D) float32, unit norm.
            k: how many rows, at least 1.

        Returns:
            (Q, k) float64 cosines in [-1, 1], rounded to 6 decimals, and (Q, k) int64 rows, by ``(-score, row)``.
        """

    def search_among(self, query: Vectors, mask: Mask, k: int) -> tuple[Scores, Rows]:
        """The best k rows of those that a mask (N,) marks, exactly, for a (D,) query; fewer when there are fewer."""


Engine = Callable[[Vectors], Index]


class NumpyExact:
    """Search by one matrix product; the reference."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = _checked(vectors)

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Rows]:
        k = min(k, len(self._vectors))
        scored = zip(queries, queries @ self._vectors.T, strict=True)  # (D,), (N,)
        found = [ranked(self._vectors, query, _within_reach(scores, k), k) for query, scores in scored]
        return _stacked(found, k)

    def search_among(self, query: Vectors, mask: Mask, k: int) -> tuple[Scores, Rows]:
        rows = np.flatnonzero(mask)
        if FEW * len(rows) <= len(mask) or len(rows) <= k:
            return among(self._vectors, query, rows, k)
        scores = self.scores(query)[rows]
        return ranked(self._vectors, query, rows[_within_reach(scores, k)], k)

    def scores(self, query: Vectors) -> Vectors:
        """(N,) cosines in float32 with a (D,) query."""
        return np.asarray(self._vectors @ query)

    def best(self, query: Vectors, scores: Vectors, mask: Mask, k: int) -> Rows:
        """The rows of ``search_among`` in no order, ``scores`` known: only those at the edge are scored exactly."""
        rows = np.flatnonzero(mask)
        if len(rows) <= k:
            return rows
        scores = scores[rows]
        edge = _edge(scores, k)
        inside = rows[scores > edge + MARGIN]
        at_edge = rows[np.abs(scores - edge) <= MARGIN]
        return np.concatenate([inside, ranked(self._vectors, query, at_edge, k - len(inside))[1]])


class FaissQuantised:
    """Search by ``faiss.IndexIVFScalarQuantizer`` with 8 bits a value, its candidates ranked again exactly.

    Not every one of the best k is sure to be among the candidates; ``benchmarks/vector_search.py`` says how many are.
    ``search_among`` is exact: it looks into every cell, and goes on until no row that was left out can be among the
    best, by how far a vector lies from what its 8 bits say at most.
    """

    def __init__(self, vectors: Vectors, cells: Cells | None = None, probes: int = PROBES) -> None:
        import faiss

        self._vectors = _checked(vectors)
        cells = cells or Cells.learned(self._vectors)
        count, dimension = self._vectors.shape
        self._quantiser = faiss.IndexFlatIP(dimension)
        self._quantiser.add(cells.centroids)
        kind, metric = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        self._cells = faiss.IndexIVFScalarQuantizer(
            self._quantiser, dimension, len(cells.centroids), kind, metric, False
        )
        self._cells.is_trained = True  # whole numbers from -128 to 127 as they are
        self._scale = _scale(self._vectors)
        self._error = 0.0  # how far a vector lies from its 8 bits, at most
        assigned = np.ascontiguousarray(cells.assigned, np.int64)
        for start in range(0, count, PART):
            some = self._vectors[start : start + PART]
            levels, apart = _levels(some, self._scale)
            self._error = max(self._error, float(apart.max()))
            labels = np.arange(start, start + len(some), dtype=np.int64)
            where = np.ascontiguousarray(assigned[start : start + len(some)])
            self._cells.add_core(len(some), *(faiss.swig_ptr(array) for array in (levels, labels, where)))
        self._cells.nprobe = probes
        self._cells.parallel_mode = 1  # the cells of one query on all cores

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Rows]:
        k = min(k, len(self._vectors))
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        fetch = min(len(self._vectors), max(AHEAD, 4 * k))
        proposed = self._cells.search(_levels(queries)[0], fetch)[1]  # (Q, fetch), -1 where the cells held fewer
        found = [self._ranked(query, rows[rows >= 0], k) for query, rows in zip(queries, proposed, strict=True)]
        return _stacked(found, k)

    def search_among(self, query: Vectors, mask: Mask, k: int) -> tuple[Scores, Rows]:
        import faiss

        rows = np.flatnonzero(mask)
        if len(rows) <= max(GATHERED, k):
            return among(self._vectors, query, rows, k)
        bits = np.packbits(mask, bitorder="little")
        chosen = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        options = faiss.SearchParametersIVF(sel=chosen, nprobe=self._cells.nlist)  # type: ignore[call-arg]
        levels, error = _levels(query[None])
        scale = self._scale * _scale(query)
        apart = self._error + float(error[0]) * (1 + self._error) + MARGIN  # |q.v - q'.v'|, at most
        fetch = min(FIRST + k, len(rows))
        while True:
            near, proposed = self._cells.search(levels, fetch, params=options)  # (1, fetch) each
            scores, best = ranked(self._vectors, query, proposed[0], k)
            if fetch == len(rows) or near[0, -1] / scale + apart < scores[-1]:
                return scores, best
            fetch = min(4 * fetch, len(rows))

    def _ranked(self, query: Vectors, rows: Rows, k: int) -> tuple[Scores, Rows]:
        if len(rows) < k:  # more is asked than the cells hold: compare all
            return among(self._vectors, query, np.arange(len(self._vectors)), k)
        return ranked(self._vectors, query, rows, k)


def _scale(vectors: Vectors) -> np.float32:
    return np.float32(LEVELS / np.abs(vectors).max())


def _levels(vectors: Vectors, scale: np.float32 | None = None) -> tuple[Vectors, Vectors]:
    """(N, D) whole numbers of 8 bits, in float32, and (N,) how far each vector lies from what they say."""
    by = np.float32(LEVELS) / np.abs(vectors).max(axis=1, keepdims=True) if scale is None else scale
    levels = np.rint(vectors * by)
    return levels, np.linalg.norm(vectors - levels / by, axis=1)


def _checked(vectors: Vectors) -> Vectors:
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"an index needs (N, D) vectors with N >= 1, got {vectors.shape}")
    return np.ascontiguousarray(vectors, dtype=np.float32)


def among(vectors: Vectors, query: Vectors, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """The best k of some rows, exactly, for a (D,) query; fewer when there are fewer."""
    if not len(rows):
        return np.empty(0), rows
    reached = _within_reach(vectors[rows] @ query, min(k, len(rows)))
    return ranked(vectors, query, rows[reached], k)


def _within_reach(scores: Vectors, k: int) -> Rows:
    """Where a float32 score could be among the best k of (N,), 1 <= k <= N."""
    return np.flatnonzero(scores >= _edge(scores, k) - MARGIN)


def _edge(scores: Vectors, k: int) -> np.float32:
    """The k-th best of (N,) scores, 1 <= k <= N."""
    edge: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    return edge


def ranked(vectors: Vectors, query: Vectors, candidates: Rows, k: int) -> tuple[Scores, Rows]:
    """The best k candidates by ``(-score, row)``. Row by row, so that equal vectors get equal scores."""
    products = vectors[candidates].astype(np.float64) * query.astype(np.float64)  # (C, D)
    scores = np.clip(products.sum(axis=1).round(DECIMALS), -1, 1) + 0.0  # + 0.0 turns -0.0 into 0.0
    best = np.lexsort((candidates, -scores))[:k]
    return scores[best], candidates[best]


def _stacked(found: list[tuple[Scores, Rows]], k: int) -> tuple[Scores, Rows]:
    if not found:
        return np.empty((0, k)), np.empty((0, k), np.int64)
    return np.stack([scores for scores, _ in found]), np.stack([rows for _, rows in found])
