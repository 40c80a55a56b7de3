"""Acknowledged means on disk: an importing process is killed at random points, and nothing acknowledged is lost.

``LINGULA_KILL_ROUNDS=50 pytest tests/library/test_kill.py`` runs more rounds.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lingula.library import Entry, Library
from lingula.library.record import study_digest

ROUNDS = int(os.environ.get("LINGULA_KILL_ROUNDS", "5"))
IMPORTER = Path(__file__).with_name("importer.py")


def acknowledged_until_killed(place: str, start: int, lines: int, seconds: float) -> list[str]:
    """Import in a child process, kill -9 it some time after that many acknowledgements, return all it gave."""
    command = [sys.executable, str(IMPORTER), place, str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        read = [child.stdout.readline() for _ in range(lines)]
        time.sleep(seconds)
        child.kill()
        read += child.stdout.readlines()
    assert child.returncode == -9
    return [line.strip() for line in read if line.endswith("\n")]


def test_nothing_acknowledged_is_lost(library: Library, specimen: Callable[[int], Entry], place: str) -> None:
    rng = random.Random(7)
    library.close()
    acknowledged: set[str] = set()
    for _ in range(ROUNDS):
        start = max(0, len(acknowledged) - 3)  # a few are imported twice
        acknowledged |= set(acknowledged_until_killed(place, start, rng.randrange(30), rng.uniform(0, 0.03)))
        with Library.open(place) as opened:
            stored = set(opened.ids())
            assert acknowledged <= stored
            assert len(stored - acknowledged) <= 4  # at most the batch that was committed but not yet reported
            assert opened.verify() == ()
            for study_id in stored:
                record, given = opened.get(study_id), specimen(int(study_id[1:]))
                assert record.digest == study_digest(given.study)
                assert (len(record.radiographs), len(record.modes)) == (2, 3)
    assert acknowledged
