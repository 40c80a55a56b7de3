"""Integrated Gradients (Sundararajan et al. 2017) over pixels and word embeddings together, through Captum."""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from lingula.explain.question import Question

STEPS = 32
"""Gauss-Legendre nodes on the path from the baseline."""


def integrated_gradients(question: Question, steps: int = STEPS) -> tuple[Tensor, Tensor, float]:
    """Signed attributions of the label's logit from a black film and a report of padding to the study as it is.

    Special tokens keep their embedding on the whole path, so that they carry exactly 0.

    Returns:
        pixels (N, S, S), tokens (T,), and the completeness error: |sum - (output - baseline output)| relative to the
        latter. A modality the mode does not read gets 0.
    """
    model, batch = question.checkpoint.model, question.batch
    preprocessing = model.architecture.preprocessing
    inputs = {"pixels": question.pixels, "words": question.words}
    black = torch.full_like(inputs["pixels"], -preprocessing.mean / preprocessing.std)
    padding = model.text_encoder.words(torch.full_like(batch.ids, question.checkpoint.tokenizer.pad)).detach()
    blank = torch.where(batch.word_mask[..., None], padding, inputs["words"])
    reads = {"image": ("pixels",), "text": ("words",), "joint": ("pixels", "words")}[question.mode]
    reads = tuple(name for name in reads if inputs[name].numel())
    baselines = {"pixels": black, "words": blank}

    def logit(*moving: Tensor) -> Tensor:
        rows = len(moving[0])
        given = dict(zip(reads, moving, strict=True))
        parts = (given.get(n, inputs[n].expand(rows, *inputs[n].shape[1:])) for n in ("pixels", "words"))
        return question.logit(*parts)

    found = IntegratedGradients(logit).attribute(
        tuple(inputs[n] for n in reads),
        baselines=tuple(baselines[n] for n in reads),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=8,
    )
    values = dict(zip(reads, (part.detach() for part in found), strict=True))
    with torch.no_grad():
        change = float(logit(*(inputs[n] for n in reads)) - logit(*(baselines[n] for n in reads)))
    total = float(sum(part.double().sum() for part in values.values()))
    pixels = values.get("pixels", torch.zeros_like(inputs["pixels"]))[0, :, 0]
    tokens = values.get("words", torch.zeros_like(inputs["words"]))[0].sum(-1)
    return pixels, tokens, abs(total - change) / max(abs(change), 1e-6)
