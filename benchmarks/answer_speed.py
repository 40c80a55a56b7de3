"""How fast the embedded model is: a film to its embedding, a file to its answer, a whole collection.

    python benchmarks/answer_speed.py FILE LIBRARY STUDIES [--also FILE ...] [--rounds 30]

FILE is a radiograph (DICOM or picture), LIBRARY one filled by ``compact``, STUDIES a study set (``lingula prepare``)
whose films are all encoded, 16 at a time, with two threads. One thread and two; freed memory is kept, as by every
``lingula`` command. How long other files take, with two threads, is told by ``--also``: a file's compression decides
more than anything else, so what its decoder needs alone, in this process and by one thread, stands beside it.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import generate_frames

from lingula.cli.memory import keep_freed_memory
from lingula.library import Library
from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula_lab.data.study_set import StudySet
from lingula_lab.speed import Timing, answering, bench, timed
from machine import write_result

SLOW = 50
"""Milliseconds from which a file's decoder decides how long its answer takes."""
DECODERS = {"1.2.840.10008.1.2.4.9": imagecodecs.jpeg2k_decode, "1.2.840.10008.1.2.4.8": imagecodecs.jpegls_decode}
"""By how transfer syntaxes begin: JPEG 2000, JPEG-LS. Others are JPEG."""


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


def decoding(file: Path, rounds: int) -> Timing:
    """A file's compressed pixels, already in memory, to grey values: the decoder that ``read_study`` uses, alone."""
    from PIL import Image

    data = file.read_bytes()
    if data[128:132] != b"DICM":
        return timed(lambda: Image.open(io.BytesIO(data)).load(), rounds)
    header = pydicom.dcmread(io.BytesIO(data))
    frame = next(generate_frames(header.PixelData, number_of_frames=1))
    decode = DECODERS.get(str(header.file_meta.TransferSyntaxUID)[:-1], imagecodecs.jpeg8_decode)
    return timed(lambda: decode(frame), rounds)


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
        answers = {}
        for file in (options.file, *options.also):
            own, answer = decoding(file, options.rounds), answering(checkpoint, [file], library, options.rounds)
            ratio = round(answer.p50_ms / own.p50_ms, 2)
            answers[file.name] = {"answer": asdict(answer), "decoder": asdict(own), "ratio": ratio}
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
        "fast_images_per_second": {
            "value": best.encode[1].images_per_second, "unit": "images/s, 2 threads, batches of 16", "n": options.rounds
        },
        "encode_collection_minutes": {"value": round(minutes, 2), "unit": "min", "n": len(data.films)},
        "answer_decode_ratio": {
            "value": max(found["ratio"] for found in answers.values() if found["decoder"]["p50_ms"] >= SLOW),
            "unit": f"the answer's time to the decoder's, of files whose decoder takes {SLOW} ms", "n": options.rounds,
        },
        "answer_p50_ms": {"value": best.answer.p50_ms, "unit": "ms", "n": options.rounds},
    }  # fmt: skip
    write_result("answer_speed", figures, headline)


if __name__ == "__main__":
    main()
