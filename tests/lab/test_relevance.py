"""Fitting the relevance model on made-up pairs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lingula.retrieval.relevance import LABEL_PARTS
from lingula_lab.measures.retrieval import MEASURES, measure, rank
from lingula_lab.relevance import Pairs, best_score, fit_odds, worth


def pairs(seed: int = 0, queries: int = 60, gallery: int = 80) -> Pairs:
    """One embedding of noise; only what is expected to be shared tells which study is relevant."""
    rng = np.random.default_rng(seed)
    normals = np.arange(queries) % 3 == 0
    normal = normals[:, None] & (np.arange(gallery) % 3 == 0)
    chance = rng.random((queries, gallery))
    grades = np.where(normals[:, None], 0, np.where(rng.random((queries, gallery)) < chance, 500, 0)).astype(np.int64)
    evidence = np.zeros((queries, gallery, 1 + len(LABEL_PARTS)), np.float32)
    evidence[:, :, 0] = rng.random((queries, gallery))
    evidence[:, :, 1] = np.where(normals[:, None], 0, chance)
    evidence[:, :, 3] = normal
    return Pairs(evidence, grades, normal, ~normals, normals, evidence[:, :, 0])


def test_worth_is_what_the_tables_measure() -> None:
    made = pairs()
    order = rank(made.plain.astype(np.float64))
    values = measure(made.grades[made.asks], order[made.asks])
    found = worth(made, made.plain)
    assert found.p5 == pytest.approx(values[:, MEASURES.index("P@5")].mean())
    assert found.ndcg10 == pytest.approx(values[:, MEASURES.index("nDCG@10")].mean())


def test_the_score_follows_the_evidence_and_keeps_normal_neighbours() -> None:
    made = pairs()
    score = best_score(made)
    found, floor = worth(made, made.evidence @ np.array(score, np.float32)), worth(made, made.plain)
    assert found.p5 > floor.p5 + 0.2
    assert found.normal >= floor.normal


def test_odds_are_calibrated_on_the_answers_they_were_learnt_from() -> None:
    made = pairs()
    odds, offset = fit_odds(made, (0.0, 1.0, 0.0, 1.0))
    shown = made.evidence[made.asks].reshape(-1, 4)
    told = 1 / (1 + np.exp(-(shown @ np.array(odds) + offset)))
    high = shown[:, 1] > 0.8  # of the kind that is shown first
    assert told[high].mean() == pytest.approx((made.grades[made.asks].ravel()[high] > 0).mean(), abs=0.1)
    assert min(odds) >= 0
