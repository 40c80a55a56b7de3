"""How fast a collection is read: files to model input, through the sandbox, as an import does it.

python benchmarks/import_speed.py NLMCXR > benchmarks/results/import_speed.json

Counted from the first image asked for to the last input made: decoding in two child processes, true geometry, grey
levels and resize to the model's square. Scanning (reports, pairing) is timed apart. Decoding and the rest share the
machine's cores, so nothing else should run.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from lingula.models.preprocess import Preprocessing, to_input
from lingula.openi import Refused, load_many, scan
from lingula.sandbox import Sandbox

WORKERS = 2


def measure(root: Path) -> dict[str, Any]:
    load, start = os.getloadavg()[0], perf_counter()
    collection = scan(root)
    scanned = perf_counter()
    refused: list[Refused] = []
    preprocessing, images = Preprocessing(), 0
    with Sandbox(workers=WORKERS) as sandbox:
        begun = perf_counter()
        for study in load_many(collection, sandbox, on_refused=refused.append):
            for radiograph in study.radiographs:
                to_input(radiograph, preprocessing)
                images += 1
        seconds = perf_counter() - begun
    return {
        "command": "python benchmarks/import_speed.py NLMCXR",
        "n": images,
        "refused": len(refused),
        "seconds": round(seconds, 2),
        "images_per_second": round(images / seconds, 1),
        "scan_seconds": round(scanned - start, 2),
        "studies": len(collection.studies),
        "workers": WORKERS,
        "input_side": preprocessing.size,
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "load_before": round(load, 1)},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("lingula", "numpy", "pillow", "pydicom")},
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    json.dump(measure(Path(sys.argv[1])), sys.stdout, indent=1)
    sys.stdout.write("\n")
