"""Whether a checkpoint may ask a library, and what it makes of studies that nobody reported or coded."""

from __future__ import annotations

from functools import lru_cache

from lingula.errors import ModelError
from lingula.library import shipped_gallery as gallery
from lingula.model.checkpoint import Checkpoint
from lingula.retrieval.matching import Judge, Searched


@lru_cache(maxsize=1)
def judge(checkpoint: Checkpoint) -> Judge | None:
    """What judges studies that nobody reported or coded: the image head on their stored embeddings.

    The embedding lacks the length of the state it was made from; the mean length over the checkpoint's gallery stands
    for it. None for a checkpoint without one.
    """
    norm = gallery.typical_norm(checkpoint.fingerprint)
    if norm is None:
        return None
    calibration = checkpoint.calibration["image"]
    weight, bias = checkpoint.model.head_weight, checkpoint.model.head_bias  # (L, D), (L,)
    return Judge(
        checkpoint.vocabulary.codes,
        calibration.threshold,
        lambda vectors: calibration.probabilities(norm * vectors @ weight.T + bias),
    )


def require_model(library: Searched, checkpoint: Checkpoint) -> None:
    """Raise ModelError ``model_mismatch`` unless this very checkpoint filled the library."""
    if library.about.model != checkpoint.fingerprint:
        raise ModelError(
            "model_mismatch",
            f"The library was filled by model {library.about.model}, the query is read by {checkpoint.fingerprint}.",
            "Use that model, or import the studies again.",
        )
