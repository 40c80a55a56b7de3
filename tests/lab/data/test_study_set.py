"""A study set holds what the studies held, through the one pixel path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tests import made_up

from lingula.labels.vocabulary import Vocabulary
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import Report, Study
from lingula_lab.data.study_set import StudySet, label_sides, term_targets

PREPROCESSING = Preprocessing(size=48, tail=0.01, mean=0.4, std=0.3)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    vocabulary = made_up.vocabulary()
    two_films = made_up.study(0)  # all three findings; frontal and lateral
    uncoded = replace(made_up.study(1), terms=None)
    wordless = replace(made_up.study(2), report=None)
    filmless = Study("T", (), made_up.study(4).report, ("normal",))
    studies = (two_films, uncoded, filmless, wordless)
    done: list[int] = []
    StudySet.build(studies, tmp_path, vocabulary, PREPROCESSING, done.append)
    data = StudySet.load(tmp_path)
    assert done == [1, 2, 3, 4]
    assert data.ids == ("S0", "S1", "T", "S2")
    assert data.reports == tuple(study.report for study in studies)
    assert data.views == ("frontal", "lateral", "frontal", "frontal")
    assert data.owner.tolist() == [0, 0, 1, 3]
    assert [data.films_of(row).tolist() for row in range(4)] == [[0, 1], [2], [], [3]]
    np.testing.assert_array_equal(data.labels, [vocabulary.encode(study.terms) for study in studies])
    assert np.isnan(data.labels[1]).all()
    films = [image for study in studies for image in study.radiographs]
    for stored, image in zip(data.films, films, strict=True):
        display = to_input(image, PREPROCESSING) * PREPROCESSING.std + PREPROCESSING.mean
        np.testing.assert_allclose(stored / 255, display, atol=0.5 / 255 + 1e-6)


def test_rows_come_in_the_order_asked(data: StudySet) -> None:
    assert data.rows(["S7", "nobody", "S2", "S30"]).tolist() == [7, 2, 30]


def test_equal_texts_share_a_key_and_silence_does_not(tmp_path: Path) -> None:
    reports = [
        Report.from_sections(findings="Worn spine.", impression="Big heart."),
        Report.from_sections(findings="WORN  spine", impression="big heart", indication="Cough."),
        Report.from_sections(findings="Worn spine."),
        None,
        Report.from_sections(indication="Cough."),
    ]
    studies = [Study(f"S{i}", (made_up.film(i),), report, ("normal",)) for i, report in enumerate(reports)]
    keys = StudySet.build(studies, tmp_path, made_up.vocabulary(), PREPROCESSING).text_keys()
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 4


def test_terms_that_training_studies_share_become_targets(tmp_path: Path) -> None:
    coded = [
        ("Opacity/lung/base/left", "Spine/degenerative"),
        ("Opacity/lung/base/right",),
        ("Opacity/lung/apex", "Opacity/lung"),
        None,
        ("Spine/degenerative", "Opacity/apex"),  # not a training study: it adds no column and no count
    ]
    studies = [Study(f"S{i}", (made_up.film(i),), None, terms) for i, terms in enumerate(coded)]
    data = StudySet.build(studies, tmp_path, made_up.vocabulary(), PREPROCESSING)
    assert data.terms == tuple(coded)
    found = term_targets(data, np.arange(4), least=2)
    columns = ["opacity", "opacity/base", "opacity/lung"]
    expected = [[1, 1, 1], [1, 1, 1], [1, 0, 1], [np.nan] * 3, [1, 0, 0]]
    assert found.shape == (5, len(columns))
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_a_label_has_a_side_where_all_its_terms_agree() -> None:
    vocabulary = Vocabulary.load("openi22")
    terms = ("Pleural Effusion/left/small", "Pulmonary Atelectasis/base/left", "Pulmonary Atelectasis/base/right")
    sides = dict(
        zip(vocabulary.codes, label_sides((*terms, "Calcified Granuloma/lung/middle lobe"), vocabulary), strict=True)
    )
    assert {code: side for code, side in sides.items() if side} == {"pleural_effusion": 1, "granuloma": -1}
    assert label_sides(("Pleural Effusion/left", "Pleural Effusion"), vocabulary) == [0] * 22
