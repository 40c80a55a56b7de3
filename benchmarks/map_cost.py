"""What one saliency map costs: wall time and peak memory of each method, each in a process of its own.

    python benchmarks/map_cost.py FILM [FILM ...] [--label pleural_effusion] [--model compact] [--threads 2]

Films are frontal radiographs, DICOM or pictures. Times are medians over the films and three rounds, after one round to
warm up; memory is the most the process ever held, what Python, PyTorch and the checkpoint take included ("none" asks
for no map). About two minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lingula.explanation import METHODS, explain
from lingula.model.checkpoint import load_checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula.reading.view_classifier import with_views
from machine import write_result

ROUNDS = 3


def one(films: list[Path], label: str, method: str, model: str, threads: int) -> dict[str, float]:
    """Milliseconds and MiB of one method in this process."""
    checkpoint = load_checkpoint(model, threads=threads)
    with Sandbox() as sandbox:
        studies = [with_views(read_study([film], sandbox=sandbox)) for film in films]
    spent = []
    for round_ in range(ROUNDS + 1):
        for study in studies:
            started = time.perf_counter()
            if method != "none":
                explain(study, checkpoint, label, methods=[method])
            if round_:
                spent.append(1000 * (time.perf_counter() - started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"milliseconds": round(float(np.median(spent)), 1), "most": round(max(spent), 1), "peak_mib": round(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+", metavar="FILM")
    parser.add_argument("--label", default="pleural_effusion")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.method:
        print(json.dumps(one(asked.films, asked.label, asked.method, asked.model, asked.threads)))
        return
    costs = {}
    for method in ("none", *METHODS):
        run = [sys.executable, __file__, *sys.argv[1:], "--method", method]
        costs[method] = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
        print(f"{method:22} {costs[method]['milliseconds']:8.1f} ms {costs[method]['peak_mib']:6.0f} MiB")
    headline: dict[str, dict[str, object]] = {
        f"explain_ms_{short}": {"value": costs[method]["milliseconds"], "unit": "ms", "n": len(asked.films)}
        for short, method in (("gradcam", "gradcam"), ("ig", "integrated_gradients"), ("occlusion", "occlusion"))
    }
    headline["explain_peak_mib"] = {"value": max(cost["peak_mib"] for cost in costs.values()), "unit": "MiB"}
    body = {"model": load_checkpoint(asked.model).fingerprint, "threads": asked.threads, "methods": costs}
    print(write_result("map_cost", {**body, "films": len(asked.films), "rounds": ROUNDS}, headline))


if __name__ == "__main__":
    main()
