from __future__ import annotations

from math import log2

import numpy as np
import pytest

from lingula_lab.evaluation.baselines import Scores
from lingula_lab.evaluation.tables.classification import System
from lingula_lab.evaluation.tables.published import as_published, published_classification
from lingula_lab.measures.bootstrap import Resamples


def test_the_cards_measures_by_hand() -> None:
    grades = np.zeros((1, 40), np.int64)
    grades[0, [1, 3, *range(10, 18)]] = 1  # ten relevant
    precision, mean_ap, reciprocal, dcg = as_published(grades, np.arange(40)[None])[0]
    assert precision == pytest.approx(2 / 5)
    assert mean_ap == pytest.approx((1 / 2 + 2 / 4) / 10)  # cut at 5, divided by all ten
    assert reciprocal == 0.5
    assert dcg == pytest.approx((1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)))  # ideal of the five returned


def test_the_cards_dcg_is_perfect_for_a_full_but_poor_answer() -> None:
    """One relevant study first of five, ninety-nine missed: the card's DCG@5 calls that perfect."""
    grades = np.zeros((1, 200), np.int64)
    grades[0, [0, *range(100, 199)]] = 1
    assert as_published(grades, np.arange(200)[None])[0, 3] == 1


def test_nothing_found_is_nothing() -> None:
    assert as_published(np.eye(1, 9, 8, dtype=np.int64), np.arange(9)[None]).tolist() == [[0, 0, 0, 0]]


def test_thresholds_tuned_on_test_flatter_even_chance() -> None:
    """Scores that say the same of everyone: the tuned cut calls all present, F1 = 2 p / (1 + p)."""
    goal = np.r_[np.ones((10, 1)), np.zeros((30, 1))].astype(np.float32)
    constant = np.full((40, 1), -1.1)
    system = System("constant", False, Scores(constant, constant))
    table = published_classification([system], goal, goal, Resamples.draw(40, resamples=100))
    for part in ("evaluation set", "test"):
        assert table.figure(f"{part}: macro F1", "constant").value == pytest.approx(2 * 0.25 / 1.25)
        assert table.figure(f"{part}: macro AUROC", "constant").value == 0.5
