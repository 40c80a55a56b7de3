"""Occlusion (Zeiler and Fergus 2014) from both ends: squares of a film blurred away, and shown alone; by Captum."""

from __future__ import annotations

from functools import partial

import torch
from captum.attr import Occlusion
from torch import Tensor

from lingula.explanation.target import Target, blurred

SQUARES = 5
"""Squares side by side across the input."""


@torch.no_grad()
def occlusion(question: Target) -> Tensor:
    """(N, S, S), signed: what the squares that cover a pixel are worth to the label's logit, on average.

    A square is worth the mean of how far the logit falls when it alone is blurred and how far it rises when it alone is
    not. The fall misses evidence that the rest of the film repeats, the rise evidence that needs it. Squares
    have a fifth of the input's side and move by half of that; blurring keeps the grey level. One film is
    covered at a time.
    """
    films, empty = question.pixels, blurred(question.pixels)
    side = films.shape[-1] // SQUARES
    found = torch.zeros_like(films[0])  # (N, 1, S, S)
    for sign, there, instead in ((1, films, empty), (-1, empty, films)):
        encoded = question.encoded(there, question.words)
        for n in range(len(found)):
            worth = Occlusion(partial(question.logit_with, encoded, n)).attribute(
                there[0, n : n + 1],
                sliding_window_shapes=(1, side, side),
                strides=(1, side // 2, side // 2),
                baselines=instead[0, n : n + 1],
                perturbations_per_eval=8,
            )
            found[n] += sign * worth[0] / 2
    return found[:, 0]
