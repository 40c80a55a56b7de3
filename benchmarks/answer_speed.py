"""How fast the embedded model is: a film to its embedding, a file to its answer, a whole collection.

    python benchmarks/answer_speed.py FILE LIBRARY STUDIES [--also FILE ...] [--rounds 30]

FILE is a radiograph (DICOM or picture), LIBRARY one filled by ``compact``, STUDIES a study set (``lingula prepare``)
whose films are all encoded, 16 at a time, by the compiled encoders. Plain and compiled encoders, one thread and two;
freed memory is kept, as by every ``lingula`` command. How long other files take, compiled and with two threads, is told
by ``--also``: a file's compression decides more than anything else.
How far the compiled embeddings of these films lie from the plain ones is measured on the first 256 studies.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from lingula.cli.memory import keep_freed_memory
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.openvino import compile_encoders
from lingula.model.study_model import collate
from lingula_lab.data.study_set import StudySet
from lingula_lab.speed import answering, bench
from machine import write_result


def embeddings(checkpoint: Checkpoint, data: StudySet, rows: range, batch: int = 16) -> np.ndarray:
    """(len(rows), D) in image mode, from prepared films."""
    preprocessing, found = checkpoint.model.architecture.preprocessing, []
    for start in range(rows.start, rows.stop, batch):
        some = range(start, min(start + batch, rows.stop))
        films = [
            [
                (preprocessing.normalised(data.films[f].astype(np.float32) / 255), data.views[f])
                for f in data.films_of(row)
            ]
            for row in some
        ]
        made = collate(films, [None] * len(some), size=preprocessing.size, pad=checkpoint.tokenizer.pad)
        with torch.inference_mode():
            found.append(checkpoint.model(made, ("image",))["image"].embedding.numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    keep_freed_memory()
    data = StudySet.load(options.studies)
    plain = load_checkpoint("compact")
    first = range(min(256, len(data.ids)))
    before = embeddings(plain, data, first)
    shipped = resources.files("lingula.model").joinpath("checkpoints/compact")
    size = sum(len(file.read_bytes()) for file in shipped.iterdir())
    figures: dict[str, object] = {"n": options.rounds, "model": plain.fingerprint, "megabytes": round(size / 1e6, 1)}
    runs = {}
    with Library.open(options.library, model=plain.fingerprint) as library:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for fast in (False, True):
                checkpoint = load_checkpoint("compact", fast=fast)
                name = f"{'fast' if fast else 'plain'}_{threads}_thread{'s' * (threads > 1)}"
                runs[name] = bench(checkpoint, [options.file], library, options.rounds)
                figures[name] = runs[name].to_json()
        answers = {file.name: asdict(answering(checkpoint, [file], library, options.rounds)) for file in options.also}
    check = compile_encoders(checkpoint)
    similar = (before * embeddings(checkpoint, data, first)).sum(1)
    started = time.perf_counter()
    embeddings(checkpoint, data, range(len(data.ids)))
    minutes = (time.perf_counter() - started) / 60
    figures |= {
        "answers": answers,
        "precision": check.precision,
        "cosine_least": round(float(similar[similar > 0].min()), 6),
        "films": len(data.films),
        "encode_collection_minutes": round(minutes, 2),
    }
    best = runs["fast_2_threads"]
    headline = {
        "compact_mb": {"value": round(size / 1e6, 1), "unit": "MB"},
        "fast_images_per_second": {
            "value": best.encode[0].images_per_second, "unit": "images/s, batch 1", "n": options.rounds
        },
        "encode_ms_batch1": {
            "value": runs["plain_2_threads"].encode[0].time.p50_ms, "unit": "ms, plain, 2 threads", "n": options.rounds
        },
        "encode_collection_minutes": {"value": round(minutes, 2), "unit": "min", "n": len(data.films)},
        "answer_p50_ms": {"value": best.answer.p50_ms, "unit": "ms", "n": options.rounds},
    }  # fmt: skip
    write_result("answer_speed", figures, headline)


if __name__ == "__main__":
    main()
