"""Does a Ray cluster give the vectors that one machine gives, and does it survive?

    python benchmarks/cluster.py [STUDIES]

A made-up collection is imported on this machine alone, and by two workers of a local Ray cluster of which one is killed
(SIGKILL) after the first batch, whereafter the whole run is stopped and started again. Then the two libraries are
compared: every study once, all vectors equal, and nothing encoded twice that was stored.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from lingula.ingest import batches, cluster, openi
from lingula.library import Library
from lingula.model.checkpoint import load_checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.study import MODES
from lingula_phantom import generate
from machine import write_result

STUDIES, MODEL = 64, "compact"


class StoppedError(Exception):
    pass


def kill_a_worker() -> int:
    """SIGKILL one process that encodes; how many were there."""
    encoders = [
        one for one in psutil.process_iter(["cmdline"]) if "ray::Encoder" in " ".join(one.info["cmdline"] or ())
    ]
    for process in encoders[:1]:
        process.kill()
    return len(encoders)


def measure(folder: Path, studies: int) -> dict[str, Any]:
    collection = generate(folder / "collection", studies=studies, long_side=256)
    checkpoint = load_checkpoint(MODEL)
    begun = perf_counter()
    with batches.create_library(checkpoint, folder / "one.sqlite") as alone, Sandbox(1) as sandbox:
        openi.import_openi(alone, checkpoint, collection, sandbox)
    single = perf_counter() - begun
    killed: list[int] = []

    def kill_then_stop(done: int, of: int) -> None:
        if not killed:
            killed.append(kill_a_worker())
        elif len(killed) == 1:
            killed.append(0)
            raise StoppedError

    with batches.create_library(checkpoint, folder / "many.sqlite") as library:
        begun = perf_counter()
        options: dict[str, Any] = {"address": "local", "workers": 2}
        with suppress(StoppedError):
            cluster.encode_openi(library, MODEL, collection, progress=kill_then_stop, **options)
        stored = len(library)
        resumed = cluster.encode_openi(library, MODEL, collection, **options)
        many = perf_counter() - begun
        problems = library.verify()
    with Library.open(folder / "one.sqlite") as one, Library.open(folder / "many.sqlite") as two:
        differences = [np.abs(one.gallery(mode).vectors - two.gallery(mode).vectors).max() for mode in MODES]
        same_ids = one.ids() == two.ids()
    return {
        "n": studies, "same_studies": same_ids, "max_difference": float(max(differences)), "problems": len(problems),
        "workers_killed": int(bool(killed and killed[0])), "stored_when_stopped": stored,
        "passed_over_when_resumed": resumed.present, "added_when_resumed": resumed.added,
        "seconds_alone": round(single, 1), "seconds_cluster_twice_started": round(many, 1),
    }  # fmt: skip


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), studies)
    sys.stdout.write(json.dumps(figures) + "\n")
    if studies == STUDIES:
        value = {"value": figures["max_difference"], "unit": "absolute difference of a vector's elements", "n": studies}
        write_result("cluster", figures, {"ray_max_difference": value})


if __name__ == "__main__":
    main()
