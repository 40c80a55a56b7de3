"""Occlusion (Zeiler and Fergus 2014) from both ends: squares of a film blurred away, and shown alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lingula.explanation.target import Floats, Target, blurred

SQUARES = 5
"""Squares side by side across the input."""
TOGETHER = 8
"""Variants of a film computed at once."""


def occlusion(question: Target) -> Floats:
    """(N, S, S), signed: what the squares that cover a pixel are worth to the label's logit, on average.

    A square is worth the mean of how far the logit falls when it alone is blurred and how far it rises when it alone is
    not. The fall misses evidence that the rest of the film repeats, the rise evidence that needs it. Squares
    have a fifth of the input's side, in two grids half a square apart; blurring keeps the grey level. One film is
    covered at a time.
    """
    films, empty = question.pixels, blurred(question.pixels)
    squares = _squares(films.shape[-1])
    worth = np.zeros((films.shape[1], len(squares)))
    for sign, there, instead in ((1, films, empty), (-1, empty, films)):
        encoded = question.encoded(there)
        whole = float(question.checkpoint.model.fuse(encoded).logits[0, question.label])
        for n in range(len(worth)):
            for start in range(0, len(squares), TOGETHER):
                group = squares[start : start + TOGETHER]
                variants = np.repeat(there[0, n : n + 1], len(group), 0)  # (R, 1, S, S)
                for variant, place in zip(variants, group, strict=True):
                    variant[0][place] = instead[0, n, 0][place]
                logits = question.logit_with(encoded, n, variants)
                worth[n, start : start + len(group)] += sign * (whole - logits) / 2
    total, covered = np.zeros(films.shape[1:2] + films.shape[-2:]), np.zeros(films.shape[-2:])
    for square, place in enumerate(squares):
        total[:, place[0], place[1]] += worth[:, square, None, None]
        covered[place] += 1
    return np.asarray(total / covered, np.float32)


def _squares(size: int) -> list[tuple[slice, slice]]:
    """Squares of a fifth of the side, and between them others, on the corners where four of the first meet."""
    edges = [round(size * at / SQUARES) for at in range(SQUARES + 1)]
    middles = [(one + other) // 2 for one, other in pairwise(edges)]
    lines = [[slice(*each) for each in pairwise(several)] for several in (edges, middles)]
    return [(down, across) for group in lines for down in group for across in group]
