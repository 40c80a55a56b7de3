"""When does one study answer another: graded relevance from the labels of both.

A grade is the overlap of the *abnormal* labels of query and answer in per mille, a whole number, so that the qrels file
that other systems are scored with says exactly what our own tables use. 0: nothing shared. 1000: the same labels. That
both are normal is another question, asked of normal studies only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from lingula.labels.vocabulary import Vocabulary

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Grades = npt.NDArray[np.int64]

MILLE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class RelevanceRule:
    """A relevance rule.

    Attributes:
        name: stable (``jaccard``). about: in words.
        labels: (L,) bool, the labels that count; a query must have one of them.
        alike: (L, L) float64 in [0, 1], how alike two labels are; 1 on the diagonal.
        weights: (L,) float64, what a label counts.
    """

    name: str
    about: str
    labels: npt.NDArray[np.bool_]
    alike: Doubles
    weights: Doubles

    def asks(self, targets: Floats) -> npt.NDArray[np.bool_]:
        """Which studies can be queries, (N,)."""
        return np.asarray(targets[:, self.labels].any(1), np.bool_)

    def grades(self, queries: Floats, gallery: Floats) -> Grades:
        """Grades (Q, G) in per mille of complete targets (Q, L) and (G, L); at least 1 where anything is shared.

        Each label counts as much as the most alike label of the other study is like it; the mean of both sides' sums
        is divided by the sum over the union. Where labels are alike only to themselves, that is weighted Jaccard.
        """
        weights, alike = self.weights * self.labels, self.alike * self.labels
        asked, found = (np.asarray(part, np.float64) * self.labels for part in (queries, gallery))
        shared = ((asked * weights) @ _best(found, alike).T + _best(asked, alike) @ (found * weights).T) / 2
        union = (asked @ weights)[:, None] + found @ weights - (asked * weights) @ found.T
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        return np.where(overlap > 1e-12, np.maximum(np.rint(overlap * MILLE), 1), 0).astype(np.int64)


def rules(vocabulary: Vocabulary, train_targets: Floats) -> tuple[RelevanceRule, ...]:
    """The four tables' rules; inverse frequencies come from the training studies."""
    codes, size = vocabulary.codes, len(vocabulary)
    abnormal = np.array([code != vocabulary.normal for code in codes])
    frequency = (train_targets.sum(0) + 1) / (len(train_targets) + 1)
    plain, even = np.eye(size), np.ones(size)
    return (
        RelevanceRule("jaccard", "Grade: Jaccard overlap of the abnormal labels.", abnormal, plain, even),
        RelevanceRule(
            "idf",
            "Grade: Jaccard overlap of the abnormal labels, each weighted by ln(1 / share of training studies).",
            abnormal,
            plain,
            -np.log(frequency).astype(np.float64),
        ),
        RelevanceRule(
            "mesh",
            "Grade: overlap of the abnormal labels, where a label also counts for a relative: Wu-Palmer similarity in "
            "the MeSH 2015 tree. Relevant is a study with any label under a shared ancestor.",
            abnormal,
            tree_similarity(codes),
            even,
        ),
        RelevanceRule("normal", "Normal studies asking for normal studies; relevant or not.", ~abnormal, plain, even),
    )


def any_label(vocabulary: Vocabulary) -> RelevanceRule:
    """The lax rule of published tables: any shared label, normal included."""
    size = len(vocabulary)
    return RelevanceRule("any", "Relevant: any shared label.", np.ones(size, bool), np.eye(size), np.ones(size))


def tree_similarity(codes: Sequence[str]) -> Doubles:
    """Wu-Palmer similarity of labels in the MeSH tree, (L, L): 2 * depth of the deepest shared ancestor / both depths.

    The best pair of tree numbers counts; a label outside the tree is alike to itself only (Wu and Palmer 1994).
    """
    trees: dict[str, list[str]] = json.loads(resources.files(__package__).joinpath("mesh_trees.json").read_text())[
        "trees"
    ]

    def alike(one: str, other: str) -> float:
        if one == other:
            return 1.0
        pairs = ((a.split("."), b.split(".")) for a in trees.get(one, ()) for b in trees.get(other, ()))
        return max((2 * _shared(a, b) / (len(a) + len(b)) for a, b in pairs), default=0.0)

    return np.array([[alike(one, other) for other in codes] for one in codes])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def _best(targets: Doubles, alike: Doubles) -> Doubles:
    """For each study and label, how alike the study's most alike label is: (N, L)."""
    return np.asarray((targets[:, :, None] * alike[None]).max(1), np.float64)
