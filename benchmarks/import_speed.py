"""How fast a collection is read: files to model input, through the sandbox, as an import does it.

    python benchmarks/import_speed.py COLLECTION

Counted from the first image asked for to the last input made: decoding in two child processes, true geometry, grey
levels and resize to the model's square. Scanning (reports, pairing) is timed apart. Decoding and the rest share the
machine's cores, so nothing else should run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from lingula.openi import Refused, load_many, scan
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.reading.sandbox import Sandbox
from machine import write_result

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
        "n": images,
        "reports": len(collection.studies),
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


def main() -> None:
    figures = measure(Path(sys.argv[1]))
    headline = {
        "reports_parsed": {"value": figures["reports"], "unit": "reports"},
        "images_paired": {"value": figures["n"], "unit": "images"},
        "import_images_per_second": {"value": figures["images_per_second"], "unit": "images/s", "n": figures["n"]},
    }
    write_result("import_speed", figures, headline)


if __name__ == "__main__":
    main()
