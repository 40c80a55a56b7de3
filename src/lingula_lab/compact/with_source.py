"""From a trained checkpoint and a folder of labelled films of another source to a checkpoint that learnt from both."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula.reading.preprocess import to_input
from lingula.study import VIEWS, Radiograph
from lingula_lab.compact.add_source import FilmSource, apply_correction, centres_of, fit_correction
from lingula_lab.compact.feature_cache import pooled_features
from lingula_lab.data.study_set import StudySet
from lingula_lab.gate.films import table_films
from lingula_lab.gate.outside import nih_targets
from lingula_lab.model.checkpoint import save_checkpoint, trained_model, with_model
from lingula_lab.model.study_model import collate
from lingula_lab.training.fit import average_film_of, calibrate


def with_source(
    checkpoint: Checkpoint, data: StudySet, split: Split, films: Path, out: Path, source: str = "nih14",
    progress: Callable[[int], None] = lambda done: None,
) -> Checkpoint:  # fmt: skip
    """The checkpoint with its image path corrected by a source's labels and calibrated anew on validation, saved.

    Args:
        data: study set of the own collection. films: folder with ``films.csv``, NIH-14 labels for ``source``.
    """
    model = deepcopy(trained_model(checkpoint))
    train, validation = (data.rows(sorted(split.ids(part))) for part in ("train", "validation"))
    mine = [int(film) for row in train for film in data.films_of(row)]
    views = torch.tensor([VIEWS.index(data.views[film]) for film in mine])
    features = pooled_features(model, data, mine, copies=1, seed=0)[0]
    calibration = checkpoint.calibration["image"]
    theirs, log_odds, targets = _source(checkpoint, films, source, progress)
    frontal = torch.full((len(theirs),), VIEWS.index("frontal"))
    scale, shift = (torch.tensor(each, dtype=torch.float32) for each in (calibration.scale, calibration.shift))
    told = FilmSource(theirs, frontal, log_odds * scale + shift, targets)
    apply_correction(model, fit_correction(features, views, told), scale, centres_of(features, views))
    training = {**checkpoint.training, "added": {"source": source, "films": len(theirs)}}
    made = with_model(
        checkpoint, model, training=training, average_film=average_film_of(model, data, train),
        calibration=calibrate(model, data, validation, checkpoint.tokenizer),
    )  # fmt: skip
    return save_checkpoint(made, out)


def _source(
    checkpoint: Checkpoint, folder: Path, source: str, progress: Callable[[int], None]
) -> tuple[Tensor, Tensor, Tensor]:
    """(M, C) pooled features, (M, L) logits of each film alone and (M, L) targets."""
    model, preprocessing = trained_model(checkpoint), checkpoint.model.architecture.preprocessing
    features, logits, labels = [], [], []
    for film in table_films(folder):
        if film.source != source:
            continue
        pixels = to_input(Radiograph("film", film.pixels), preprocessing)
        batch = collate([[(pixels, "frontal")]], [None], size=preprocessing.size, pad=0)
        with torch.inference_mode():
            grids = model.image_encoder.features(batch.pixels)
            features.append(grids.mean((2, 3))[0])
            logits.append(model(batch, ("image",), grids)["image"].logits[0])
        labels.append(film.labels)
        progress(len(labels))
    targets = torch.from_numpy(nih_targets(labels, checkpoint.vocabulary.codes).astype(np.float32))
    return torch.stack(features).clone(), torch.stack(logits).clone(), targets
