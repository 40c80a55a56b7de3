"""The weights of one relevance model (``lingula.retrieval.relevance``): validation studies ask the training gallery.

The weights of the score are searched for (precision and gain of studies with a finding, while normal studies keep
the normal neighbours that the embedding alone finds); those of the odds are a logistic regression on the pairs that
such a search shows first. Both see validation queries only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.library import ReadyGallery
from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula.retrieval.hubness import SHARE, nearness
from lingula.retrieval.judge import judge
from lingula.retrieval.relevance import COMPARED, LABEL_PARTS, Relevance, Weights, label_evidence, log_odds_of
from lingula.study import MODES, Mode
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.encode import EncodedPart, Reading, encode_part
from lingula_lab.measures.relevance import RelevanceRule, rules
from lingula_lab.measures.reliability import calibration_error

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Grades = npt.NDArray[np.int64]

READ: dict[Mode, Reading] = {"image": "image", "text": "report", "joint": "image_report"}
SHOWN, LEARNT = 5, 20
"""Answers by which a search is judged; answers of each query from which the odds are learnt."""
FOLDS = 5
RIDGE = 1e-5
MARGIN = 0.01
"""By which a chosen score must pass what the embedding alone gives normal studies, as another sample gives less."""
STEPS = {"own": (0.0, 0.2, 0.5), "label": (0.0, 0.25, 0.5, 1.0, 2.0), "normal": (0.0, 0.1, 0.2, 0.35, 0.6, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedStudies:
    """Studies that ask or answer: embeddings (N, D) and calibrated probabilities (N, L) by mode, targets (N, L)."""

    embeddings: Mapping[Mode, Floats]
    probabilities: Mapping[Mode, Doubles]
    targets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Queries against a gallery.

    Attributes:
        evidence: (Q, G, E). grades: (Q, G) overlap of abnormal labels in per mille; normal: (Q, G) both normal.
        asks, normals: (Q,) queries with an abnormal label that somebody shares; normal queries.
        plain: (Q, G), the cosine of the embedding alone.
    """

    evidence: Floats
    grades: Grades
    normal: Flags
    asks: Flags
    normals: Flags
    plain: Floats

    def of(self, queries: npt.NDArray[np.int64]) -> Pairs:
        fields = ("evidence", "grades", "normal", "asks", "normals", "plain")
        return replace(self, **{name: getattr(self, name)[queries] for name in fields})

    @property
    def relevant(self) -> Flags:
        return (self.grades > 0) | self.normal

    @classmethod
    def between(
        cls, queries: ComparedStudies, gallery: ComparedStudies, asked: Mode, reported: bool, vocabulary: Vocabulary,
        taken: Callable[[Mode], Floats],
    ) -> Pairs:  # fmt: skip
        """Every query with every study of the gallery.

        Args:
            reported: whether the gallery's labels and reports are known; else its labels are predicted from films.
            taken: what is taken off the cosine with this embedding of the gallery (G,), where film meets report.
        """
        known = gallery.targets.astype(np.float64) if reported else gallery.probabilities["image"]
        normal = vocabulary.codes.index(vocabulary.normal) if vocabulary.normal else None
        size = (len(queries.targets), len(gallery.targets))
        compared = COMPARED[asked, reported]
        evidence = np.empty((*size, len(compared) + len(LABEL_PARTS)), np.float32)
        for column, modes in enumerate(compared):
            mode = modes[0]
            evidence[:, :, column] = queries.embeddings[asked] @ gallery.embeddings[mode].T - taken(mode)
        for row, expected in enumerate(queries.probabilities[asked]):
            evidence[row, :, len(compared) :] = label_evidence(expected, known, normal)
        jaccard, _, _, both = rules(vocabulary, gallery.targets)
        grades = jaccard.grades(queries.targets, gallery.targets)
        plain = queries.embeddings[asked] @ gallery.embeddings[asked if reported else "image"].T
        return cls(
            evidence=evidence,
            grades=grades,
            normal=both.grades(queries.targets, gallery.targets) > 0,
            asks=_asks(jaccard, queries.targets, grades),
            normals=both.asks(queries.targets),
            plain=plain.astype(np.float32),
        )


def _asks(rule: RelevanceRule, targets: Floats, grades: Grades) -> Flags:
    return np.asarray(rule.asks(targets) & (grades > 0).any(1), np.bool_)


@dataclass(frozen=True, slots=True)
class Worth:
    """Of a ranking: P@5, nDCG@10 and any relevant in five of abnormal queries; normal neighbours of normal ones."""

    p5: float
    ndcg10: float
    any5: float
    normal: float

    @property
    def gain(self) -> float:
        return self.p5 + 3 * self.ndcg10


