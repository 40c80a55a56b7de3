"""Occlusion (Zeiler and Fergus 2014) from both ends: squares of a film blurred away, and shown alone; by Captum."""

from __future__ import annotations

import torch
from captum.attr import Occlusion
from torch import Tensor

from lingula.explain.question import Question, blurred

SQUARES = 5
"""Squares side by side across the input."""


@torch.no_grad()
def occlusion(question: Question) -> Tensor:
    """(N, S, S), signed: what the squares that cover a pixel are worth to the label's logit, on average.

    A square is worth the mean of how far the logit falls when it alone is blurred and how far it rises when it alone is
    not: what the rest of the film says as well hides the one, what needs company the other. Squares have a fifth of
    the input's side and move by half of that; blurring keeps the grey level. One film is covered at a time.
    """
    words, size = question.words, question.pixels.shape[-1]
    side = size // SQUARES
    squares = Occlusion(lambda pixels: question.logit(pixels, words.expand(len(pixels), -1, -1)))
    film, empty = question.pixels, blurred(question.pixels)
    gone, shown = (
        squares.attribute(
            there,
            sliding_window_shapes=(1, 1, side, side),
            strides=(1, 1, side // 2, side // 2),
            baselines=instead,
            perturbations_per_eval=8,
        )
        for there, instead in ((film, empty), (empty, film))
    )
    found: Tensor = (gone - shown) / 2
    return found.detach()[0, :, 0]
