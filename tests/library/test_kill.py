"""Acknowledged means on disk; ``benchmarks/kill.py`` does the same 50 times on each database, and kills servers too."""

from __future__ import annotations

from kill import rounds
from lingula.library import Library


def test_nothing_acknowledged_is_lost(library: Library, place: str) -> None:
    library.close()
    found = rounds(place, 3)
    assert found["acknowledged"]
    assert {name: found[name] for name in ("lost", "half_written", "not_clean")} == {
        "lost": 0, "half_written": 0, "not_clean": 0,
    }  # fmt: skip
