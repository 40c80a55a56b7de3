"""Probabilities that mean what they say, thresholds nobody can beat, decisions by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lingula.model.calibration import CUTS, Calibration
from lingula_lab.training.calibration_fit import (
    LEAST,
    best_threshold,
    curve_doubt,
    expected_threshold,
    fit_calibration,
    held_out_loss,
    operating_points,
    platt,
)


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
        operating=Calibration.identity(5).operating,
        doubt=Calibration.identity(5).doubt,
    )
    asked = np.array([0.29, 0.3, 0.45, 0.5, 0.51])
    assert calibration.decide(asked) == ("absent", "abstain", "abstain", "abstain", "present")
    wide = replace(calibration, unsure_from=np.full(5, 0.05), unsure_to=np.full(5, 0.9))
    asked = np.array([0.17, 0.19, 0.66, 0.68, 0.89])  # odds of 2/3 at the threshold: a factor of three is 0.18 and 0.67
    assert wide.decide(asked) == ("absent", "abstain", "abstain", "present", "present")
    assert Calibration.identity(3).decide(np.array([0.49, 0.5, 1.0])) == ("absent", "present", "present")


def test_a_label_without_an_informative_call_is_not_called() -> None:
    """At 0.125, halfway between two cuts: sensitivity and specificity of each label, and their likelihood ratio."""
    operating = np.full((5, 2, len(CUTS)), np.nan)
    low, high = list(CUTS).index(0.1), list(CUTS).index(0.15)
    operating[0, :, [low, high]] = (0.9, 0.1), (0.5, 0.7)  # 0.7, 0.4: 1.17
    operating[1, :, [low, high]] = (0.6, 0.7), (0.4, 0.9)  # 0.5, 0.8: 2.5
    operating[2, :, [low, high]] = (0.5, 0.75), (0.5, 0.75)  # 2, and that is enough
    operating[3, :, [low, high]] = (0.0, 0.5), (0.0, 0.7)  # no case of it was called: nobody knows
    # of the fifth nobody looked
    no_band, ones = np.full(5, 2.0), np.ones(5)
    calibration = Calibration(ones, ones, np.full(5, 0.125), no_band, no_band, operating, np.full((5, 3), np.nan))
    assert calibration.at_threshold()[:4] == pytest.approx(np.array([[0.7, 0.4], [0.5, 0.8], [0.5, 0.75], [0.0, 0.6]]))
    assert calibration.decide(np.full(5, 0.13)) == ("abstain", "present", "present", "present", "present")
    assert calibration.decide(np.full(5, 0.12)) == ("absent",) * 5


def test_abstains_on_a_tenth_and_still_calls_a_rare_label() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (400, 2)).astype(np.float32)
    targets = (random.random(logits.shape) < _sigmoid(logits)).astype(np.float32)
    targets[:, 1] = 0
    targets[np.argsort(logits[:, 1])[-LEAST:], 1] = 1  # five studies, all at the top
    fitted = fit_calibration(logits, targets)
    probabilities = fitted.probabilities(logits)
    decisions = np.array([fitted.decide(row) for row in probabilities])  # (400, 2)
    assert np.mean(decisions[:, 0] == "abstain") == pytest.approx(0.1, abs=0.01)
    called = (probabilities[:, 1] >= fitted.threshold[1]).sum()
    assert called >= 2
    assert (decisions[:, 1] == "present").sum() >= called / 2  # of the calls at most half may be abstained from
    for decided, probability in zip(decisions.T, probabilities.T, strict=True):
        assert probability[decided == "absent"].max() < probability[decided == "abstain"].min()
        assert probability[decided == "abstain"].max() < probability[decided == "present"].min()


def test_the_only_call_is_not_abstained_away() -> None:
    """One study far above all others, by a sharp model: its call must stay."""
    random = np.random.default_rng(3)
    logits = np.full((300, 2), -6.0, np.float32) + random.normal(0, 0.1, (300, 2)).astype(np.float32)
    logits[:30, 0] = 6  # a label that shows how far to trust the logits
    logits[0, 1] = 8
    targets = (logits > 0).astype(np.float32)
    fitted = fit_calibration(logits, targets)
    decisions = [fitted.decide(row)[1] for row in fitted.probabilities(logits)]
    assert decisions[0] == "present"
    assert "present" not in decisions[1:]


def test_expected_threshold_by_hand() -> None:
    # expected F1 of one, two, three calls: 1.8 / 2.7, 3.0 / 3.7, 3.4 / 4.7
    assert expected_threshold(np.array([0.2, 0.9, 0.6])) == pytest.approx(0.4)
    assert expected_threshold(np.full(4, 0.1)) == pytest.approx(0.05)  # equals stay together: all are called


def test_expected_threshold_is_the_best_where_the_probabilities_are_right() -> None:
    random = np.random.default_rng(0)
    for rate in (-1, -3, -5):
        probability = _sigmoid(random.normal(rate, 1.5, 200_000))
        goal = (random.random(200_000) < probability).astype(int)
        best = _f1(probability, goal, best_threshold(probability, goal))
        assert _f1(probability, goal, expected_threshold(probability[:400])) == pytest.approx(best, abs=0.02)


def test_the_method_is_chosen_on_studies_held_out() -> None:
    """A temperature puts right what is only too steep; what is too high as well needs Platt's shift."""
    random = np.random.default_rng(5)
    true = random.normal(-2, 1.5, (400, 2))
    targets = (random.random(true.shape) < _sigmoid(true)).astype(np.float32)
    fitted = fit_calibration(np.stack([3 * true[:, 0], true[:, 1] + 4], 1).astype(np.float32), targets)
    assert fitted.shift[0] == 0
    assert fitted.scale[0] == pytest.approx(1 / 3, rel=0.25)
    assert fitted.shift[1] == pytest.approx(-4, abs=1)


