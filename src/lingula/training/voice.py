"""What words say by themselves, in closed form: a logistic regression a label on the words and markers of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from lingula.models.study_model import StudyModel
from lingula.models.text import Tokens


def bag_of_words(tokens: Sequence[Tokens | None], vocabulary: int) -> csr_matrix:
    """(N, V) of 0 and 1: which words and markers each report has."""
    found = [sorted({i for i, word in zip(t.ids, t.is_word, strict=True) if word}) if t else [] for t in tokens]
    ends = np.cumsum([0, *map(len, found)])
    columns = np.array([i for words in found for i in words], np.int64)
    return csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(found), vocabulary))


@torch.no_grad()
def solve_voices(
    model: StudyModel,
    tokens: Sequence[Tokens | None],
    labels: npt.NDArray[np.floating],
    strength: float,
    share: float,
) -> None:
    """Set ``model.voice`` so that in text mode the head reads the sum of a regression on single words and ``share`` of
    what it read before.

    Each word's place in the joint space is the smallest that gives the head its coefficients.

    Args:
        tokens: N reports, or None. labels: (N, L) in {0, 1, NaN}.
        strength: inverse of the L2 penalty, > 0. share: in [0, 1].

    Raises:
        ValueError: when the model's words have no voice.
    """
    from sklearn.linear_model import LogisticRegression

    if model.voice is None:
        raise ValueError("the architecture gives words no voice")
    bag = bag_of_words(tokens, model.voice.num_embeddings)
    coefficients = np.zeros((labels.shape[1], bag.shape[1]))
    for label, goal in enumerate(labels.T):
        known = ~np.isnan(goal)
        if 0 < goal[known].sum() < known.sum():
            fitted = LogisticRegression(C=strength, solver="liblinear", max_iter=200).fit(bag[known], goal[known])
            coefficients[label] = fitted.coef_[0]
    places = torch.linalg.pinv(model.head.weight.double()) @ torch.from_numpy(coefficients)  # (D, V)
    model.voice.weight.copy_(places.T)
    model.text_projector.weight.mul_(share)
    model.text_projector.bias.mul_(share)
