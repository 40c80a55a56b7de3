"""How fast the embedded model is: a film to its embedding, a file to its answer, a whole collection.

    python benchmarks/answer_speed.py FILE LIBRARY STUDIES [--also FILE ...] [--rounds 30]

FILE is a radiograph (DICOM or picture), LIBRARY one filled by ``compact``, STUDIES a study set (``lingula prepare``)
whose films are all encoded, 16 at a time, with two threads. One thread and two; freed memory is kept, as by every
``lingula`` command. How long other files take, with two threads, is told by ``--also``: a file's compression decides
more than anything else.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np

from lingula.cli.memory import keep_freed_memory
from lingula.library import Library
from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint, load_checkpoint
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
        found.append(checkpoint.model(made, ("image",))["image"].embedding)
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
    shipped = resources.files("lingula.model").joinpath("checkpoints/compact")
    size = sum(len(file.read_bytes()) for file in shipped.iterdir())
    figures: dict[str, object] = {"n": options.rounds, "model": plain.fingerprint, "megabytes": round(size / 1e6, 1)}
    runs = {}
    with Library.open(options.library, model=plain.fingerprint) as library:
        for threads in (1, 2):
            checkpoint = load_checkpoint("compact", threads=threads)
            name = f"{threads}_thread{'s' * (threads > 1)}"
            runs[name] = bench(checkpoint, [options.file], library, options.rounds, threads=threads)
            figures[name] = runs[name].to_json()
        answers = {file.name: asdict(answering(checkpoint, [file], library, options.rounds)) for file in options.also}
    started = time.perf_counter()
    embeddings(checkpoint, data, range(len(data.ids)))
    minutes = (time.perf_counter() - started) / 60
    figures |= {
        "answers": answers,
        "films": len(data.films),
        "encode_collection_minutes": round(minutes, 2),
    }
    best = runs["2_threads"]
    headline = {
        "compact_mb": {"value": round(size / 1e6, 1), "unit": "MB"},
        "images_per_second_batch16": {
            "value": best.encode[1].images_per_second, "unit": "images/s, 2 threads", "n": options.rounds
        },
        "encode_ms_batch1": {
            "value": best.encode[0].time.p50_ms, "unit": "ms, 2 threads", "n": options.rounds
        },
        "encode_collection_minutes": {"value": round(minutes, 2), "unit": "min", "n": len(data.films)},
        "answer_p50_ms": {"value": best.answer.p50_ms, "unit": "ms", "n": options.rounds},
    }  # fmt: skip
    write_result("answer_speed", figures, headline)


if __name__ == "__main__":
    main()
