"""Studies through the model: embeddings in every mode a study has the parts for, and calibrated predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from lingula.model.checkpoint import Checkpoint
from lingula.model.study_model import batch_studies, legible, study_mode
from lingula.study import MODES, Mode, Prediction, Study

Vector = npt.NDArray[np.float32]


def embed(
    studies: Iterable[Study], checkpoint: Checkpoint, batch: int = 8
) -> Iterator[tuple[Study, dict[Mode, Vector]]]:
    """Studies with their embeddings.

    Args:
        studies: each with at least a radiograph or report text.
        checkpoint: the model that embeds them.
        batch: studies that are computed together.

    Returns:
        Each study, in its turn, with vectors (D,) float32 of unit norm by mode, in every mode it has the parts for.

    Raises:
        InputError: ``bad_request`` for a study with neither.
    """
    remaining = (legible(study, checkpoint.tokenizer) for study in studies)
    while group := list(islice(remaining, batch)):
        tensors = batch_studies(group, checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
        with torch.inference_mode():
            outputs = checkpoint.model(tensors, MODES)
        for row, study in enumerate(group):
            yield study, {mode: outputs[mode].embedding[row].numpy() for mode in available_modes(study)}


def available_modes(study: Study) -> tuple[Mode, ...]:
    """The modes in which a study can be asked about or found."""
    both = study.radiographs and study.report is not None and not study.report.is_empty
    return MODES if both else (study_mode(study),)


def predict(study: Study, model: Checkpoint, mode: Mode | None = None) -> tuple[Prediction, ...]:
    """Calibrated probabilities and decisions for every label.

    Args:
        study: with at least a radiograph or report text.
        mode: what is read of it, ``image``, ``text`` or ``joint``; by default all that tells what it shows.

    Returns:
        One ``Prediction`` a label, in the vocabulary's order; probabilities in [0, 1].

    Raises:
        InputError: ``bad_request`` when the study lacks what the mode reads.
    """
    study = legible(study, model.tokenizer)
    return predict_and_embed(study, model, study_mode(study, mode))[0]


def predict_and_embed(study: Study, checkpoint: Checkpoint, mode: Mode) -> tuple[tuple[Prediction, ...], Vector]:
    """A study's predictions, in the vocabulary's order, and its embedding (D,) float32 of unit norm, in one mode."""
    tensors = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    with torch.inference_mode():
        output = checkpoint.model(tensors, (mode,))[mode]
    calibration = checkpoint.calibration[mode]
    probabilities = calibration.probabilities(output.logits[0].numpy())
    rows = zip(
        checkpoint.vocabulary.labels,
        probabilities,
        calibration.threshold,
        calibration.decide(probabilities),
        calibration.interval(probabilities).tolist(),
        strict=True,
    )
    predictions = tuple(
        Prediction(label.code, label.name, float(p), float(t), said, None if np.isnan(low) else (low, high))
        for label, p, t, said, (low, high) in rows
    )
    return predictions, output.embedding[0].numpy()
