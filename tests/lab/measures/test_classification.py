from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from lingula_lab.measures.bootstrap import Resamples
from lingula_lab.measures.classification import (
    auroc,
    brier,
    f1,
    macro_auroc,
    micro_f1,
    supported,
    weighted_ap,
    weighted_auroc,
)


@pytest.fixture
def scores(rng: np.random.Generator) -> np.ndarray:
    return np.round(rng.normal(size=60), 1)  # with ties


@pytest.fixture
def goal(rng: np.random.Generator) -> np.ndarray:
    return (rng.random(60) < 0.3).astype(float)


def naive_auroc(scores: np.ndarray, goal: np.ndarray) -> float:
    pairs = [(p > n) + (p == n) / 2 for p in scores[goal == 1] for n in scores[goal == 0]]
    return float(np.mean(pairs))


def test_every_resample_is_what_scikit_learn_says_of_the_studies_drawn(scores: np.ndarray, goal: np.ndarray) -> None:
    draws = Resamples.draw(60, resamples=25, seed=2)
    areas, precisions = (measure(scores, goal, draws.counts) for measure in (weighted_auroc, weighted_ap))
    for row, counts in enumerate(draws.counts.astype(int)):
        drawn_scores, drawn_goal = np.repeat(scores, counts), np.repeat(goal, counts)
        assert areas[row] == pytest.approx(roc_auc_score(drawn_goal, drawn_scores), abs=1e-9)
        assert areas[row] == pytest.approx(naive_auroc(drawn_scores, drawn_goal), abs=1e-9)
        assert precisions[row] == pytest.approx(average_precision_score(drawn_goal, drawn_scores), abs=1e-9)


def test_by_hand() -> None:
    scores, goal, once = np.array([0.9, 0.8, 0.8, 0.1]), np.array([1.0, 0.0, 1.0, 0.0]), np.ones((1, 4))
    assert weighted_auroc(scores, goal, once) == pytest.approx([(1 + 1 + 0.5 + 1) / 4])
    assert weighted_ap(scores, goal, once) == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])


def test_one_class_alone_cannot_be_measured() -> None:
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])
    np.testing.assert_array_equal(weighted_auroc(np.array([1.0, 0.0]), np.array([1.0, 0.0]), weights), [1, np.nan])


def test_f1_and_brier_of_resamples(rng: np.random.Generator) -> None:
    targets = (rng.random((50, 3)) < 0.4).astype(float)
    probabilities = rng.random((50, 3))
    called = probabilities > 0.5
    draws = Resamples.draw(50, resamples=10, seed=5)
    for row, counts in enumerate(draws.counts.astype(int)):
        truth, said = np.repeat(targets, counts, axis=0), np.repeat(called, counts, axis=0)
        each = f1_score(truth, said, average=None, zero_division=0)
        np.testing.assert_allclose(f1(called, targets, draws.counts)[row], each, atol=1e-9)
        micro = f1_score(truth, said, average="micro", zero_division=0)
        assert micro_f1(called, targets, draws.counts)[row] == pytest.approx(micro, abs=1e-9)
        squared = ((np.repeat(probabilities, counts, axis=0) - truth) ** 2).mean(0)
        np.testing.assert_allclose(brier(probabilities, targets, draws.counts)[row], squared, atol=1e-9)


def test_a_macro_average_speaks_for_supported_labels_only() -> None:
    targets = np.zeros((30, 3))
    targets[:12, 0] = targets[:3, 1] = 1
    targets[20, 2] = np.nan
    scores = np.tile(np.arange(30.0)[::-1, None], (1, 3))
    assert supported(targets).tolist() == [True, False, False]
    assert macro_auroc(scores, targets) == 1.0
    assert np.isnan(auroc(scores, targets)[2])
