"""Are a neighbour's odds miscalibrated, or is the error what chance leaves? On validation queries alone.

    python benchmarks/odds.py STUDY_SET ENCODED

Validation studies ask the training gallery by their films; odds are fitted on four fifths of the queries and told of
the first five answers of the rest (five draws of the parts). Beside the way that ships: the same with an isotonic curve
on top, with squares of the label evidence, and with what is expected of the asked study alone. The floor is the
calibration error of odds that are right by construction: answers drawn from the odds themselves, independent, or half
of them with one draw for all five of a query. ENCODED is the folder ``lingula relevance --encoded`` keeps. A minute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from lingula.library import ReadyGallery
from lingula.model.checkpoint import load_checkpoint
from lingula.openi.splits import Split
from lingula.retrieval.hubness import SHARE
from lingula.retrieval.relevance import LABEL_PARTS, relevance_of
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.encode import encode_part
from lingula_lab.measures.reliability import calibration_error
from lingula_lab.relevance import FOLDS, SHOWN, Pairs, fit_odds, gallery_studies, hub_of, queries_of
from machine import write_result

Doubles = npt.NDArray[np.float64]
SEEDS, DRAWS, SHARED = range(5), 50, 0.5
WAYS: dict[str, Callable[[Pairs, Doubles], Pairs]] = {
    "logistic regression (ships)": lambda pairs, expected: pairs,
    "with squares of the label evidence": lambda pairs, expected: widened(
        pairs, pairs.evidence[:, :, -len(LABEL_PARTS) :] ** 2
    ),
    "with what is expected of the asked study": lambda pairs, expected: widened(
        pairs, np.repeat(about_query(expected)[:, None], pairs.evidence.shape[1], 1)
    ),
}


def main() -> None:
    study_set, encoded = map(Path, sys.argv[1:3])
    checkpoint, data, split = load_checkpoint("compact", threads=1), StudySet.load(study_set), Split.load("openi-v1")
    ready, relevance = ReadyGallery.of(checkpoint.fingerprint), relevance_of(checkpoint.fingerprint)
    if ready is None or relevance is None:
        raise SystemExit("The checkpoint has no gallery or no relevance model.")
    part = encode_part(checkpoint, data, split, "validation", encoded)
    queries, gallery = queries_of(checkpoint, data, part), gallery_studies(checkpoint, ready)
    tables = {}
    for reported in (True, False):
        hub = SHARE * hub_of(ready, "image", "text")
        pairs = Pairs.between(
            queries, gallery, "image", reported, checkpoint.vocabulary,
            lambda mode, hub=hub: hub if mode == "text" else np.zeros_like(hub),  # type: ignore[misc]
        )  # fmt: skip
        own = relevance.weights["image", reported]
        name = "with reports" if reported else "without reports"
        tables[name] = measured(pairs, own.score, queries.probabilities["image"]) | floors(pairs, own.score)
        for row, values in tables[name].items():
            print(f"{name:16s} {row:52s}", values)
    body = {
        "model": checkpoint.fingerprint,
        "split": {"name": split.name, "sha256": split.digest, "part": "validation"},
        "queries": len(queries.targets),
        "answers": SHOWN,
        "seeds": len(SEEDS),
        "tables": tables,
    }
    found = tables["with reports"]
    headline = {
        "odds_ece_validation": entry(found["logistic regression (ships)"]["ece"], len(queries.targets)),
        "odds_ece_floor": entry(found["floor, answers independent"]["ece"], len(queries.targets)),
        "odds_ece_floor_shared": entry(
            found["floor, half of the answers of a query alike"]["ece"], len(queries.targets)
        ),
    }
    print(write_result("odds", body, headline))


def entry(value: float, n: int) -> dict[str, float | int | str]:
    return {"value": value, "n": n, "unit": "ECE"}


def measured(pairs: Pairs, score: Sequence[float], expected: Doubles) -> dict[str, dict[str, float]]:
    """Calibration error and log loss of each way on queries left out, means over ``SEEDS``."""
    found = {}
    for name, way in WAYS.items():
        wider = way(pairs, expected)
        padded = (*score, *(0.0,) * (wider.evidence.shape[2] - len(score)))
        found[name] = summary([cross_fitted(wider, padded, seed, curve=False) for seed in SEEDS])
    found["then an isotonic curve"] = summary([cross_fitted(pairs, score, seed, curve=True) for seed in SEEDS])
    return found


def cross_fitted(pairs: Pairs, score: Sequence[float], seed: int, *, curve: bool) -> tuple[Doubles, Doubles]:
    """Odds told of queries left out (Q * 5,), and whether the answers are relevant."""
    fold = np.random.default_rng(seed).permutation(len(pairs.asks)) % FOLDS
    told, truth = [], []
    for part in range(FOLDS):
        learnt, rest = pairs.of(np.flatnonzero(fold != part)), pairs.of(np.flatnonzero(fold == part))
        weights, offset = fit_odds(learnt, score)
        (own, known), (other, relevant) = (first(each, score, weights, offset) for each in (learnt, rest))
        if curve:
            other = IsotonicRegression(out_of_bounds="clip").fit(own, known).predict(other)
        told.append(other)
        truth.append(relevant)
    return np.concatenate(told), np.concatenate(truth)


def first(pairs: Pairs, score: Sequence[float], weights: Sequence[float], offset: float) -> tuple[Doubles, Doubles]:
    """Odds of the first answers of each query, and whether they are relevant, (Q * 5,)."""
    top = np.argsort(-(pairs.evidence @ np.array(score, np.float32)), 1, kind="stable")[:, :SHOWN]
    evidence = np.take_along_axis(pairs.evidence, top[:, :, None], 1).astype(np.float64)
    relevant = np.take_along_axis(pairs.relevant, top, 1).astype(np.float64)
    return (1 / (1 + np.exp(-(evidence @ np.array(weights) + offset)))).ravel(), relevant.ravel()


def floors(pairs: Pairs, score: Sequence[float]) -> dict[str, dict[str, float]]:
    """The same measures of odds that are right by construction."""
    odds, _ = first(pairs, score, *fit_odds(pairs, score))
    rng, odds = np.random.default_rng(0), odds.reshape(-1, SHOWN)
    drawn = partial(rng.random, odds.shape)
    alone = [(odds.ravel(), (drawn() < odds).astype(np.float64).ravel()) for _ in range(DRAWS)]
    together = [
        (
            odds.ravel(),
            np.where(drawn() < SHARED, rng.random((len(odds), 1)) < odds, drawn() < odds).astype(float).ravel(),
        )
        for _ in range(DRAWS)
    ]
    return {
        "floor, answers independent": summary(alone),
        "floor, half of the answers of a query alike": summary(together),
    }


def summary(results: Sequence[tuple[Doubles, Doubles]]) -> dict[str, float]:
    errors, losses = [], []
    for odds, truth in results:
        sure = np.clip(odds, 1e-4, 1 - 1e-4)
        errors.append(float(calibration_error(odds, truth, np.ones((1, len(odds))))[0]))
        losses.append(float(-(truth * np.log(sure) + (1 - truth) * np.log(1 - sure)).mean()))
    return {"ece": round(float(np.mean(errors)), 4), "log_loss": round(float(np.mean(losses)), 4)}


def widened(pairs: Pairs, more: npt.NDArray[np.floating]) -> Pairs:
    return replace(pairs, evidence=np.concatenate([pairs.evidence, more.astype(np.float32)], 2))


def about_query(expected: Doubles) -> Doubles:
    """(Q, 6): log-odds of *normal*, of the likeliest finding, and the expected number of findings, up and down, as
    weights are at least 0."""
    normal, abnormal = expected[:, 0], expected[:, 1:]
    values = np.stack([log_odds(normal), log_odds(abnormal.max(1)), abnormal.sum(1)], 1)
    return np.concatenate([values - values.min(0), values.max(0) - values], 1)


def log_odds(p: Doubles) -> Doubles:
    return np.asarray(np.log(p / (1 - p)), np.float64)


if __name__ == "__main__":
    main()
