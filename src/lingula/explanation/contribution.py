"""What each patch and word adds to a label's logit. Exact, because pooling and head are sums."""

from __future__ import annotations

import torch
from torch import Tensor

from lingula.explanation.target import Target


@torch.no_grad()
def contribution(question: Target) -> tuple[Tensor, Tensor, float]:
    """Signed shares of a label's logit by patch and word, beyond what the average film has at the same place.

    The logit is the head's bias plus the sum over all tokens of ``head · contribution``. From the patches' part the
    average film (``usual`` of the checkpoint) is subtracted, so that what every film shows, a heart on the
    left, is no evidence; the shares then sum to the logit's distance from that of the average film (with no
    report).

    Returns:
        patches (N, P), words (T,), and the completeness error: |sum - distance| relative to the distance.
    """
    model, batch = question.checkpoint.model, question.batch
    output = question.forward(question.pixels, question.words)
    shares = model.contributions(output.fused)[0] @ model.head.weight[question.label]  # (1 + V*P + 1 + T,)
    films = len(batch.pixels) if question.mode != "text" else 0
    tokens = batch.ids.shape[1] if question.mode != "image" else 0
    usual = usual_shares_of(question, films)[:, question.label]
    patches = shares[1 : 1 + films * model.patches].view(films, model.patches) - usual
    words = shares[len(shares) - tokens :]
    distance = float(output.logits[0, question.label] - model.head.bias[question.label] - usual.sum())
    error = abs(float(patches.double().sum() + words.double().sum()) - distance)
    return patches, words, error / max(abs(distance), 1e-6)


def usual_shares_of(question: Target, films: int) -> Tensor:
    """(films, L, P): what the checkpoint's average film of each view adds to each logit, shared among films and
    modalities as the state is; 0 for a checkpoint that keeps none."""
    checkpoint = question.checkpoint
    if checkpoint.usual is None or not films:
        return torch.zeros(films, checkpoint.model.architecture.labels, checkpoint.model.patches)
    usual = torch.from_numpy(checkpoint.usual)[question.batch.views]
    return usual / (films * (2 if question.mode == "joint" else 1))
