"""Which retrievals are shown: the best, the most middling, the worst, never two of one kind with the same labels."""

from __future__ import annotations

import re

import numpy as np
from tests import made_up

from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.tables.retrieval import CodedStudies, Ground, Search
from lingula_lab.measures.relevance import rules
from lingula_lab.measures.retrieval import MEASURES, rank
from lingula_lab.report.cases import choose
from lingula_lab.report.page import render_cases

VOCABULARY = made_up.vocabulary()


def ground_and_scores(rng: np.random.Generator) -> tuple[Ground, np.ndarray]:
    targets = np.zeros((30, 22), np.float32)
    targets[np.arange(30), 1 + np.arange(30) % 6] = 1
    targets[::5, 8] = 1
    ids = tuple(sorted(f"S{number}" for number in range(30)))
    coded = CodedStudies(ids, targets)
    ground = Ground.of("generalization", coded, coded, rules(VOCABULARY, targets)[:1])
    return ground, targets @ targets.T * 0.1 + rng.random((30, 30))


def test_best_typical_and_worst_by_their_own_figure(rng: np.random.Generator) -> None:
    ground, scores = ground_and_scores(rng)
    order = rank(scores, ground.own)
    everyone = np.ones(30, bool)
    ranking = ground.judge(Search("x", "none", None, {}, everyone), order)
    cases = choose(ground, ranking, order, scores, VOCABULARY)
    values = dict(zip(ground.queries, ranking.values["jaccard"][:, MEASURES.index("nDCG@10")], strict=True))
    assert [case.kind for case in cases] == ["best"] * 4 + ["typical"] * 4 + ["worst"] * 4
    assert all(case.value == values[case.study_id] for case in cases)
    assert cases[0].value == max(values.values())
    assert cases[8].value == min(values.values())
    middle = np.median(list(values.values()))
    assert abs(cases[4].value - middle) == min(abs(value - middle) for value in values.values())
    for kind in ("best", "typical", "worst"):
        shown = [case.labels for case in cases if case.kind == kind]
        assert len(set(shown)) == len(shown)
    for answer in cases[0].answers:
        labels, own = set(answer.labels), set(cases[0].labels)
        assert answer.study_id != cases[0].study_id
        assert set(answer.shared) == labels & own
        assert answer.relevance == round(len(labels & own) / len(labels | own), 3)
    assert [answer.rank for answer in cases[0].answers] == [1, 2, 3, 4, 5]


def test_the_page_shows_films_and_no_word_of_a_report(data: StudySet, rng: np.random.Generator) -> None:
    ground, scores = ground_and_scores(rng)
    order = rank(scores, ground.own)
    ranking = ground.judge(Search("x", "none", None, {}, np.ones(30, bool)), order)
    cases = choose(ground, ranking, order, scores, VOCABULARY)
    page = render_cases(cases, data, VOCABULARY, "image → image")
    assert page.count('<img src="data:image/jpeg;base64,') == 12 * 6
    assert "not for passing on" in page
    assert not re.search(r"<script|https?://|@import", page)
    assert not any(report and report.text.splitlines()[-1] in page for report in data.reports)
