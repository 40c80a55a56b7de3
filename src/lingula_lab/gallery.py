"""The gallery that ships with a checkpoint, made from a library of its training studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from lingula.library import Library
from lingula.library import shipped_gallery as gallery
from lingula.model.batch import batch_studies
from lingula.model.checkpoint import Checkpoint
from lingula.retrieval.judge import require_model

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
    path = gallery.export(library, wanted, folder / f"{checkpoint.fingerprint}.safetensors", float(np.mean(norms)))
    for other in folder.glob("*.safetensors"):
        if other != path:
            other.unlink()
    return path
