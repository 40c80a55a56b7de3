from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lingula_lab.measures.bootstrap import Resamples
from lingula_lab.measures.reliability import Conformal, bin_edges, calibration_error, false_alarms, risk_at

ONCE = np.ones((1, 200))


def naive_error(probabilities: np.ndarray, goal: np.ndarray, edges: np.ndarray) -> float:
    """Bin by bin; edges belong to the bin below."""
    bounds = [-np.inf, *edges, np.inf]
    total = 0.0
    for low, high in pairwise(bounds):
        inside = (probabilities > low) & (probabilities <= high)
        if inside.any():
            total += inside.mean() * abs(probabilities[inside].mean() - goal[inside].mean())
    return total


def test_calibration_error_against_a_naive_twin(rng: np.random.Generator) -> None:
    probabilities = rng.random(200)
    goal = (rng.random(200) < probabilities**2).astype(float)
    edges = bin_edges(probabilities)
    draws = Resamples.draw(200, resamples=10, seed=1)
    found = calibration_error(probabilities, goal, draws.counts)
    for row, counts in enumerate(draws.counts.astype(int)):
        expected = naive_error(np.repeat(probabilities, counts), np.repeat(goal, counts), edges)
        assert found[row] == pytest.approx(expected, abs=1e-9)


def test_bins_hold_equally_many_and_never_part_equals(rng: np.random.Generator) -> None:
    place = np.searchsorted(bin_edges(values := rng.random(300)), values)
    assert np.bincount(place).tolist() == pytest.approx([20] * 15, abs=1)
    constant = np.full(200, 0.25)
    goal = np.r_[np.ones(50), np.zeros(150)]
    assert calibration_error(constant, goal, ONCE) == pytest.approx([0])


def test_calibration_error_by_hand() -> None:
    probabilities, goal = np.r_[np.full(100, 0.2), np.full(100, 0.9)], np.r_[np.zeros(100), np.ones(100)]
    assert calibration_error(probabilities, goal, ONCE) == pytest.approx([0.5 * 0.2 + 0.5 * 0.1])


def test_conformal_sets_cover_each_class_as_promised() -> None:
    rng = np.random.default_rng(0)

    def sample(size: int) -> tuple[np.ndarray, np.ndarray]:
        targets = (rng.random((size, 2)) < [0.5, 0.1]).astype(float)
        return 1 / (1 + np.exp(-rng.normal(2 * targets - 1, 1.5))), targets

    covered = []
    for _ in range(200):
        conformal = Conformal.fit(*sample(300))
        probabilities, targets = sample(500)
        present, absent = conformal.sets(probabilities)
        covered.append(
            [
                [present[targets[:, label] == 1, label].mean(), absent[targets[:, label] == 0, label].mean()]
                for label in range(2)
            ]
        )
    mean = np.mean(covered, 0)  # (labels, classes)
    assert (mean >= 0.895).all()
    assert (mean[:, 1] <= 0.91).all()
    assert (mean[:, 0] <= 0.935).all()  # (n + 1) rounding costs up to 1 / (n + 1), and n is 30 for the rare label


def test_with_too_few_positives_present_is_never_ruled_out() -> None:
    probabilities = np.linspace(0, 1, 100)[:, None]
    targets = np.zeros((100, 1))
    targets[-8:] = 1
    conformal = Conformal.fit(probabilities, targets)
    assert conformal.present_from.tolist() == [-np.inf]
    assert conformal.sets(np.array([[0.0], [1.0]]))[0].all()
    targets[-9:] = 1  # nine make the 0.9 quantile of (n + 1) the smallest of them
    assert Conformal.fit(probabilities, targets).present_from == pytest.approx(probabilities[91])


def test_conformal_sets_depend_on_the_order_only(rng: np.random.Generator) -> None:
    logits, targets = rng.normal(size=(120, 3)), (rng.random((120, 3)) < 0.3).astype(float)
    other = rng.normal(size=(50, 3))
    for one, two in zip(
        Conformal.fit(logits, targets).sets(other),
        Conformal.fit(3 * logits - 1, targets).sets(3 * other - 1),
        strict=True,
    ):
        assert np.array_equal(one, two)


def test_risk_by_hand_and_in_resamples(rng: np.random.Generator) -> None:
    confidence, wrong = np.array([0.9, 0.1, 0.5, 0.7]), np.array([False, True, True, False])
    assert risk_at(confidence, wrong, np.ones((1, 4)), (1.0, 0.75, 0.5))[0] == pytest.approx([0.5, 1 / 3, 0])
    confidence, wrong = rng.random(40), rng.random(40) < 0.4
    draws = Resamples.draw(40, resamples=10, seed=0)
    found = risk_at(confidence, wrong, draws.counts, (1.0,))
    for row, counts in enumerate(draws.counts.astype(int)):
        assert found[row, 0] == pytest.approx(np.repeat(wrong, counts).mean(), abs=1e-9)


def test_false_alarms_by_hand() -> None:
    called = np.array([[True, True, True], [True, False, True], [False, True, True]])
    normal, abnormal = np.array([True, True, False]), np.array([False, True, True])
    weights = np.array([[1.0, 1, 1], [3, 1, 0], [0, 0, 3]])
    np.testing.assert_allclose(false_alarms(called, normal, abnormal, weights), [1.5, 7 / 4, np.nan])
