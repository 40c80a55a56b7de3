"""One contract for every engine, held against a loop anybody can check."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lingula.library import FaissQuantised, Index, NumpyExact

pytestmark = pytest.mark.parametrize("engine", [NumpyExact, FaissQuantised])


def units(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    vectors = rng.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def naive(vectors: np.ndarray, query: np.ndarray, k: int) -> list[tuple[float, int]]:
    scored = []
    for row, vector in enumerate(vectors):
        score = math.fsum(float(a) * float(b) for a, b in zip(vector, query, strict=True))
        scored.append((-round(score, 6), row))
    return [(-score, row) for score, row in sorted(scored)[:k]]


@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 100), (60, 5), (300, 40)])
def test_agrees_with_a_loop(engine: type[Index], count: int, k: int) -> None:
    rng = np.random.default_rng(count)
    vectors = np.concatenate([units(rng, count, 8), units(rng, count, 8)[: count // 2].repeat(2, axis=0)])
    queries = np.concatenate([units(rng, 4, 8), vectors[-1:]])
    scores, rows = engine(vectors).search(queries, k)
    assert scores.shape == rows.shape == (5, min(k, len(vectors)))
    for at, query in enumerate(queries):
        expected = naive(vectors, query, k)
        assert rows[at].tolist() == [row for _, row in expected]
        assert scores[at] == pytest.approx([score for score, _ in expected], abs=1e-12)


def test_ties_at_the_boundary_go_to_the_first_rows(engine: type[Index]) -> None:
    """500 equal vectors around a few better and worse ones: k cuts through the tie."""
    vectors = np.zeros((504, 4), np.float32)
    vectors[:, 0], vectors[:, 1] = 0.6, 0.8
    vectors[[0, 1]] = [0, 0, 1, 0]
    vectors[[502, 503]] = [1, 0, 0, 0]
    scores, rows = engine(vectors).search(np.eye(4, dtype=np.float32)[:1], 6)
    assert rows.tolist() == [[502, 503, 2, 3, 4, 5]]
    assert scores.tolist() == [[1, 1, 0.6, 0.6, 0.6, 0.6]]


def test_differences_below_rounding_are_ties(engine: type[Index]) -> None:
    first = np.float32(0.5) + np.arange(4, dtype=np.float32) * np.float32(6e-8)
    assert len(set(first.tolist())) == 4
    vectors = np.stack([first, np.sqrt(1 - first**2)], axis=1)
    _, rows = engine(vectors).search(np.array([[1, 0]], np.float32), 2)
    assert rows.tolist() == [[0, 1]]


def test_refuses_nothing_to_search(engine: type[Index]) -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        engine(np.empty((0, 4), np.float32))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_some_rows_are_searched_exactly(engine: type[Index], share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a mask leaves, also where few candidates are asked for at once and many rows are alike."""
    monkeypatch.setattr("lingula.library.engines.GATHERED", 0)
    monkeypatch.setattr("lingula.library.engines.FIRST", 1)
    rng = np.random.default_rng(7)
    vectors = np.concatenate([units(rng, 700, 8), units(rng, 3, 8).repeat(100, axis=0)])
    mask = rng.random(len(vectors)) < share
    index = engine(vectors)
    for query in (*units(rng, 4, 8), vectors[-1]):
        scores, rows = index.search_among(query, mask, 12)
        some = np.flatnonzero(mask)
        expected = [(score, int(some[row])) for score, row in naive(vectors[mask], query, 12)]
        assert rows.tolist() == [row for _, row in expected]
        assert scores.tolist() == pytest.approx([score for score, _ in expected], abs=1e-12)
