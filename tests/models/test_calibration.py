"""Probabilities that mean what they say, thresholds nobody can beat, decisions by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lingula.models.calibration import LEAST, Calibration, best_threshold, fit_calibration


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_platt_recovers_the_probability() -> None:
    """A model whose logits are twice too steep and 1.5 too high is put right, label by label; NaN is left out."""
    random = np.random.default_rng(0)
    true = random.normal(-1, 1.5, (20_000, 2))
    targets = (random.random(true.shape) < _sigmoid(true)).astype(np.float32)
    targets[random.random(true.shape) < 0.2] = np.nan
    wrong = np.stack([2 * true[:, 0] + 1.5, true[:, 1]], 1).astype(np.float32)
    fitted = fit_calibration(wrong, targets)
    np.testing.assert_allclose(fitted.scale, [0.5, 1], rtol=0.05)
    np.testing.assert_allclose(fitted.shift, [-0.75, 0], atol=0.05)
    np.testing.assert_allclose(fitted.probabilities(wrong), _sigmoid(true), atol=0.02)


def _f1(probability: np.ndarray, goal: np.ndarray, cut: float) -> float:
    called = probability >= cut
    return float(2 * (called & (goal == 1)).sum() / max(1, called.sum() + goal.sum()))


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_beats_the_threshold(seed: int) -> None:
    """Every cut is tried, on probabilities with many ties (one decimal) and with none."""
    random = np.random.default_rng(seed)
    probability = random.random(40)
    if seed % 2:
        probability = probability.round(1)
    goal = (random.random(40) < probability * 0.5).astype(int)
    goal[0] = 1
    best = max(_f1(probability, goal, cut) for cut in probability)
    threshold = best_threshold(probability, goal)
    assert _f1(probability, goal, threshold) == pytest.approx(best)
    assert threshold not in probability


def test_threshold_by_hand() -> None:
    # cuts: 0.9 alone P=1 R=1/2; two P=1 R=1; three P=2/3
    assert best_threshold(np.array([0.2, 0.9, 0.6]), np.array([0, 1, 1])) == pytest.approx(0.4)
    assert best_threshold(np.array([0.3, 0.2]), np.array([1, 1])) == pytest.approx(0.1)  # all: halfway to 0


def test_decisions_by_hand() -> None:
    calibration = Calibration(
        scale=np.ones(5),
        shift=np.zeros(5),
        threshold=np.full(5, 0.4),
        unsure_from=np.full(5, 0.3),
        unsure_to=np.full(5, 0.5),
    )
    asked = np.array([0.29, 0.3, 0.45, 0.5, 0.51])
    assert calibration.decide(asked) == ("absent", "abstain", "abstain", "abstain", "present")
    assert Calibration.identity(3).decide(np.array([0.49, 0.5, 1.0])) == ("absent", "present", "present")


def test_abstains_on_a_tenth_and_still_calls_a_rare_label() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (400, 2)).astype(np.float32)
    targets = (random.random(logits.shape) < _sigmoid(logits)).astype(np.float32)
    targets[:, 1] = 0
    targets[np.argsort(logits[:, 1])[-LEAST:], 1] = 1  # five studies, all at the top
    fitted = fit_calibration(logits, targets)
    decisions = np.array([fitted.decide(row) for row in fitted.probabilities(logits)])  # (400, 2)
    assert np.mean(decisions[:, 0] == "abstain") == pytest.approx(0.1, abs=0.01)
    assert (decisions[:, 1] == "present").sum() == 3  # of five calls at most half may be abstained from
    for decided, probability in zip(decisions.T, fitted.probabilities(logits).T, strict=True):
        assert probability[decided == "absent"].max() < probability[decided == "abstain"].min()
        assert probability[decided == "abstain"].max() < probability[decided == "present"].min()


def test_the_only_call_is_not_abstained_away() -> None:
    """One positive on top, four below every negative: the best cut calls one study, which must stay called."""
    logits = np.concatenate([[4.0], np.linspace(-2, -1, 40), [-5.0] * 4]).astype(np.float32)[:, None]
    targets = np.zeros((45, 1), np.float32)
    targets[[0, -1, -2, -3, -4]] = 1
    fitted = fit_calibration(logits, targets)
    decisions = [fitted.decide(row)[0] for row in fitted.probabilities(logits)]
    assert decisions[0] == "present"
    assert "present" not in decisions[1:]


def test_a_label_with_one_positive_stays_as_the_model_says() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    targets = np.zeros((50, 2), np.float32)
    targets[3, 0], targets[:, 1] = 1, np.nan
    fitted = fit_calibration(logits, targets)
    np.testing.assert_array_equal(fitted.scale, 1)
    np.testing.assert_allclose(fitted.probabilities(logits), _sigmoid(logits), rtol=1e-6)


def test_json_and_extremes() -> None:
    made = Calibration(*(np.random.default_rng(i).random(4) for i in range(5)))
    back = Calibration.from_json(json.loads(json.dumps(made.to_json())))
    for name in ("scale", "shift", "threshold", "unsure_from", "unsure_to"):
        np.testing.assert_allclose(getattr(back, name), getattr(made, name), atol=1e-6)
    np.testing.assert_array_equal(
        Calibration.identity(2).probabilities(np.array([-1e4, 1e4], np.float32)).round(6), [0, 1]
    )


def test_too_few_positives_leave_a_label_as_the_model_gives_it() -> None:
    """Two cases once put a threshold below 1 %; under ``LEAST`` there is nothing to choose a cut from."""
    logits = np.linspace(-6, 2, 100).astype(np.float32)[:, None]
    targets = np.zeros((100, 1), np.float32)
    targets[-(LEAST - 1) :] = 1
    fitted = fit_calibration(logits, targets)
    assert (fitted.scale[0], fitted.shift[0], fitted.threshold[0]) == (1.0, 0.0, 0.5)
    targets[-LEAST:] = 1
    assert fit_calibration(logits, targets).threshold[0] != 0.5
