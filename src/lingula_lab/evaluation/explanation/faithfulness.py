"""Does a map say what moved the number? Insertion, deletion, weight randomisation, on the deployed forward.

Maps of all methods are compared on one raster of ``CELLS`` x ``CELLS`` places over the film, so that a fine map has no
advantage of a coarse one.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from lingula.explanation.target import Target, blurred
from lingula.model.checkpoint import Checkpoint
from lingula.reading.preprocess import Letterbox
from lingula_lab.model.checkpoint import trained_model, with_model

CELLS, STEPS = 14, 8
CASCADE = (
    ("head",),
    ("image_projector", "text_projector", "image_gate", "text_gate", "image_norm", "text_norm"),
    ("fusion",),
    ("image_encoder.to_width", "text_encoder.to_width", "view_embedding"),
    ("image_encoder.backbone", "image_encoder.beside", "text_encoder"),
)
"""Parts of the model from the output to the input; a cascade of depth d gives random weights to the first d."""

Map = npt.NDArray[np.float32]


def raster(values: Map, cells: int = CELLS) -> Map:
    """Means of a map (rows, columns) over cells x cells equal places of the film."""
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize((cells, cells), Image.Resampling.BOX), np.float32)


def centre(cells: int = CELLS) -> Map:
    """The centre prior: higher the nearer to the middle of the film."""
    across = np.abs(np.arange(cells) - (cells - 1) / 2)
    return np.asarray(-np.hypot(across[:, None], across[None]), np.float32)


def deletion_insertion(question: Target, film: int, values: Map, steps: int = STEPS) -> tuple[float, float]:
    """Areas under the label's probability while the places of one film go, or come, strongest first.

    Petsiuk et al. 2018 (RISE). A place that is gone is blurred. All films but this one stay as they are.

    Args:
        values: (cells, cells) over the film, as ``raster`` gives.

    Returns:
        deletion (lower is better), insertion (higher is better), each the mean over ``steps + 1`` shares of the film.
    """
    variants = _gone_and_come(question, film, values, steps)
    found = probabilities(question, variants)
    return float(found[: steps + 1].mean()), float(found[steps + 1 :].mean())


def similarity_areas(question: Target, film: int, values: Map, toward: Map, steps: int = STEPS) -> tuple[float, float]:
    """The same for the cosine with an embedding ``toward`` (D,) instead of a label's probability."""
    variants = _gone_and_come(question, film, values, steps)
    cosines = np.concatenate(
        [question.forward(variants[i : i + 6]).embedding @ toward for i in range(0, len(variants), 6)]
    )
    return float(cosines[: steps + 1].mean()), float(cosines[steps + 1 :].mean())


def _gone_and_come(question: Target, film: int, values: Map, steps: int) -> Map:
    """(2 * (steps + 1), N, 1, S, S): first ever more of one film blurred, then ever more of a blurred one shown."""
    order = np.argsort(-values, axis=None, kind="stable")
    ranks = np.empty(values.size)
    ranks[order] = np.arange(values.size)
    first = _on_input(question, film, ranks.reshape(values.shape))  # (S, S), -1 outside the film
    pixels, empty = question.pixels, blurred(question.pixels)
    cut = [values.size * step / steps for step in range(steps + 1)]
    gone = np.stack([(first >= 0) & (first < edge) for edge in cut])  # (steps + 1, S, S)
    keep = np.stack([(first >= 0) & (first >= edge) for edge in cut])
    variants = pixels.repeat(2 * len(cut), 0)
    variants[:, film, 0] = np.where(np.concatenate([gone, keep]), empty[0, film, 0], pixels[0, film, 0])
    return variants


def probabilities(question: Target, pixels: Map, batch: int = 6) -> npt.NDArray[np.float64]:
    """(R,) calibrated probabilities of the question's label for R variants of its films, (R, N, 1, S, S)."""
    logits = [question.forward(pixels[i : i + batch]).logits for i in range(0, len(pixels), batch)]
    calibration = question.checkpoint.calibration[question.mode]
    return calibration.probabilities(np.concatenate(logits))[:, question.label]


def _on_input(question: Target, film: int, cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A raster over the film, value by value, on the square input; -1 in the padding."""
    size, side = question.checkpoint.model.architecture.preprocessing.size, len(cells)
    pixels = question.study.radiographs[film].pixels
    box = Letterbox.of(pixels, size)
    rows, columns = pixels.shape
    down = (box.first_row + np.arange(box.height) * box.rows // box.height) * side // rows
    across = (box.first_column + np.arange(box.width) * box.columns // box.width) * side // columns
    square = np.full((size, size), -1.0)
    square[box.top : box.top + box.height, box.left : box.left + box.width] = cells[np.ix_(down, across)]
    return square


def randomised(checkpoint: Checkpoint, depth: int, seed: int = 0) -> Checkpoint:
    """A copy whose first ``depth`` parts of ``CASCADE`` have random weights of the same mean and spread.

    Adebayo et al. 2018, "Sanity checks for saliency maps". A model with random weights has no average film.
    """
    model, generator = copy.deepcopy(trained_model(checkpoint)), torch.Generator().manual_seed(seed)
    for part in (name for stage in CASCADE[:depth] for name in stage):
        _shake(model.get_submodule(part), generator)
    return with_model(checkpoint, model, average_film=None if depth else checkpoint.average_film)


@torch.no_grad()
def _shake(module: nn.Module, generator: torch.Generator) -> None:
    for parameter in module.parameters():
        spread = parameter.std(correction=0)
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(parameter.mean() + spread * noise)


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's rho of two maps of one shape; 0 where one of them is flat."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other, axis=None).statistic)