def test_the_unit_of_the_logit_does_not_matter() -> None:
    """Scores between 0.1 and 0.2 give the same probabilities as scores a thousand times wider."""
    random = np.random.default_rng(8)
    logits = random.normal(-2, 1, (300, 1))
    targets = (random.random((300, 1)) < _sigmoid(logits)).astype(np.float32)
    small, large = 0.15 + 0.01 * logits, 1000 * (0.15 + 0.01 * logits)
    one, other = (fit_calibration(part, targets).probabilities(part) for part in (small, large))
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert np.abs(one - _sigmoid(logits)).mean() < 0.05


def test_held_out_loss_against_a_naive_twin() -> None:
    random = np.random.default_rng(6)
    logit = random.normal(size=60)
    goal = (random.random(60) < 0.4).astype(np.float64)
    folds: list[list[int]] = [[] for _ in range(5)]
    for value in (0, 1):
        for turn, study in enumerate(np.flatnonzero(goal == value)):
            folds[turn % 5].append(study)
    total = 0.0
    for fold in folds:
        rest = [study for study in range(60) if study not in fold]
        scale, shift = platt(logit[rest], goal[rest])
        for study in fold:
            p = _sigmoid(scale * logit[study] + shift)
            total -= np.log(p if goal[study] else 1 - p)
    assert held_out_loss(platt, logit, goal) == pytest.approx(total / 60, abs=1e-9)


def test_a_rare_label_borrows_the_scale_and_keeps_its_frequency() -> None:
    """Too few positives to fit anything: the scale of the others, the label's own share, and it can be called."""
    random = np.random.default_rng(4)
    logits = random.normal(-1, 2, (300, 4)).astype(np.float32)
    targets = (random.random(logits.shape) < _sigmoid(0.5 * logits)).astype(np.float32)
    targets[:, 2] = 0
    targets[np.argsort(logits[:, 2])[-2:], 2] = 1
    targets[:, 3] = np.nan
    fitted = fit_calibration(logits, targets)
    assert fitted.scale[2] == pytest.approx(np.median(fitted.scale[:2]))
    probability = fitted.probabilities(logits)[:, 2]
    assert probability.sum() == pytest.approx(2.5)
    assert 0 < (probability >= fitted.threshold[2]).sum() < 100
    assert (fitted.scale[3], fitted.shift[3], fitted.threshold[3]) == (1, 0, 0.5)  # nobody knows anything


