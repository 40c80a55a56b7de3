"""Control charts over what nodes saw: crossings by hand, no signal without a change, weeks, a baseline begun anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import NodeError
from lingula.library import Library
from lingula.library.observation_records import FilmObservation
from lingula.node.drift import (
    BASELINE,
    LIMIT,
    SHARE_LIMIT,
    SLACK,
    DriftWatch,
    _crossing,
    _share_crossing,
    accept_sender,
    drift_report,
    signals_of,
    weeks_of,
)
from lingula.node.film_measures import is_view_fault, picture_measures
from lingula.study import FilmJudgement

WEEK = 7 * 86400.0


def films(count: int, rng: np.random.Generator, at: float = 0.0, shift: float = 0.0) -> list[FilmObservation]:
    """Films of one sender; every figure is normal, ``shift`` standard deviations off."""
    names = ("findings", "familiarity", "brightness", "contrast", "noise", "frame")
    return [
        FilmObservation(
            node="node", sender="ROOM", at=at + number, kind="CR", code="",
            view_fault=bool(rng.random() < 0.01), flags=1,
            **dict(zip(names, map(float, rng.normal(shift, 1, len(names))), strict=True)),
        )
        for number in range(count)
    ]  # fmt: skip


def test_a_sum_crosses_where_it_does_by_hand() -> None:
    assert _crossing(np.array([1.0, -5.0, 2.0, 2.0, 2.0]), 5.0) == 4  # 1, 0, 2, 4, 6: never below 0
    assert _crossing(np.full(100, -1.0), 5.0) is None
    baseline, faults = np.zeros(300), np.ones(20)
    gain = np.log(0.03 / 0.002)  # (0 + 1/2) / 301 is below the least share
    assert _share_crossing(baseline, faults) == int(np.ceil(SHARE_LIMIT / gain)) - 1 == 3


def of_two_films(each: list[FilmObservation]) -> list[FilmObservation]:
    """The same as studies of two films each, whose findings stand with the first."""
    return [film if number % 2 == 0 else replace(film, findings=None, flags=None) for number, film in enumerate(each)]


def test_a_shift_is_found_and_its_absence_is_rarely_taken_for_one() -> None:
    """Twenty weeks of 40 films, as often as the benchmark draws them: at most one signal each on average."""
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        false += len(signals_of(of_two_films([*films(BASELINE, rng), *films(800, rng)])))
    assert false <= 20
    rng = np.random.default_rng(0)
    baseline = films(BASELINE, rng)
    told = signals_of([*baseline, *films(200, rng, shift=1.0)])
    assert {each.measure for each in told} == {"findings", "familiarity", "brightness", "contrast", "noise", "frame"}
    expected = LIMIT / (1 - SLACK)
    assert all(expected * 0.5 < each.films < expected * 2 for each in told)
    assert signals_of(baseline) == ()


def test_each_share_and_a_new_kind_are_signals_of_their_own() -> None:
    rng = np.random.default_rng(1)
    baseline = films(BASELINE, rng)
    for name in ("view_fault", "polarity_fault", "unfamiliar"):
        later = [replace(film, **{name: number % 10 == 0}) for number, film in enumerate(films(200, rng))]
        assert [each.measure for each in signals_of([*baseline, *later])] == [name]
    refused = [FilmObservation("node", "ROOM", film.at, "CR", "truncated") if number % 10 == 0 else film
               for number, film in enumerate(films(200, rng))]  # fmt: skip
    assert [each.measure for each in signals_of([*baseline, *refused])] == ["refused"]
    new = [replace(film, kind="MG" if number in (5, 60, 150) else "CR") for number, film in enumerate(films(200, rng))]
    (signal,) = signals_of([*baseline, *new])
    assert (signal.measure, signal.films) == ("kind", 151)


def test_weeks_are_counted_and_marked() -> None:
    rng = np.random.default_rng(2)
    baseline = films(BASELINE, rng)
    late = [replace(film, polarity_fault=number < 10) for number, film in enumerate(films(100, rng, at=WEEK))]
    newest, _ = weeks_of([*baseline, *late])
    assert (newest.week, newest.films, newest.polarity_faults) == ("1970-W02", 100, 0.1)
    assert "polarity_fault" in newest.outside
    assert newest.flags_per_hundred == 100.0


def test_a_signal_stays_until_the_baseline_begins_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    with Library.create(tmp_path / "library", model="m", vocabulary="v", labels=("a",), dimension=4) as library:
        library.observations.note([*films(BASELINE, rng), *films(200, rng, at=1000.0, shift=2.0)])
        with pytest.raises(NodeError, match="ROOM"):
            DriftWatch(library).check()
        assert [each.state for each in drift_report(library).senders] == ["drift"]
        accept_sender(library, "ROOM")
        assert drift_report(library).signals == ()
        DriftWatch(library).check()


@pytest.mark.parametrize(
    ("named", "projection", "fault"),
    [
        ("PA", "lateral", True),
        ("AP", "PA", False),
        ("LL", "PA", True),
        ("LL", "lateral", False),
        ("", "lateral", False),
    ],
)
def test_a_view_fault_is_a_header_that_names_another_view(named: str, projection: str, fault: bool) -> None:
    assert is_view_fault(named, FilmJudgement("film", "known", projection, 1.0, 1.0)) is fault  # type: ignore[arg-type]


def test_noise_is_measured_in_display_values() -> None:
    rng = np.random.default_rng(4)
    smooth = np.linspace(0, 1, 300 * 300, dtype=np.float32).reshape(300, 300)
    noisy = smooth + rng.normal(0, 0.02, smooth.shape).astype(np.float32)
    assert picture_measures(smooth)["noise"] < 1e-3
    assert abs(picture_measures(noisy)["noise"] - 0.02) < 0.002
