"""How likely a study answers a study: one model of relevance over image, report and labels.

Two studies are relevant to each other when they share an abnormal label, or when both are normal. What is known of a
pair: how near their embeddings lie (``retrieval.hubness`` taken off where film meets report), and how the labels
expected of the asked study meet those known of the other. Every weight is at least 0, so more evidence never lowers a
score. One JSON file a checkpoint in ``relevances/``, named after its fingerprint; ``lingula relevance`` of the
laboratory fits it on validation studies that ask the gallery of training studies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import ModelError
from lingula.retrieval.hubness import SHARE
from lingula.study import MODES, Mode, PartName

FOLDER = Path(__file__).parent / "relevances"
LEAST = 0.3
"""Odds of the best answer below which nothing in the library is like the asked study."""

Doubles = npt.NDArray[np.float64]
Compared = tuple[Mode, float, float | None]
"""Mode, cosine, and nearness to the questions of the bank where film meets report."""

COMPARED: Mapping[tuple[Mode, bool], tuple[tuple[Mode, ...], ...]] = {
    ("image", True): (("image",), ("text",)),
    ("image", False): (("image",),),
    ("text", True): (("text",),),
    ("text", False): (("image",),),
    ("joint", True): (("joint", "text"),),
    ("joint", False): (("image",),),
}
"""By the mode that asks and whether the other study has a report: what is compared, each the first embedding that the
study has. The first weight is that of the first, the second that of the second."""
LABEL_PARTS: tuple[PartName, ...] = ("shared", "overlap", "normal")


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the evidence on a pair.

    Attributes:
        score: of the embeddings compared, then of ``LABEL_PARTS``; the score is the weighted sum.
        odds: in the same order, and ``offset``: the log-odds that the pair is relevant.
    """

    score: tuple[float, ...]
    odds: tuple[float, ...]
    offset: float


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """The weights fitted for one checkpoint.

    Attributes:
        model: its fingerprint. weights: by the mode that asks and whether the other study has a report.
        about: on what it was fitted and what it is worth there, plain data.
    """

    model: str
    weights: Mapping[tuple[Mode, bool], Weights]
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path = FOLDER) -> Path:
        """Write ``<fingerprint>.json``; those of other checkpoints in the folder are left."""
        rows = [
            {"asked": asked, "reported": reported, **asdict(weights)}
            for (asked, reported), weights in self.weights.items()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.model}.json"
        body = {"format": 1, "model": self.model, "weights": rows, "about": self.about}
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        return path


@cache
def relevance_of(model: str, folder: Path = FOLDER) -> Relevance | None:
    """The relevance model fitted for a checkpoint, by its fingerprint; None where there is none.

    Raises:
        ModelError: ``model_bad_file`` for a file that is damaged or holds a weight below 0, ``model_mismatch`` for one
            that was fitted for another checkpoint.
    """
    path = folder / f"{model}.json"
    if not model or not path.is_file():
        return None
    try:
        body = json.loads(path.read_text("utf-8"))
        weights = {(row["asked"], bool(row["reported"])): _weights(row) for row in body["weights"]}
        if set(weights) != set(COMPARED):
            raise ValueError("it lacks weights")
        found = Relevance(str(body["model"]), weights, body["about"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("model_bad_file", f"{path} is damaged: {error!r}.", "Install lingula again.") from error
    if found.model != model:
        raise ModelError("model_mismatch", f"{path} was fitted for model {found.model}, not for {model}.")
    return found


def _weights(row: Mapping[str, Any]) -> Weights:
    score, odds = (tuple(float(value) for value in row[name]) for name in ("score", "odds"))
    count = len(COMPARED[row["asked"], bool(row["reported"])]) + len(LABEL_PARTS)
    if row["asked"] not in MODES or not len(score) == len(odds) == count or min(*score, *odds) < 0:
        raise ValueError(f"weights {score}, {odds}")
    return Weights(score, odds, float(row["offset"]))


def label_evidence(expected: Doubles, labels: Doubles, normal: int | None) -> Doubles:
    """How the labels expected of the asked study meet those of others: (N, 3), in the order of ``LABEL_PARTS``.

    Shared: the probability that at least one abnormal label is present in both, were labels independent. Overlap: the
    expected number of shared abnormal labels over that of either (Jaccard). Normal: the probability that both are.

    Args:
        expected: (L,) probabilities of the asked study. labels: (N, L) of the others, 0 or 1 where they are known.
        normal: column of the label of studies without a finding; None where the vocabulary has none.
    """
    abnormal = np.arange(len(expected)) != normal
    asked, found = expected[abnormal], labels[:, abnormal]
    both = found * asked
    shared = 1 - np.prod(1 - both, 1)
    union = asked.sum() + found.sum(1) - both.sum(1)
    overlap = np.divide(both.sum(1), union, out=np.zeros(len(labels)), where=union > 0)
    alike = np.zeros(len(labels)) if normal is None else expected[normal] * labels[:, normal]
    return np.stack([shared, overlap, alike], 1)


def log_odds_of(weights: Weights, evidence: Doubles) -> Doubles:
    """(N,) log-odds that pairs with this evidence (N, E) are relevant."""
    return np.asarray(evidence @ np.array(weights.odds) + weights.offset, np.float64)


def weighed(
    score: Sequence[float], compared: Sequence[Compared | None], labels: Sequence[float]
) -> Iterator[tuple[PartName, float, float]]:
    """What each piece of evidence is, its weight and its value; those of weight 0 are left out.

    Args:
        score: ``Weights.score``. compared: in the order of ``COMPARED``, None for what the study lacks.
        labels: 3 of ``label_evidence``.
    """
    for weight, each in zip(score, compared, strict=False):
        if each is not None and weight:
            mode, cosine, hub = each
            yield mode, weight, cosine
            if hub is not None:
                yield "hub", -SHARE * weight, hub
    for name, weight, value in zip(LABEL_PARTS, score[-len(LABEL_PARTS) :], labels, strict=True):
        if weight:
            yield name, weight, value