def test_json_and_extremes() -> None:
    made = Calibration(
        *(np.random.default_rng(i).random(4) for i in range(5)), np.full((4, 2, len(CUTS)), 0.25), np.ones((4, 3))
    )
    back = Calibration.from_json(json.loads(json.dumps(made.to_json())))
    for name in ("scale", "shift", "threshold", "unsure_from", "unsure_to", "operating", "doubt"):
        np.testing.assert_allclose(getattr(back, name), getattr(made, name), atol=1e-6)
    np.testing.assert_array_equal(
        Calibration.identity(2).probabilities(np.array([-1e4, 1e4], np.float32)).round(6), [0, 1]
    )


def test_operating_points_by_hand() -> None:
    """Two positives at 0.9 and 0.3, two negatives at 0.6 and 0.04."""
    sensitivity, specificity = operating_points(np.array([0.9, 0.3, 0.6, 0.04]), np.array([1.0, 1, 0, 0]))
    at = {float(cut): column for column, cut in enumerate(CUTS)}
    assert [(sensitivity[at[cut]], specificity[at[cut]]) for cut in (0.02, 0.05, 0.3, 0.35, 0.65, 0.95)] == [
        (1, 0), (1, 0.5), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1),
    ]  # fmt: skip
    assert np.isnan(operating_points(np.array([0.4]), np.array([0.0]))[0]).all()


def test_intervals_hold_what_is_true_nineteen_times_in_twenty() -> None:
    """A common and a rarer finding, scored without any skew, validated on 500 studies again and again."""
    random = np.random.default_rng(8)
    asked = np.array([[-3.0, -3.5], [-1.0, -2.0], [1.0, 0.0]])
    held = np.zeros((3, 2))
    for _ in range(120):
        true = random.normal([-1, -2.5], [1.5, 1], (500, 2))
        goal = (random.random(true.shape) < _sigmoid(true)).astype(np.float64)
        fits = np.array([platt(true[:, label], goal[:, label]) for label in (0, 1)])  # (L, 2)
        doubt = np.stack([curve_doubt(_sigmoid(fits[label] @ [true[:, label], np.ones(500)])) for label in (0, 1)])
        fitted = replace(Calibration.identity(2), scale=fits[:, 0], shift=fits[:, 1], doubt=doubt)
        low, high = np.moveaxis(fitted.interval(fitted.probabilities(asked)), -1, 0)
        held += (low <= _sigmoid(asked)) & (_sigmoid(asked) <= high)
    assert np.all(held >= 108), held  # 114 of 120 are meant, less 2.5 standard deviations


def test_doubt_by_hand() -> None:
    """Log-odds -1, 0 and 1 weigh 0.19661, 0.25, 0.19661: information (0.64322, 0, 0.39322)."""
    np.testing.assert_allclose(curve_doubt(_sigmoid(np.array([-1.0, 0, 1]))), [1 / 0.64322, 0, 1 / 0.39322], rtol=1e-4)
    assert np.isnan(curve_doubt(np.full(9, 0.3))).all()  # one score says nothing of a curve
    few, many = (curve_doubt(np.tile([0.1, 0.5], n)) for n in (10, 40))
    np.testing.assert_allclose(few, 4 * many)
    calibration = replace(Calibration.identity(2), doubt=np.array([[0.25, 0, 0], [np.nan] * 3]))
    low, high = calibration.interval(np.array([0.5, 0.5]))[0]
    assert (low, high) == pytest.approx((1 / (1 + np.exp(0.979982)), 1 / (1 + np.exp(-0.979982))))
    assert np.isnan(calibration.interval(np.array([0.5, 0.5]))[1]).all()


def test_a_checkpoint_without_operating_points_has_none() -> None:
    body = Calibration.identity(2).to_json()
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    del body["operating"], body["doubt"]
    assert np.isnan(Calibration.from_json(body).operating).all()
    assert np.isnan(Calibration.from_json(body).interval(np.full(2, 0.5))).all()
