"""What a checkpoint makes of every study, computed once, in chunks on disk, and read back ever after.

A reading is what the model may look at. The encoders run once a study; fusion runs once a reading.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint
from lingula.model.forward import Encoded
from lingula.openi.splits import Split, SplitName
from lingula.study import Report
from lingula_lab.data.study_set import StudySet

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

Reading = Literal["image_frontal", "image", "image_indication", "indication", "report", "image_report"]
READINGS: tuple[Reading, ...] = get_args(Reading)
GALLERY_READINGS: tuple[Reading, ...] = ("image", "report", "image_report")
"""What the training studies are needed for: to be found."""

CHUNK, BATCH = 64, 16


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPart:
    """The studies of one part of a split, in the split's order.

    Attributes:
        rows: (N,) of the study set.
        embeddings, logits: by reading, (N, D) of unit norm (0 where the reading finds nothing) and (N, L).
    """

    ids: tuple[str, ...]
    rows: Rows
    embeddings: Mapping[Reading, Floats]
    logits: Mapping[Reading, Floats]


def encode_part(
    checkpoint: Checkpoint,
    data: StudySet,
    split: Split,
    part: SplitName,
    cache: Path,
    progress: Progress = lambda done, of: None,
) -> EncodedPart:
    """Read every study of a part, from the cache where it is there.

    Args:
        cache: folder for the chunks; those of another model, split or study set lie in another folder below it.
        progress: called with (studies done, of how many).

    Raises:
        InputError: ``bad_request`` when the study set's films are not what the model reads.
    """
    data.require(checkpoint.model.architecture.preprocessing, checkpoint.training.get("preset", "the model"))
    rows = data.rows(split.ids(part))
    wanted = GALLERY_READINGS if part == "train" else READINGS
    folder = cache / fingerprint_of(checkpoint.fingerprint, split.digest, digest(data))

    def read(some: Rows) -> dict[str, Floats]:
        return _read(checkpoint, data, some, wanted)

    found = in_chunks(folder, part, rows, read, progress)
    embeddings = {reading: found[f"{reading}.embedding"] for reading in wanted}
    logits = {reading: found[f"{reading}.logits"] for reading in wanted}
    return EncodedPart(tuple(data.ids[row] for row in rows), rows, embeddings, logits)


def in_chunks(
    folder: Path,
    name: str,
    rows: Rows,
    compute: Callable[[Rows], dict[str, Floats]],
    progress: Progress = lambda done, of: None,
) -> dict[str, Floats]:
    """Arrays (N, ...) for N rows, computed ``CHUNK`` rows at a time; a chunk on disk is read, not computed.

    A chunk is written under another name and then renamed, so whatever is there is whole; stopped work goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = []
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        path = folder / f"{name}-{start:05d}.safetensors"
        if (arrays := _stored(path, len(some))) is None:
            arrays = {key: np.ascontiguousarray(array) for key, array in compute(some).items()}
            temporary = path.with_suffix(".part")
            save_file(arrays, temporary)
            os.replace(temporary, path)
        chunks.append(arrays)
        progress(min(start + CHUNK, len(rows)), len(rows))
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]} if chunks else {}


def _stored(path: Path, rows: int) -> dict[str, Floats] | None:
    if not path.exists():
        return None
    try:
        arrays: dict[str, Floats] = load_file(path)
    except (SafetensorError, OSError):
        return None  # damaged: computed again
    return arrays if all(len(array) == rows for array in arrays.values()) else None


def digest(data: StudySet) -> str:
    """SHA-256, hex, over what a model reads of a study set: ids, texts with sections, films with views."""
    found = hashlib.sha256("\0".join(data.ids).encode())
    for report in data.reports:
        found.update(repr((report.text, report.sections) if report else None).encode())
    found.update("\0".join(data.views).encode() + data.owner.tobytes())
    for start in range(0, len(data.films), 256):
        found.update(data.films[start : start + 256].tobytes())
    return found.hexdigest()


def fingerprint_of(*parts: str) -> str:
    """First 16 hex digits of the SHA-256 over several fingerprints."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def indication_of(report: Report | None) -> Report | None:
    """What is known before the film is read; None where nothing was written."""
    return part if report and not (part := report.only("indication")).is_empty else None


def _read(checkpoint: Checkpoint, data: StudySet, rows: Rows, wanted: Sequence[Reading]) -> dict[str, Floats]:
    parts = [_read_batch(checkpoint, data, rows[i : i + BATCH], wanted) for i in range(0, len(rows), BATCH)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _read_batch(checkpoint: Checkpoint, data: StudySet, rows: Rows, wanted: Sequence[Reading]) -> dict[str, Floats]:
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    preprocessing = model.architecture.preprocessing
    films = [[(data.films[film], data.views[film]) for film in data.films_of(row)] for row in rows]
    reports = [data.reports[row] for row in rows]
    full = [tokenizer(report) if report and not report.is_empty else None for report in reports]
    asked = [tokenizer(part) if (part := indication_of(report)) else None for report in reports]
    batch = collate(films, full, size=preprocessing.size, pad=tokenizer.pad)
    pixels = preprocessing.normalised(batch.pixels.astype(np.float32) / np.float32(255))
    study = model.encode(replace(batch, pixels=pixels))
    indication = model.encode(collate([[] for _ in rows], asked, size=preprocessing.size, pad=tokenizer.pad))

    frontal = np.zeros((len(rows), batch.slots), np.bool_)
    for row, own in enumerate(films):
        frontal[row, : len(own)] = [view != "lateral" for _, view in own]
    image = study.only("image")
    views: dict[Reading, Encoded] = {
        "image_frontal": replace(image, image_mask=image.image_mask & frontal.repeat(model.patches, 1)),
        "image": image,
        "image_indication": replace(
            study, text=indication.text, text_mask=indication.text_mask, terms=indication.terms
        ),
        "indication": indication.only("text"),
        "report": study.only("text"),
        "image_report": study,
    }
    found = {}
    for reading in wanted:
        output = model.fuse(views[reading])
        found[f"{reading}.embedding"] = output.embedding
        found[f"{reading}.logits"] = output.logits
    return found
