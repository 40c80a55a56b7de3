"""How fast a collection is read and imported, and in how much memory.

    python benchmarks/import_speed.py COLLECTION [STUDIES]

Read: files to model input, through the sandbox, counted from the first image asked for to the last input made:
decoding in two child processes, true geometry, grey levels and resize to the model's square. Scanning (reports,
pairing) is timed apart. Imported: ``lingula import openi`` into a new library with the shipped model, from its
start to its end, and the most that it and its children have in memory; with STUDIES, only so many. Decoding and the
rest share the machine's cores, so nothing else should run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from lingula.openi import Refused, load_many, scan
from lingula.openi.splits import Split
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.reading.sandbox import Sandbox
from machine import write_result
from process_memory import Peak

WORKERS = 2


def measure(root: Path, most: int | None) -> dict[str, Any]:
    load, start = os.getloadavg()[0], perf_counter()
    collection = scan(root)
    scanned = perf_counter()
    studies = collection.studies[:most]
    refused: list[Refused] = []
    preprocessing, images = Preprocessing(), 0
    with Sandbox(workers=WORKERS) as sandbox:
        begun = perf_counter()
        for study in load_many(studies, sandbox, on_refused=refused.append):
            for radiograph in study.radiographs:
                to_input(radiograph, preprocessing)
                images += 1
        seconds = perf_counter() - begun
    return {
        "n": images,
        "reports": len(studies),
        "refused": len(refused) + len(collection.refused),
        "missing": len(collection.missing),
        "unreferenced": len(collection.unreferenced),
        "seconds": round(seconds, 2),
        "images_per_second": round(images / seconds, 1),
        "scan_seconds": round(scanned - start, 2),
        "workers": WORKERS,
        "input_side": preprocessing.size,
        "load_before": round(load, 1),
    }


def imported(root: Path, most: int | None) -> dict[str, Any]:
    """``lingula import openi`` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lingula", "import", "openi", str(root), "--workers", str(WORKERS), "--json"]
        command += ["--library", str(Path(folder) / "library.sqlite")]
        if most is not None:
            ids = [files.study_id for files in scan(root).studies[:most]]
            split = Path(folder) / "split.json"
            Split("first", 0, tuple(ids), (), ()).save(split)
            command += ["--split", str(split), "--part", "train"]
        begun = perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        with Peak(process.pid) as peak:
            told = json.loads(process.communicate()[0])
        seconds = perf_counter() - begun
    return {
        "studies": told["added"],
        "images": told["images"],
        "refused": len(told["refused"]),
        "seconds": round(seconds, 1),
        "images_per_second": round(told["images"] / seconds, 1),
        "peak_mb": round(peak.bytes / 1e6),
    }


def main() -> None:
    root, most = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    figures = measure(root, most)
    figures["import"] = done = imported(root, most)
    headline = {
        "reports_parsed": {"value": figures["reports"], "unit": "reports"},
        "images_paired": {"value": figures["n"], "unit": "images"},
        "import_images_per_second": {"value": figures["images_per_second"], "unit": "images/s", "n": figures["n"]},
        "import_files_per_second": {"value": done["images_per_second"], "unit": "files/s", "n": done["images"]},
        "import_peak_mb": {"value": done["peak_mb"], "unit": "MB", "n": done["images"]},
    }
    write_result("import_speed", figures, headline)


if __name__ == "__main__":
    main()
