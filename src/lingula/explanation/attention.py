"""Cross-modal attention as evidence: which patches the words read, which words the patches read."""

from __future__ import annotations

import torch
from torch import Tensor

from lingula.explanation.target import Target


@torch.no_grad()
def attention(question: Target) -> tuple[Tensor, Tensor]:
    """Attention of the last fusion layer, mean over heads, weighted by what each reader says for the label.

    The weight of an attending token is the positive part of its contribution to the label's logit, so that
    two labels need not share a map. Without a report only the token for the missing report attends to the
    image, and the map is the same for all labels.

    Returns:
        patches (N, P) and words (T,), non-negative, each summing to 1 where its modality is present. Padding and
        special tokens are exactly 0.
    """
    model = question.checkpoint.model
    output = question.forward(question.pixels, question.words)
    fused = output.fused
    voice = (model.contributions(fused)[0] @ model.head.weight[question.label]).clamp(min=0)  # (1 + V*P + 1 + T,)
    images = fused.image.shape[1]
    to_patches = fused.text_to_image[-1][0].mean(0)  # (1 + T, 1 + V*P)
    to_words = fused.image_to_text[-1][0].mean(0)  # (1 + V*P, 1 + T)
    patches = _weighted(to_patches, voice[images:], fused.text_mask[0])[1:]
    words = _weighted(to_words, voice[:images], fused.image_mask[0])[1:]
    films = len(question.batch.pixels) if question.mode != "text" else 0
    tokens = question.batch.ids.shape[1] if question.mode != "image" else 0
    return _unit(patches[: films * model.patches]).reshape(films, model.patches), _unit(words[:tokens])


def _weighted(weights: Tensor, voice: Tensor, mask: Tensor) -> Tensor:
    """Mean row of ``weights`` by the attending tokens' shares; plain mean over those present where all are
    0."""
    voice = voice * mask
    if voice.sum() <= 0:
        voice = mask.float()
    return (voice[:, None] * weights).sum(0)


def _unit(values: Tensor) -> Tensor:
    return values / values.sum().clamp(min=1e-12)
