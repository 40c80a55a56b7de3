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

DECIMALS = 6
EXACT = 100_000  # vectors up to which all of them are compared
PROBES = 48  # cells looked into
AHEAD = 16  # candidates for each answer wanted, at least; their order is only nearly right until they are ranked
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


class FaissQuantised:
    """Search by ``faiss.IndexIVFScalarQuantizer`` with 8 bits a value, its candidates ranked again exactly.

    Not every one of the best k is sure to be among the candidates; ``benchmarks/vector_search.py`` says how many are.
    """

    def __init__(self, vectors: Vectors, cells: Cells | None = None, probes: int = PROBES) -> None:
        import faiss

        self._vectors = _checked(vectors)
        cells = cells or Cells.learned(self._vectors)
        count, dimension = self._vectors.shape
        self._quantiser = faiss.IndexFlatIP(dimension)
        self._quantiser.add(cells.centroids)
        kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        self._cells = faiss.IndexIVFScalarQuantizer(
            self._quantiser, dimension, len(cells.centroids), kind, metric, False
        )
        self._cells.train(self._vectors[:: max(1, count // 100_000)])
        labels, assigned = np.arange(count, dtype=np.int64), np.ascontiguousarray(cells.assigned, np.int64)
        self._cells.add_core(count, *(faiss.swig_ptr(array) for array in (self._vectors, labels, assigned)))
        self._cells.nprobe = probes

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Rows]:
        k = min(k, len(self._vectors))
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        fetch = min(len(self._vectors), max(AHEAD, 2 * k))
        proposed = self._cells.search(queries, fetch)[1]  # (Q, fetch), -1 where the cells held fewer
        found = [self._ranked(query, rows[rows >= 0], k) for query, rows in zip(queries, proposed, strict=True)]
        return _stacked(found, k)

    def _ranked(self, query: Vectors, rows: Rows, k: int) -> tuple[Scores, Rows]:
        if len(rows) < k:  # more is asked than the cells hold: compare all
            return among(self._vectors, query, np.arange(len(self._vectors)), k)
        return ranked(self._vectors, query, rows, k)


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
    boundary = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= boundary - MARGIN)


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
