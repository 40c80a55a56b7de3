"""Integrated Gradients (Sundararajan et al. 2017) over pixels and word embeddings together, through Captum."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from lingula.explain.question import Question, blurred

NODES = 4
"""Gauss-Legendre nodes on each piece of the path."""
PIECES = 8
"""Pieces of the path at first."""
MOST = 28
"""Pieces that may be computed in all, the halves of others included."""
GOOD = 0.01
"""Completeness error at which no piece is halved any more."""

T = TypeVar("T")
Tensors = tuple[Tensor, ...]


def integrated_gradients(question: Question, *, good: float = GOOD, most: int = MOST) -> tuple[Tensor, Tensor, float]:
    """Signed attributions of the label's logit from the blurred films and a report of padding to the study as it is.

    The path is integrated piece by piece: on each the attributions must add up to the change of the logit, and the
    pieces that miss it most are halved until the whole does. From a blurred film, which keeps its grey levels, the path
    stays among pictures the model knows; from a black one a path of as many steps misses several times as much.
    Special tokens keep their embedding on the whole path, so that they carry exactly 0.

    Args:
        good: completeness error that is good enough. most: pieces of ``NODES`` gradients that may be computed.

    Returns:
        pixels (N, S, S), tokens (T,), and the completeness error: |sum - (output - baseline output)| relative to the
        latter. A modality the mode does not read gets 0.
    """
    model, batch = question.checkpoint.model, question.batch
    inputs = {"pixels": question.pixels, "words": question.words}
    padding = model.text_encoder.words(torch.full_like(batch.ids, question.checkpoint.tokenizer.pad)).detach()
    baselines = {
        "pixels": blurred(inputs["pixels"]),
        "words": torch.where(batch.word_mask[..., None], padding, inputs["words"]),
    }
    reads = {"image": ("pixels",), "text": ("words",), "joint": ("pixels", "words")}[question.mode]
    reads = tuple(name for name in reads if inputs[name].numel())

    def logit(*moving: Tensor) -> Tensor:
        rows = len(moving[0])
        given = dict(zip(reads, moving, strict=True))
        parts = (given.get(n, inputs[n].expand(rows, *inputs[n].shape[1:])) for n in ("pixels", "words"))
        return question.logit(*parts)

    path = _Path(logit, tuple(baselines[n] for n in reads), tuple(inputs[n] for n in reads))
    found, error = path.integrated(good, most)
    values = dict(zip(reads, found, strict=True))
    pixels = values.get("pixels", torch.zeros_like(inputs["pixels"]))[0, :, 0]
    tokens = values.get("words", torch.zeros_like(inputs["words"]))[0].sum(-1)
    return pixels, tokens, error


class _Path:
    """The straight line from baselines to inputs, cut into pieces [a, b] of [0, 1]."""

    def __init__(self, logit: Callable[..., Tensor], baselines: Tensors, inputs: Tensors) -> None:
        self._logit, self._baselines, self._inputs = logit, baselines, inputs
        self._gradients = IntegratedGradients(logit)
        self._heights: dict[float, float] = {}  # the logit at the ends of pieces
        self._pieces: dict[tuple[float, float], tuple[Tensors, float]] = {}  # attributions and what they miss

    def integrated(self, good: float, most: int) -> tuple[Tensors, float]:
        """The sum over all pieces, and how much of the change of the logit it misses, relative."""
        self._add([(i / PIECES, (i + 1) / PIECES) for i in range(PIECES)])
        computed = PIECES
        while self._error() > good and computed + 2 <= most:
            worst = sorted(self._pieces, key=lambda piece: -abs(self._pieces[piece][1]))
            halved = worst[: min(4, (most - computed) // 2)]
            halves = [half for a, b in halved for half in pairwise((a, (a + b) / 2, b))]
            self._add(halves)
            for piece in halved:
                del self._pieces[piece]
            computed += len(halves)
        parts = [attributions for attributions, _ in self._pieces.values()]
        return tuple(torch.stack(column).sum(0) for column in zip(*parts, strict=True)), self._error()

    def _error(self) -> float:
        change = self._heights[1.0] - self._heights[0.0]
        return abs(sum(missed for _, missed in self._pieces.values())) / max(abs(change), 1e-6)

    def _add(self, pieces: Sequence[tuple[float, float]]) -> None:
        for at in self._in_pairs([at for at in {x: None for p in pieces for x in p} if at not in self._heights]):
            with torch.no_grad():
                self._heights |= dict(zip(at, self._logit(*self._at(at)).tolist(), strict=True))
        for pair in self._in_pairs(pieces):
            starts, ends = zip(*pair, strict=True)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Setting .* with gradient")
                found = self._gradients.attribute(
                    self._at(ends), baselines=self._at(starts), n_steps=NODES, method="gausslegendre"
                )
            for row, (a, b) in enumerate(pair):
                own = tuple(part[row : row + 1].detach() for part in found)
                total = sum(float(part.double().sum()) for part in own)
                self._pieces[a, b] = own, self._heights[b] - self._heights[a] - total

    @staticmethod
    def _in_pairs(items: Sequence[T]) -> Iterator[Sequence[T]]:
        """Two at a time: eight pictures are in memory at once."""
        return (items[i : i + 2] for i in range(0, len(items), 2))

    def _at(self, places: Sequence[float]) -> Tensors:
        """The path's points, one row a place."""
        share = torch.tensor(places)
        both = zip(self._baselines, self._inputs, strict=True)
        return tuple(b + share.view(-1, *[1] * (b.ndim - 1)) * (x - b) for b, x in both)
