from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests import made_up

from lingula_lab.measures.relevance import RelevanceRule, rules, tree_similarity

VOCABULARY = made_up.vocabulary()


def studies(*labels: set[str]) -> np.ndarray:
    return np.array([[code in each for code in VOCABULARY.codes] for each in labels], np.float32)


@pytest.fixture
def by_name(rng: np.random.Generator) -> dict[str, RelevanceRule]:
    train = (rng.random((200, len(VOCABULARY))) < 0.2).astype(np.float32)
    return {rule.name: rule for rule in rules(VOCABULARY, train)}


def test_jaccard_by_hand(by_name: dict[str, RelevanceRule]) -> None:
    asked = studies({"cardiomegaly", "pleural_effusion"}, {"normal"})
    gallery = studies({"cardiomegaly", "pleural_effusion"}, {"pleural_effusion", "fracture"}, {"normal"}, set())
    assert by_name["jaccard"].grades(asked, gallery).tolist() == [[1000, 333, 0, 0], [0, 0, 0, 0]]
    assert by_name["normal"].grades(asked, gallery).tolist() == [[0, 0, 0, 0], [0, 0, 1000, 0]]
    assert by_name["jaccard"].asks(asked).tolist() == [True, False]
    assert by_name["normal"].asks(asked).tolist() == [False, True]


def test_jaccard_against_a_naive_twin(by_name: dict[str, RelevanceRule], rng: np.random.Generator) -> None:
    asked, gallery = ((rng.random((size, len(VOCABULARY))) < 0.15).astype(np.float32) for size in (20, 30))
    weights = by_name["idf"].weights
    for name, (row, column) in product(("jaccard", "idf"), product(range(20), range(30))):
        one, other = (
            {code for code, yes in zip(VOCABULARY.codes, each, strict=True) if yes} - {VOCABULARY.normal}
            for each in (asked[row], gallery[column])
        )
        worth = {code: weights[VOCABULARY.codes.index(code)] if name == "idf" else 1 for code in one | other}
        shared, union = sum(worth[c] for c in one & other), sum(worth.values())
        expected = max(round(1000 * shared / union), 1) if shared else 0
        assert by_name[name].grades(asked[row : row + 1], gallery[column : column + 1])[0, 0] == expected


def test_rare_labels_weigh_more() -> None:
    train = np.zeros((100, len(VOCABULARY)), np.float32)
    train[:50, 1], train[:2, 2] = 1, 1
    idf = next(rule for rule in rules(VOCABULARY, train) if rule.name == "idf")
    assert idf.weights[2] > idf.weights[1] > 0


def test_relatives_count_in_the_tree_and_in_its_grade(by_name: dict[str, RelevanceRule]) -> None:
    alike = tree_similarity(VOCABULARY.codes)
    effusion, pneumothorax, device = (VOCABULARY.codes.index(c) for c in ("pleural_effusion", "pneumothorax", "device"))
    assert alike[effusion, pneumothorax] == pytest.approx(2 * 2 / (3 + 3))  # C08.528.652 and C08.528.778
    assert alike[effusion, device] == 0
    assert np.array_equal(alike, alike.T)
    assert (np.diag(alike) == 1).all()
    asked = studies({"pleural_effusion"})
    gallery = studies({"pleural_effusion"}, {"pneumothorax"}, {"device"}, {"normal"})
    assert by_name["mesh"].grades(asked, gallery).tolist() == [[1000, 333, 0, 0]]  # (2/3 + 2/3) / 2 of a union of 2
    assert by_name["jaccard"].grades(asked, gallery).tolist() == [[1000, 0, 0, 0]]


def test_no_grade_of_something_shared_is_rounded_to_nothing() -> None:
    everything = studies(set(VOCABULARY.codes))
    weights = np.full(len(VOCABULARY), 1.0)
    weights[1] = 1e-9
    rule = RelevanceRule("x", "", np.ones(len(VOCABULARY), bool), np.eye(len(VOCABULARY)), weights)
    assert rule.grades(studies({"cardiomegaly"}), everything)[0, 0] == 1
