"""How fast a checkpoint is on this machine: a film to its embedding, a file to its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lingula.analysis import analyze
from lingula.library import Library
from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study

BATCHES = (1, 16)
_WARM = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds: median and 95th percentile over the rounds, after two to warm up."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Encoding:
    """Prepared films, ``batch`` at a time, to embeddings in image mode; ``images_per_second`` by the median."""

    batch: int
    time: Timing
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured.

    Attributes:
        device: what computed. threads: for the arithmetic of one answer.
        answer: from a file on disk to findings and, where there is a library, five neighbours: reading in a child
            process, the view, the forward, the search. Loading the model is not in it, nor is evidence.
        studies: in the library searched.
    """

    model: str
    device: str
    threads: int
    rounds: int
    encode: tuple[Encoding, ...]
    answer: Timing
    studies: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def bench(
    checkpoint: Checkpoint, files: Sequence[Path], library: Library | None = None, rounds: int = 30, *, threads: int = 1
) -> Bench:
    """Time a checkpoint; nothing else should run meanwhile.

    Args:
        files: of one study, as ``read_study`` takes them. threads: the checkpoint was loaded with, for the record.
    """
    answered = answering(checkpoint, files, library, rounds)
    return Bench(
        model=checkpoint.fingerprint,
        device=checkpoint.model.engine.device,
        threads=threads,
        rounds=rounds,
        encode=tuple(_encoding(checkpoint, batch, rounds) for batch in BATCHES),
        answer=answered,
        studies=len(library) if library is not None else 0,
    )


def answering(checkpoint: Checkpoint, files: Sequence[Path], library: Library | None, rounds: int) -> Timing:
    """From a study's files to its answer, see ``Bench.answer``."""
    with Sandbox() as sandbox:

        def answer() -> None:
            analyze(read_study(files, sandbox=sandbox), checkpoint, library, methods=())

        return timed(answer, rounds)


def timed(task: Callable[[], object], rounds: int) -> Timing:
    """Run a task ``rounds`` times."""
    spent = []
    for turn in range(rounds + _WARM):
        started = time.perf_counter()
        task()
        if turn >= _WARM:
            spent.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.percentile(spent, (50, 95))
    return Timing(round(float(p50), 2), round(float(p95), 2))


def _encoding(checkpoint: Checkpoint, batch: int, rounds: int) -> Encoding:
    """Films of noise: how long a film takes does not depend on what it shows."""
    model, size = checkpoint.model, checkpoint.model.architecture.preprocessing.size
    film = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    films = collate([[(film, "frontal")]] * batch, [None] * batch, size=size, pad=checkpoint.tokenizer.pad)

    def encode() -> None:
        model(films, ("image",))

    spent = timed(encode, max(3, rounds // batch))
    return Encoding(batch, spent, round(1000 * batch / spent.p50_ms, 1))
