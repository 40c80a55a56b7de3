"""The gallery that ships with a checkpoint, made from a library of its training studies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from lingula.labels import Assertion
from lingula.library import Library
from lingula.library import shipped_gallery as gallery
from lingula.model.batch import batch_studies
from lingula.model.checkpoint import Checkpoint
from lingula.retrieval.judge import require_model
from lingula.study import MODES

NORM_STUDIES = 200
"""Studies from which the mean length of an image state is taken."""


def export_gallery(
    checkpoint: Checkpoint,
    library: Library,
    ids: Iterable[str],
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write the gallery that ships with a checkpoint, ``<fingerprint>.safetensors``; others in the folder are removed.

    Args:
        library: filled by the checkpoint; of ``ids`` those it lacks, or that nobody coded, are left out.
        folder: by default that of the package.
        progress: called with (films read for the mean length of an image state, of how many).
    """
    require_model(library, checkpoint)
    wanted = sorted(set(ids) & set(library.ids()))
    some = wanted[:: max(1, len(wanted) // NORM_STUDIES)]
    norms = []
    for done, study_id in enumerate(some, 1):
        if (study := library.study(study_id)).radiographs:
            tensors = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
            norms.append(float(np.linalg.norm(checkpoint.model(tensors, ("image",))["image"].state)))
        progress(done, len(some))
    folder = folder or gallery.FOLDER
    path = write_gallery(library, wanted, folder / f"{checkpoint.fingerprint}.safetensors", float(np.mean(norms)))
    for other in folder.glob("*.safetensors"):
        if other != path:
            other.unlink()
    return path


def write_gallery(library: Library, ids: Iterable[str], path: Path, norm: float) -> Path:
    """Write the gallery of a library's studies; ids that it lacks are left out."""
    summaries = library.summaries(tuple(ids))
    kept = sorted(study for study, known in summaries.items() if known.labels)
    said, about = library.assertions(kept), library.about
    codes = sorted({each.finding for study in kept for each in said[study]})
    places = sorted({each.place for study in kept for each in said[study] if each.place})
    told = [
        (row, codes.index(each.finding), gallery.POLARITIES.index(each.polarity), gallery.SIDES.index(each.side),
         places.index(each.place) + 1 if each.place else 0, int(each.past))
        for row, study in enumerate(kept)
        for each in sorted(set(_bare(said[study])), key=repr)
    ]  # fmt: skip
    tensors: dict[str, npt.NDArray[Any]] = {
        "labels": np.array([[label in summaries[study].labels for label in about.labels] for study in kept], np.uint8),
        "said": np.array(told, np.uint16).reshape(-1, 6),
    }
    for mode in MODES:
        vectors = library.vectors(kept, mode)
        zero = np.zeros(about.dimension, np.float16)
        tensors[mode] = np.stack([np.asarray(vectors.get(study, zero), np.float16) for study in kept])
    body = {
        "model": about.model, "vocabulary": about.vocabulary, "labels": about.labels, "dimension": about.dimension,
        "norm": round(norm, 4), "ids": kept, "findings": codes, "places": places,
        "images": [[[image.image_id, image.view] for image in summaries[study].images] for study in kept],
    }  # fmt: skip
    body["sha256"] = gallery.digest(tensors, body)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"lingula": json.dumps(body, separators=(",", ":"))})
    path.chmod(0o644)  # safetensors keeps it to its owner, a package is for all
    return path


def _bare(said: Iterable[Assertion]) -> Iterable[Assertion]:
    """Assertions of findings and impression, without their place in the text."""
    return (
        Assertion(each.finding, each.polarity, 0, 0, "findings", each.side, each.place, each.past)
        for each in said
        if each.section in ("findings", "impression")
    )
