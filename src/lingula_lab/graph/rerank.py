"""Ranking with the graph's help: what is said of a query decides where it lies, so it needs no label of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def graph_similarity(queries: Doubles, gallery: Doubles, places: npt.NDArray[np.floating]) -> Doubles:
    """Cosine of where studies lie in the graph, (Q, G): the mean of the labels' places, by what is said of each.

    Args:
        queries, gallery: (Q, L), (G, L) *predicted* evidence for each label, such as standardised logits or
            probabilities. Never what somebody coded.
        places: (L, E).
    """
    directions = np.asarray(places, np.float64)
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    asked, found = (_unit(part @ directions) for part in (queries, gallery))
    return np.asarray(asked @ found.T, np.float64)


def rerank(scores: Doubles, similarity: Doubles, weight: float) -> Doubles:
    """Scores and graph similarity, each standardised within its query, mixed: ``weight`` 0 leaves the order as it was.

    Args:
        scores, similarity: (Q, G). weight: in [0, 1], chosen on validation.
    """
    return (1 - weight) * _standard(scores) + weight * _standard(similarity)


def _unit(vectors: Doubles) -> Doubles:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float64)


def _standard(values: Doubles) -> Doubles:
    return np.asarray((values - values.mean(1, keepdims=True)) / (values.std(1, keepdims=True) + 1e-12), np.float64)
