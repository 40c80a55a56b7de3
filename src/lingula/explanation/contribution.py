"""What each patch and word adds to a label's logit. Exact, because pooling and head are sums."""

from __future__ import annotations

import numpy as np

from lingula.explanation.target import Floats, Target


def contribution(question: Target) -> tuple[Floats, Floats, float]:
    """Signed shares of a label's logit by patch and word, beyond what the average film has at the same place.

    The logit is the head's bias plus the sum over all tokens of ``head · contribution``. From the patches' part the
    average film (``Checkpoint.average_film``) is subtracted, so that what every film shows, a heart on the
    left, is no evidence; the shares then sum to the logit's distance from that of the average film (with no
    report).

    Returns:
        patches (N, P), words (T,), and the completeness error: |sum - distance| relative to the distance.
    """
    model, output = question.checkpoint.model, question.trace()
    shares = output.contributions[0] @ model.head_weight[question.label]  # (1 + V*P + 1 + T,)
    films, tokens = question.films, question.tokens
    average = average_shares_of(question, films)[:, question.label]
    patches = shares[1 : 1 + films * model.patches].reshape(films, model.patches) - average
    words = shares[len(shares) - tokens :]
    distance = float(output.logits[0, question.label] - model.head_bias[question.label] - average.sum())
    error = abs(float(patches.sum(dtype=np.float64) + words.sum(dtype=np.float64)) - distance)
    return np.asarray(patches, np.float32), words, error / max(abs(distance), 1e-6)


def average_shares_of(question: Target, films: int) -> Floats:
    """(films, L, P): what the checkpoint's average film of each view adds to each logit, shared among films and
    modalities as the state is; 0 for a checkpoint that keeps none."""
    checkpoint = question.checkpoint
    if checkpoint.average_film is None or not films:
        return np.zeros((films, checkpoint.model.architecture.labels, checkpoint.model.patches), np.float32)
    shared = np.float32(films * (2 if question.mode == "joint" else 1))
    return np.asarray(checkpoint.average_film[question.batch.views] / shared)
