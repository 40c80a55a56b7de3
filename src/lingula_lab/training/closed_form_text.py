"""Word terms in closed form: for labels by logistic regression on the words and markers of a report, for
wording by latent semantic analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from lingula.model.tokenizer import Tokens
from lingula_lab.model.study_model import StudyModel

RAREST = 5
"""Reports that must have a word before it counts as wording."""
WORDING_SCALE = 0.5
"""Scale of the wording against that of the states: at 1 reports with other findings in like words become neighbours."""


def bag_of_words(tokens: Sequence[Tokens | None], vocabulary: int) -> csr_matrix:
    """(N, V) of 0 and 1: which words and markers each report has."""
    found = [sorted({i for i, word in zip(t.ids, t.is_word, strict=True) if word}) if t else [] for t in tokens]
    ends = np.cumsum([0, *map(len, found)])
    columns = np.array([i for words in found for i in words], np.int64)
    return csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(found), vocabulary))


@torch.no_grad()
def solve_word_terms(
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
        ValueError: when the model has no word terms.
    """
    from sklearn.linear_model import LogisticRegression

    word_terms = _word_terms_of(model)
    bag = bag_of_words(tokens, word_terms.num_embeddings)
    coefficients = np.zeros((labels.shape[1], bag.shape[1]))
    for label, goal in enumerate(labels.T):
        known = ~np.isnan(goal)
        if 0 < goal[known].sum() < known.sum():
            fitted = LogisticRegression(C=strength, solver="liblinear", max_iter=200).fit(bag[known], goal[known])
            coefficients[label] = fitted.coef_[0]
    places = torch.linalg.pinv(model.head.weight.double()) @ torch.from_numpy(coefficients)  # (D, V)
    word_terms.weight.copy_(places.T)
    model.text_projector.weight.mul_(share)
    model.text_projector.bias.mul_(share)


@torch.no_grad()
def solve_wording(model: StudyModel, tokens: Sequence[Tokens | None], states: Tensor, components: int) -> Tensor:
    """Add to the word terms (``model.voice``) how reports are worded, which differs where findings are the
    same.

    Latent semantic analysis (Deerwester et al. 1990): the principal components of which words and markers each report
    has, weighted by inverse document frequency, all components at one scale. Each is placed in a direction of
    the joint space that the head does not read, those first in which reports differ least so far. Logits in
    text mode stay as they are; what an image path solved from the new states gains is an aim beyond labels.

    Args:
        tokens: N reports, or None. states: (N, D) theirs, in text mode.
        components: how many, at most D less the labels. Together they have ``WORDING_SCALE`` times the scale of the
            states: their root mean square distance from the mean.

    Returns:
        those directions, (D, components), orthonormal.

    Raises:
        ValueError: when the model has no word terms, or the space too few dimensions.
    """
    word_terms = _word_terms_of(model)
    labels, dimension = model.head.weight.shape
    if not 0 < components <= dimension - labels:
        raise ValueError(f"{components} components do not fit beside {labels} labels in {dimension} dimensions")
    bag = torch.from_numpy(bag_of_words(tokens, word_terms.num_embeddings).toarray())
    having = bag.sum(0)
    rarity = (len(bag) / having.clamp(min=1)).log() * (having >= RAREST)
    weighted = bag * rarity
    weighted -= weighted.mean(0)
    spread, axes = torch.linalg.eigh(weighted.T @ weighted / len(bag))  # ascending
    spread, axes = spread[-components:].flip(0), axes[:, -components:].flip(1)
    places = axes * rarity[:, None] / (spread * components).sqrt()  # (V, components): root mean square 1 in all
    places[:, spread < 1e-6 * spread[0]] = 0  # fewer reports than components
    own = (states - states.mean(0)).double()
    unread = torch.linalg.svd(model.head.weight.double()).Vh[labels:].T  # (D, D - L)
    _, directions = torch.linalg.eigh(unread.T @ own.T @ own @ unread)  # ascending
    quiet: Tensor = unread @ directions[:, :components]
    scale = WORDING_SCALE * own.square().sum(1).mean().sqrt()
    word_terms.weight.add_((scale * places @ quiet.T).to(word_terms.weight.dtype))
    return quiet.to(states.dtype)


def _word_terms_of(model: StudyModel) -> nn.Embedding:
    if model.voice is None:
        raise ValueError("the architecture gives words no terms")
    return model.voice
