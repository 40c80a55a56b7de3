"""Cross-modal attention as evidence: which patches the words read, which words the patches read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingula.explanation.target import Floats, Target


def attention(question: Target) -> tuple[Floats, Floats]:
    """Attention of the last fusion layer, mean over heads, weighted by what each reader says for the label.

    The weight of an attending token is the positive part of its contribution to the label's logit, so that
    two labels need not share a map. Without a report only the token for the missing report attends to the
    image, and the map is the same for all labels.

    Returns:
        patches (N, P) and words (T,), non-negative, each summing to 1 where its modality is present. Padding and
        special tokens are exactly 0.
    """
    model = question.checkpoint.model
    encoded = question.encoded(question.pixels)
    found = model.trace(encoded)
    if found.image_to_text is None or found.text_to_image is None:
        return np.zeros((question.films, model.patches), np.float32), np.zeros(question.tokens, np.float32)
    support = np.maximum(found.contributions[0] @ model.head_weight[question.label], 0)  # (1 + V*P + 1 + T,)
    images = 1 + encoded.image.shape[1]
    to_patches = found.text_to_image[0].mean(0)  # (1 + T, 1 + V*P)
    to_words = found.image_to_text[0].mean(0)  # (1 + V*P, 1 + T)
    patches = _weighted(to_patches, support[images:], encoded.text_mask[0])[1:]
    words = _weighted(to_words, support[:images], encoded.image_mask[0])[1:]
    maps = _unit(patches[: question.films * model.patches]).reshape(question.films, model.patches)
    return maps, _unit(words[: question.tokens])


def _weighted(weights: Floats, support: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Mean row of ``weights`` by the attending tokens' shares; plain mean over those present where all are 0.

    ``mask`` lacks the stand-in, the first of the attending tokens, which attends where no other does.
    """
    present = np.concatenate([[not mask.any()], mask])
    support = support * present
    if support.sum() <= 0:
        support = present.astype(np.float32)
    return np.asarray((support[:, None] * weights).sum(0), np.float32)


def _unit(values: Floats) -> Floats:
    return np.asarray(values / max(float(values.sum()), 1e-12), np.float32)
