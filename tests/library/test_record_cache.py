from __future__ import annotations

import numpy as np
import pytest

from lingula.library.catalogue import Roster, Rows
from lingula.library.record_cache import NumbersCache


def rows(*several: int) -> Rows:
    return np.array(several, np.int32)


class Made:
    """Two numbers a study, and who was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, study_ids: list[str]) -> np.ndarray:
        self.asked += study_ids
        return np.array([[ord(each[-1]), len(each)] for each in study_ids], float)


def test_numbers_are_made_once_and_follow_a_roster_that_grows() -> None:
    roster, made, cache = Roster(["a", "b", "c"]), Made(), NumbersCache()
    assert cache.of("kind", roster, rows(2, 0), made).tolist() == [[99, 1], [97, 1]]
    roster.add(["dd"])
    assert cache.of("kind", roster, rows(3, 0, 1), made).tolist() == [[100, 2], [97, 1], [98, 1]]
    assert cache.of("kind", roster, rows(1, 2, 3), made).tolist() == [[98, 1], [99, 1], [100, 2]]
    assert made.asked == ["c", "a", "dd", "b"]
    assert cache.of("kind", roster, rows(), made).shape == (0, 2)
    cache.of("other", roster, rows(0), made)
    assert made.asked[4:] == ["a"]
    assert cache.of("kind", Roster(["b", "a"]), rows(0), made).tolist() == [[98, 1]]  # another roster, other rows
    assert made.asked[5:] == ["b"]


def test_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingula.library.record_cache.KEPT", 3)
    roster, made, cache = Roster(list("abcdefg")), Made(), NumbersCache()
    for several in ((0, 1), (1, 2, 3), (0, 3, 4, 5), (6,)):
        found = cache.of("kind", roster, rows(*several), made)
        assert found[:, 0].tolist() == [ord("abcdefg"[row]) for row in several]
