"""Against hubs: where films ask and reports answer, or the other way, a few studies lie near to every question.

Half of how near a study lies to the questions nearest to it, of a bank of them, is taken off its cosine: cross-domain
similarity local scaling (CSLS, Conneau et al. 2018), up to what is the same for all answers, with a bank of training
studies in place of the questions of the day (Bogolin et al. 2022). Within one mode nothing is taken off.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingula.library.catalogue import Roster, Rows
from lingula.library.shipped_gallery import Bank
from lingula.retrieval.matching import Searched
from lingula.study import Mode

Vector = npt.NDArray[np.float32]

NEAREST = 50
"""Questions of the bank; chosen on validation among 5 to all of them."""
SHARE = 0.5
"""Of that nearness, taken off."""
_TOGETHER = 512


def across(asked: Mode, compared: Mode) -> bool:
    """Whether a question of one mode is compared with embeddings of the other."""
    return {asked, compared} == {"image", "text"}


def nearness(answers: Vector, bank: Vector) -> Vector:
    """Mean cosine of each answer with the ``NEAREST`` questions nearest to it: (N,) in [-1, 1].

    Args:
        answers: (N, D) of unit norm. bank: (M, D) of unit norm, M > 0.
    """
    near = min(NEAREST, len(bank))
    parts = [answers[start : start + _TOGETHER] @ bank.T for start in range(0, len(answers), _TOGETHER)]
    means = [np.partition(part, -near, 1)[:, -near:].mean(1) for part in parts]
    return np.concatenate(means).astype(np.float32) if means else np.zeros(0, np.float32)


def known_nearness(library: Searched, roster: Roster, rows: Rows, bank: Bank, mode: Mode) -> npt.NDArray[np.float64]:
    """``nearness`` of studies of a library that have an embedding of the mode, six decimals: (N,); what was found of a
    study is remembered until the next write.

    Args:
        rows: (N,) of the studies in the library's roster.
    """

    def make(study_ids: list[str]) -> npt.NDArray[np.float64]:
        vectors = library.vectors(study_ids, mode=mode)
        return nearness(np.stack([vectors[study] for study in study_ids]), bank.vectors).astype(np.float64).round(6)

    return library.numbers(("hubness", bank, mode), roster, rows, make)
