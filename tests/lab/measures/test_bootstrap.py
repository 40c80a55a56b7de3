from __future__ import annotations

import numpy as np
import pytest

from lingula_lab.measures.bootstrap import Resamples, centred, figure, p_value


def test_the_first_row_is_the_sample_and_every_resample_has_its_size() -> None:
    draws = Resamples.draw(50, resamples=20, seed=1)
    assert draws.counts.shape == (21, 50)
    assert (draws.counts[0] == 1).all()
    assert (draws.counts.sum(1) == 50).all()


def test_the_same_seed_gives_the_same_draw_and_another_another() -> None:
    one, same, other = (Resamples.draw(30, resamples=10, seed=seed).counts for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_mean_is_that_of_the_studies_drawn(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 2))
    values[5] = np.nan
    draws = Resamples.draw(40, resamples=8, seed=0)
    for row, counts in enumerate(draws.counts.astype(int)):
        drawn = np.repeat(values, counts, axis=0)
        np.testing.assert_allclose(draws.mean(values)[row], np.nanmean(drawn, 0), atol=1e-12)
        np.testing.assert_allclose(draws.mean(values[:, 0])[row], np.nanmean(drawn[:, 0]), atol=1e-12)


def test_the_interval_of_a_mean_is_about_two_standard_errors(rng: np.random.Generator) -> None:
    values = rng.normal(size=400)
    found = figure(Resamples.draw(400, resamples=2000, seed=0).mean(values), 400)
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_what_could_not_be_measured_has_no_interval() -> None:
    found = figure(np.full(11, np.nan), 3)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_centred_keeps_the_width_and_the_sample() -> None:
    values = np.array([0.5, 0.7, 0.8, 0.9])
    np.testing.assert_allclose(centred(values), [0.5, 0.4, 0.5, 0.6])


def test_p_value() -> None:
    assert p_value(np.r_[1.0, np.full(999, 1.0)]) == pytest.approx(2 / 1000)
    assert p_value(np.full(1000, -1.0)) == pytest.approx(2 / 1000)
    assert p_value(np.r_[0.0, np.linspace(-1, 1, 999)]) == 1.0