def worth(pairs: Pairs, scores: Floats) -> Worth:
    """What a ranking of a gallery is worth, scores (Q, G); ties as they come."""
    top = np.argpartition(-scores, 9, 1)[:, :10]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), 1, kind="stable"), 1)
    grades = np.take_along_axis(pairs.grades, top, 1)[pairs.asks]
    ideal = -np.sort(-np.partition(pairs.grades[pairs.asks], -10, 1)[:, -10:], 1)
    discounts = 1 / np.log2(np.arange(2, 12))
    normal = np.take_along_axis(pairs.normal, top, 1)[pairs.normals][:, :SHOWN]
    return Worth(
        p5=float((grades[:, :SHOWN] > 0).mean()),
        ndcg10=float(((grades * discounts).sum(1) / (ideal * discounts).sum(1)).mean()),
        any5=float((grades[:, :SHOWN] > 0).any(1).mean()),
        normal=float(normal.mean()),
    )


def best_score(pairs: Pairs) -> tuple[float, ...]:
    """Weights of the score: most gain, with no less for normal studies than the embedding alone gives, nor fewer
    queries with any relevant answer among the first."""
    floor = worth(pairs, pairs.plain)
    embeddings = pairs.evidence.shape[2] - len(LABEL_PARTS)

    def loss(weights: Sequence[float]) -> float:
        now = worth(pairs, pairs.evidence @ np.array(weights, np.float32))
        short = max(0.0, floor.normal + MARGIN - now.normal) + max(0.0, floor.any5 - now.any5)
        return -now.gain + 10 * short

    starts = [(*own, 1.0) for own in product(STEPS["own"], repeat=embeddings - 1)]
    grid = [
        (*start, shared, overlap, normal)
        for start, shared, overlap, normal in product(starts, STEPS["label"], STEPS["label"], STEPS["normal"])
    ]
    best = min(grid, key=loss)
    return _refined(best, loss, embeddings - 1)


def _refined(best: tuple[float, ...], loss: Callable[[Sequence[float]], float], fixed: int) -> tuple[float, ...]:
    """One weight after the other a little more or less, as long as that helps; the one at ``fixed`` is the unit."""
    least = loss(best)
    for _ in range(2):
        for column in (each for each in range(len(best)) if each != fixed):
            for value in _around(best[column]):
                changed = (*best[:column], value, *best[column + 1 :])
                if (now := loss(changed)) < least - 1e-9:
                    best, least = changed, now
    return best


def _around(value: float) -> Iterator[float]:
    for factor in (0.6, 0.8, 1.25, 1.6):
        yield round(factor * (value or 0.1), 3)


