"""Integrated Gradients (Sundararajan et al. 2017) over pixels and word embeddings together, through Captum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from captum.attr import Saliency
from torch import Tensor

from lingula.explanation.target import Floats, Target, blurred
from lingula_lab.explanation.gradient_target import GradientTarget

PIECES = 15
"""Equal pieces of the path at first."""
MOST = 97
"""Points of the path at which gradients may be taken in all."""
GOOD = 0.01
"""Completeness error at which no piece is halved any more."""
TOGETHER = 8
"""Points computed, and pieces halved, at once."""

Tensors = tuple[Tensor, ...]


def integrated_gradients(target: Target, *, good: float = GOOD, most: int = MOST) -> tuple[Floats, Floats, float]:
    """Signed attributions of the label's logit from the blurred films and a report of padding to the study as it is.

    The path is integrated by the trapezoid rule, piece by piece: on each the attributions must add up to the change of
    the logit, and the pieces that miss it most are halved until the whole does. From a blurred film, which keeps its
    grey levels, the path stays among pictures like those of training; from a black one the completeness error
    of as many steps is several times as large.
    Special tokens keep their embedding on the whole path, so that they carry exactly 0.

    Args:
        good: completeness error that is good enough. most: points at which gradients may be taken.

    Returns:
        pixels (N, S, S), tokens (T,), and the completeness error: |sum - (output - baseline output)| relative to the
        latter. A modality the mode does not read gets 0.
    """
    question = GradientTarget.of(target)
    model, batch = question.model, question.batch
    inputs = {"pixels": question.pixels, "words": question.words}
    padding = model.text_encoder.words(torch.full_like(batch.ids, target.checkpoint.tokenizer.pad)).detach()
    baselines = {
        "pixels": torch.from_numpy(blurred(target.pixels)),
        "words": torch.where(batch.word_mask[..., None], padding, inputs["words"]),
    }
    reads = {"image": ("pixels",), "text": ("words",), "joint": ("pixels", "words")}[target.mode]
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
    return pixels.numpy(), tokens.numpy(), error


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """On the path: the logit, its slope along the whole way, and what each input adds to that."""

    logit: float
    slope: float
    slopes: Tensors


class _Path:
    """The straight line from baselines to inputs, cut at places in [0, 1]."""

    def __init__(self, logit: Callable[..., Tensor], baselines: Tensors, inputs: Tensors) -> None:
        self._logit, self._baselines, self._inputs = logit, baselines, inputs
        self._gradients = Saliency(self._measured)
        self._heights: list[float] = []  # the logits of the last call
        self._points: dict[float, _Point] = {}

    def integrated(self, good: float, most: int) -> tuple[Tensors, float]:
        """The sum over all pieces, and how much of the change of the logit it misses, relative."""
        self._visit([i / PIECES for i in range(PIECES + 1)])
        while self._error() > good and len(self._points) < most:
            worst = sorted(self._pieces(), key=lambda piece: -abs(self._missed(*piece)))
            self._visit([(a + b) / 2 for a, b in worst[: min(TOGETHER, most - len(self._points))]])
        total = [torch.zeros_like(part) for part in self._inputs]
        for a, b in self._pieces():
            for at in (a, b):
                for part, slopes in zip(total, self._points[at].slopes, strict=True):
                    part += (b - a) / 2 * slopes
        return tuple(total), self._error()

    def _pieces(self) -> Sequence[tuple[float, float]]:
        return list(pairwise(sorted(self._points)))

    def _missed(self, a: float, b: float) -> float:
        """By how much the trapezoid misses the change of the logit on a piece."""
        low, high = self._points[a], self._points[b]
        return high.logit - low.logit - (b - a) / 2 * (low.slope + high.slope)

    def _error(self) -> float:
        change = self._points[1.0].logit - self._points[0.0].logit
        return abs(sum(self._missed(*piece) for piece in self._pieces())) / max(abs(change), 1e-6)

    def _visit(self, places: Sequence[float]) -> None:
        """Logit and gradient at these places of the path, ``TOGETHER`` in memory at once."""
        for start in range(0, len(places), TOGETHER):
            group = places[start : start + TOGETHER]
            points = tuple(part.requires_grad_() for part in self._at(group))
            found = self._gradients.attribute(points, abs=False)
            for row, (at, height) in enumerate(zip(group, self._heights, strict=True)):
                slopes = tuple(
                    gradient[row : row + 1].detach() * (end - begin)
                    for gradient, begin, end in zip(found, self._baselines, self._inputs, strict=True)
                )
                self._points[at] = _Point(height, sum(float(part.double().sum()) for part in slopes), slopes)

    def _measured(self, *moving: Tensor) -> Tensor:
        logits = self._logit(*moving)
        self._heights = logits.detach().tolist()
        return logits

    def _at(self, places: Sequence[float]) -> Tensors:
        """The path's points, one row a place."""
        share = torch.tensor(places)
        both = zip(self._baselines, self._inputs, strict=True)
        return tuple(b + share.view(-1, *[1] * (b.ndim - 1)) * (x - b) for b, x in both)
