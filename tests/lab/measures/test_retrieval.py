from __future__ import annotations

from itertools import permutations
from math import log2

import ir_measures
import numpy as np
import pytest

from lingula_lab.measures.retrieval import (
    MEASURES,
    chance,
    diversity,
    each_once,
    measure,
    pair_chance,
    pair_chance_once,
    pair_recall,
    random_scores,
    rank,
)


@pytest.fixture
def grades(rng: np.random.Generator) -> np.ndarray:
    """Forty queries of thirty studies, some with few relevant, none without."""
    made = np.where(rng.random((40, 30)) < rng.random((40, 1)) ** 2, rng.integers(1, 1001, (40, 30)), 0)
    made[np.arange(40), rng.integers(0, 30, 40)] = 500
    return made


def naive(gains: list[int]) -> list[float]:
    """The measures of one ranking, by the book."""
    relevant = [gain > 0 for gain in gains]
    total = sum(relevant)

    def dcg(values: list[int], k: int) -> float:
        return sum(gain / log2(rank + 1) for rank, gain in enumerate(values[:k], 1))

    precisions = [sum(relevant[:rank]) / rank for rank, yes in enumerate(relevant, 1) if yes]
    ideal = sorted(gains, reverse=True)
    return [
        *(sum(relevant[:k]) / k for k in (1, 5, 10)),
        sum(relevant[:10]) / total,
        sum(precisions) / total,
        1 / (1 + relevant.index(True)),
        *(dcg(gains, k) / dcg(ideal, k) for k in (5, 10)),
    ]


def test_measures_against_ir_measures_and_a_naive_twin(grades: np.ndarray, rng: np.random.Generator) -> None:
    order = rank(rng.random(grades.shape))
    found = measure(grades, order)
    qrels = {f"q{q}": {f"d{d}": int(grade) for d, grade in enumerate(row)} for q, row in enumerate(grades)}
    run = {f"q{q}": {f"d{d}": -float(place) for place, d in enumerate(row)} for q, row in enumerate(order)}
    named = {ir_measures.parse_measure(name): column for column, name in enumerate(MEASURES)}
    judged = list(ir_measures.iter_calc(list(named), qrels, run))
    assert len(judged) == found.size
    for metric in judged:
        assert found[int(metric.query_id[1:]), named[metric.measure]] == pytest.approx(metric.value, abs=1e-9)
    for query, row in enumerate(order):
        assert found[query].tolist() == pytest.approx(naive(grades[query][row].tolist()), abs=1e-9)


def test_measures_by_hand() -> None:
    grades, order = np.array([[0, 1000, 0, 500, 0, 0, 0, 0, 0, 0, 0]]), np.array([[0, 3, 1, 2, 4, 5, 6, 7, 8, 9, 10]])
    found = dict(zip(MEASURES, measure(grades, order)[0], strict=True))
    assert found["P@1"] == 0
    assert found["P@5"] == pytest.approx(2 / 5)
    assert found["R@10"] == 1
    assert found["AP"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["RR"] == 0.5
    assert found["nDCG@5"] == pytest.approx((500 / log2(3) + 1000 / 2) / (1000 + 500 / log2(3)))


def test_ties_stand_by_row_and_a_study_never_answers_itself() -> None:
    scores = np.array([[0.5, 0.5 + 1e-8, 0.9, 0.5], [0.1, 0.2, 0.2, 0.1]])
    assert rank(scores).tolist() == [[2, 0, 1, 3], [1, 2, 0, 3]]
    assert rank(scores, np.array([2, 1])).tolist() == [[0, 1, 3], [2, 0, 3]]
    many = np.repeat([0.2, 0.7], 500)[None]
    assert rank(many).tolist() == [[*range(500, 1000), *range(500)]]


def test_chance_is_the_mean_over_every_order() -> None:
    grades = np.array([[0, 700, 0, 300, 0], [0, 0, 0, 0, 10], [1, 1, 1, 1, 0], [5, 0, 9, 2, 1]])
    every = [measure(grades, np.tile(order, (4, 1))) for order in permutations(range(5))]
    expected = np.mean(every, 0)
    found = chance(grades)
    for column, name in enumerate(MEASURES):
        if "@10" not in name:
            np.testing.assert_allclose(found[:, column], expected[:, column], atol=1e-9, err_msg=name)


def test_chance_leaves_the_query_out() -> None:
    grades = np.array([[9, 4, 0, 0], [4, 9, 0, 3]])
    own = np.array([0, 1])
    without = np.stack([np.delete(row, place) for row, place in zip(grades, own, strict=True)])
    np.testing.assert_allclose(chance(grades, own), chance(without), atol=1e-12)


def test_a_random_ranking_scores_chance(rng: np.random.Generator) -> None:
    grades = np.where(rng.random((800, 150)) < 0.2, rng.integers(1, 1001, (800, 150)), 0)
    found, expected = measure(grades, rank(random_scores(800, 150, 0))), chance(grades)
    error = (found - expected).std(0) / np.sqrt(800)
    assert (np.abs((found - expected).mean(0)) < 3 * error + 1e-12).all()


def test_pairs_count_identical_texts() -> None:
    keys = np.array([0, 1, 1, 2])
    order = np.array([[1, 0, 2, 3], [2, 3, 0, 1], [0, 3, 1, 2], [0, 1, 2, 3]])
    assert pair_recall(order, keys, keys).tolist() == [[0, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1]]
    every = [pair_recall(np.tile(order, (4, 1)), keys, keys) for order in permutations(range(4))]
    np.testing.assert_allclose(pair_chance(keys, keys)[:, 0], np.mean(every, 0)[:, 0], atol=1e-9)


def test_a_text_is_listed_once() -> None:
    keys = np.array([7, 7, 5, 7, 3])
    assert each_once(np.array([[1, 0, 3, 2, 4], [4, 3, 2, 1, 0]]), keys, 2).tolist() == [[1, 2], [4, 3]]
    assert each_once(np.array([[0, 1, 2, 3, 4]]), keys, 4).tolist() == [[0, 2, 4, 4]]  # there are but three
    every = [
        pair_recall(each_once(np.array([order]), keys), np.array([7]), keys)[0] for order in permutations(range(5))
    ]
    assert np.mean(every, 0) == pytest.approx([3 / 5, 1, 1])
    np.testing.assert_allclose(pair_chance_once(np.array([7]), keys, 0)[0], np.mean(every, 0), atol=0.03)


def test_diversity_by_hand() -> None:
    targets = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 0]])
    assert diversity(targets, np.array([[0, 1]])) == pytest.approx([0])
    assert diversity(targets, np.array([[0, 2, 1]])) == pytest.approx([1 - (0.5 + 1 + 0.5) / 3])
    assert diversity(targets, np.array([[3, 4]])) == pytest.approx([0])
