"""Relevance feedback: a question moved toward some studies and away from others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError

Vector = npt.NDArray[np.float32]

BETA, GAMMA = 0.75, 0.15
"""Weights of what to be more and less like (Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval,
section 9.1.1)."""


def moved(vector: Vector, more: Mapping[str, Vector], less: Mapping[str, Vector]) -> Vector:
    """Rocchio's query (1971): ``q + BETA * mean(more) - GAMMA * mean(less)``, of unit norm again.

    Args:
        vector: (D,) unit norm. more, less: embeddings by study id; neither leaves the vector as it is.

    Raises:
        InputError: ``bad_request`` when nothing is left, as when a study is both.
    """
    if not more and not less:
        return vector
    result = vector.astype(np.float64)
    for weight, studies in ((BETA, more), (-GAMMA, less)):
        if studies:
            result = result + weight * np.mean(list(studies.values()), axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(result))
    if norm < 1e-6:
        raise InputError("bad_request", "the studies to be like and unlike cancel out.")
    return (result / norm).astype(np.float32)
