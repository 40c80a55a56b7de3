"""How fast the embedded model encodes, and how fast a file becomes an answer.

    python benchmarks/answer_speed.py FILE LIBRARY [--rounds 30]

FILE is a radiograph (DICOM or picture), LIBRARY one filled by ``compact``. Loading the model is not counted; reading in
a child process, findings and five neighbours are (evidence is timed beside). One thread and two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lingula.analysis import analyze
from lingula.library import Library
from lingula.models.checkpoint import load_checkpoint
from lingula.read import read_study
from lingula.sandbox import Sandbox
from machine import write_result


def milliseconds(task: Callable[[], object], rounds: int) -> dict[str, float]:
    """p50 and p95 over the rounds, after two to warm up."""
    times = []
    for turn in range(rounds + 2):
        started = time.perf_counter()
        task()
        if turn >= 2:
            times.append((time.perf_counter() - started) * 1000)
    return {"p50": round(float(np.percentile(times, 50)), 2), "p95": round(float(np.percentile(times, 95)), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    checkpoint = load_checkpoint("compact")
    encoder, size = checkpoint.model.image_encoder, checkpoint.model.architecture.preprocessing.size
    figures: dict[str, object] = {"n": options.rounds, "model": checkpoint.fingerprint}
    with Sandbox() as sandbox, Library.open(options.library, model=checkpoint.fingerprint) as library:
        figures["library_studies"] = len(library)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            part: dict[str, object] = {}
            for batch in (1, 16):
                films = torch.zeros(batch, 1, size, size)
                with torch.inference_mode():
                    spent = milliseconds(lambda films=films: encoder(films), options.rounds)  # type: ignore[misc]
                part[f"encode_batch{batch}_ms"] = spent
                part[f"encode_batch{batch}_images_per_second"] = round(batch * 1000 / spent["p50"], 1)

            def answer(methods: tuple[str, ...] = ()) -> object:
                return analyze(read_study([options.file], sandbox=sandbox), checkpoint, library, methods=methods)

            part["file_to_answer_ms"] = milliseconds(answer, options.rounds)
            for method in ("attention", "gradcam", "integrated_gradients"):
                part[f"file_to_answer_with_{method}_ms"] = milliseconds(lambda m=method: answer((m,)), 5)  # type: ignore[misc]
            figures[f"threads_{threads}"] = part
    two = figures["threads_2"]
    assert isinstance(two, dict)
    headline = {
        "encode_ms_batch1": {"value": two["encode_batch1_ms"]["p50"], "unit": "ms", "n": options.rounds},
        "answer_p50_ms": {"value": two["file_to_answer_ms"]["p50"], "unit": "ms", "n": options.rounds},
    }
    write_result("answer_speed", figures, headline)


if __name__ == "__main__":
    main()
