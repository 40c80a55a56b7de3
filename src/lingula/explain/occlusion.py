"""Occlusion (Zeiler and Fergus 2014): how the logit falls when a square of the film is blurred away, through Captum."""

from __future__ import annotations

import torch
from captum.attr import Occlusion
from torch import Tensor

from lingula.explain.question import Question, blurred


@torch.no_grad()
def occlusion(question: Question) -> Tensor:
    """(N, S, S), signed: mean fall of the label's logit over the squares that cover a pixel.

    Squares have a quarter of the input's side and move by half of that; under a square the film is blurred, which keeps
    its grey level. One film is covered at a time.
    """
    words, size = question.words, question.pixels.shape[-1]
    side = size // 4
    found: Tensor = Occlusion(lambda pixels: question.logit(pixels, words.expand(len(pixels), -1, -1))).attribute(
        question.pixels,
        sliding_window_shapes=(1, 1, side, side),
        strides=(1, 1, side // 2, side // 2),
        baselines=blurred(question.pixels),
        perturbations_per_eval=8,
    )
    return found.detach()[0, :, 0]