def fit_odds(pairs: Pairs, score: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """Logistic regression, weights at least 0, on the first ``LEARNT`` answers of each query."""
    evidence, relevant = _first(pairs, score, LEARNT)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        log_odds = evidence @ weights[:-1] + weights[-1]
        error = 1 / (1 + np.exp(-log_odds)) - relevant
        value = np.logaddexp(0, log_odds).mean() - (relevant * log_odds).mean() + RIDGE * (weights[:-1] ** 2).sum()
        slope = np.append(evidence.T @ error / len(error) + 2 * RIDGE * weights[:-1], error.mean())
        return float(value), slope

    count = evidence.shape[1]
    bounds = [(0.0, None)] * count + [(None, None)]
    found = minimize(loss, np.append(np.ones(count), -1.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    return tuple(round(float(value), 4) for value in found[:-1]), round(float(found[-1]), 4)


def _first(pairs: Pairs, score: Sequence[float], k: int) -> tuple[Doubles, Doubles]:
    """Evidence (Q * k, E) on the first k answers of each query, and whether each is relevant."""
    scores = pairs.evidence @ np.array(score, np.float32)
    top = np.argsort(-scores, 1, kind="stable")[:, :k]
    evidence = np.take_along_axis(pairs.evidence, top[:, :, None], 1).reshape(-1, pairs.evidence.shape[2])
    return evidence.astype(np.float64), np.take_along_axis(pairs.relevant, top, 1).ravel().astype(np.float64)


def fit_weights(pairs: Pairs) -> Weights:
    score = best_score(pairs)
    odds, offset = fit_odds(pairs, score)
    return Weights(tuple(round(value, 4) for value in score), odds, offset)


def cross_fitted(pairs: Pairs, seed: int) -> dict[str, float]:
    """What the fit is worth on queries that it did not see: means over ``FOLDS`` parts, and the odds' calibration."""
    fold = np.random.default_rng(seed).permutation(len(pairs.asks)) % FOLDS
    values, odds, relevant = [], [], []
    for part in range(FOLDS):
        weights, rest = fit_weights(pairs.of(np.flatnonzero(fold != part))), pairs.of(np.flatnonzero(fold == part))
        found = worth(rest, rest.evidence @ np.array(weights.score, np.float32))
        counts = (rest.asks.sum(), rest.asks.sum(), rest.asks.sum(), rest.normals.sum())
        values.append([(found.p5, found.ndcg10, found.any5, found.normal), counts])
        evidence, truth = _first(rest, weights.score, SHOWN)
        odds.append(1 / (1 + np.exp(-log_odds_of(weights, evidence))))
        relevant.append(truth)
    table = np.array(values)  # (F, 2, 4)
    means = (table[:, 0] * table[:, 1]).sum(0) / table[:, 1].sum(0)
    told, truth = np.concatenate(odds), np.concatenate(relevant)
    error = calibration_error(told, truth, np.ones((1, len(told))))[0]
    names = ("p5", "ndcg10", "any5", "normal")
    return {name: round(float(v), 4) for name, v in zip(names, means, strict=True)} | {
        "odds_ece": round(float(error), 4)
    }


def fit_relevance(
    model: str, vocabulary: Vocabulary, queries: ComparedStudies, gallery: ComparedStudies,
    hub: Callable[[Mode, Mode], Floats],
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Relevance:  # fmt: skip
    """All weights for one checkpoint.

    Args:
        queries: validation studies. gallery: training studies.
        hub: nearness (G,) of the gallery in the second mode to the questions of the first.
    """
    weights: dict[tuple[Mode, bool], Weights] = {}
    about: dict[str, Any] = {}
    for done, (asked, reported) in enumerate(COMPARED):
        progress(done, len(COMPARED))

        def taken(mode: Mode, asked: Mode = asked) -> Floats:
            across = {asked, mode} == {"image", "text"}
            return SHARE * hub(asked, mode) if across else np.zeros(len(gallery.targets), np.float32)

        pairs = Pairs.between(queries, gallery, asked, reported, vocabulary, taken)
        weights[asked, reported] = fit_weights(pairs)
        alone = worth(pairs, pairs.plain)
        about[f"{asked}, {'with' if reported else 'without'} reports"] = {
            "embedding_alone": {name: round(getattr(alone, name), 4) for name in ("p5", "ndcg10", "any5", "normal")},
            "cross_fitted": cross_fitted(pairs, seed),
        }
    counts: dict[str, Any] = {"queries": len(queries.targets), "gallery": len(gallery.targets), "seed": seed}
    return Relevance(model, weights, counts | about)


def fit_from_study_set(
    checkpoint: Checkpoint, data: StudySet, split: Split, encoded: Path, *, seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Relevance:  # fmt: skip
    """The weights for a checkpoint; validation studies are encoded once and kept in ``encoded``.

    Args:
        progress: called with (studies encoded, or weights fitted; of how many).

    Raises:
        InputError: ``bad_request`` where no gallery ships with the checkpoint, or films do not fit it.
    """
    ready = ReadyGallery.of(checkpoint.fingerprint)
    if ready is None:
        message = f"No gallery ships with model {checkpoint.fingerprint}."
        raise InputError("bad_request", message, "Make it first: lingula gallery.")
    part = encode_part(checkpoint, data, split, "validation", encoded, progress)
    return fit_relevance(
        checkpoint.fingerprint, checkpoint.vocabulary, queries_of(checkpoint, data, part),
        gallery_studies(checkpoint, ready), partial(hub_of, ready), seed, progress,
    )  # fmt: skip


def queries_of(checkpoint: Checkpoint, data: StudySet, part: EncodedPart) -> ComparedStudies:
    """The coded studies of a part, as they ask."""
    targets = data.labels[part.rows]
    coded = ~np.isnan(targets).any(1)
    return ComparedStudies(
        {mode: part.embeddings[reading][coded] for mode, reading in READ.items()},
        {
            mode: checkpoint.calibration[mode].probabilities(part.logits[reading][coded].astype(np.float64))
            for mode, reading in READ.items()
        },
        targets[coded],
    )


def gallery_studies(checkpoint: Checkpoint, ready: ReadyGallery) -> ComparedStudies:
    """The studies of a gallery, as they answer: sorted by id; an embedding that one lacks is 0."""
    ids = sorted(ready.matching())
    labels = ready.summaries(ids)
    targets = np.array([[code in labels[s].labels for code in checkpoint.vocabulary.codes] for s in ids], np.float32)
    vectors = {mode: _stacked(ready, ids, mode) for mode in MODES}
    judged = judge(checkpoint)
    assert judged is not None  # there is a gallery
    probabilities = np.asarray(judged.probabilities(vectors["image"]), np.float64)
    return ComparedStudies(vectors, {"image": probabilities}, targets)


def hub_of(ready: ReadyGallery, asked: Mode, mode: Mode) -> Floats:
    """How near each study of a gallery lies, in one mode, to the gallery's own questions in another: (G,)."""
    ids = sorted(ready.matching())
    bank = _stacked(ready, ids, asked)
    return nearness(_stacked(ready, ids, mode), bank[bank.any(1)])


def _stacked(ready: ReadyGallery, ids: Sequence[str], mode: Mode) -> Floats:
    held, nothing = ready.vectors(ids, mode), np.zeros(ready.about.dimension, np.float32)
    return np.stack([held.get(study, nothing) for study in ids])
