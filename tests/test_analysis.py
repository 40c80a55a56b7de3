"""One call from a study to findings, similar cases and evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.analysis import analyze, leading_label, predict, search
from lingula.errors import InputError, ModelError
from lingula.explanation import QUICK, shown_methods
from lingula.library import Library
from lingula.model.batch import batch_studies
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import available_modes, embed
from lingula.retrieval import Query
from lingula.study import MODES, Mode, Prediction, Report, Study

STUDIES = (*made_up.studies(10), Study("text", (), made_up.study(3).report), Study("image", (made_up.film(5),)))


def _library(path: Path, checkpoint: Checkpoint, **changes: str) -> Library:
    about = {"model": checkpoint.fingerprint, "vocabulary": checkpoint.vocabulary.digest} | changes
    dimension = checkpoint.model.architecture.dimension
    return Library.create(path, labels=checkpoint.vocabulary.codes, dimension=dimension, **about)


@pytest.fixture(scope="module")
def library(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with _library(tmp_path_factory.mktemp("library") / "x.sqlite", checkpoint) as made:
        for study, embeddings in embed(STUDIES, checkpoint, batch=5):
            made.add(study, embeddings, checkpoint.vocabulary.present(study.terms) if study.terms else None)
        yield made


def test_embeddings_do_not_depend_on_the_batch(checkpoint: Checkpoint) -> None:
    together = dict((study.study_id, found) for study, found in embed(STUDIES, checkpoint, batch=5))
    assert [study.study_id for study, _ in embed(STUDIES, checkpoint, batch=5)] == [study.study_id for study in STUDIES]
    for study in STUDIES:
        ((_, alone),) = embed([study], checkpoint)
        assert tuple(alone) == available_modes(study) == tuple(together[study.study_id])
        for mode, vector in alone.items():
            assert vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(vector, together[study.study_id][mode], atol=1e-5)
    assert available_modes(STUDIES[-1]) == ("image",)
    assert available_modes(STUDIES[-2]) == ("text",)


@pytest.mark.parametrize("mode", MODES)
def test_a_search_is_the_cosine_ranking(checkpoint: Checkpoint, library: Library, mode: Mode) -> None:
    vectors = {study.study_id: found for study, found in embed(STUDIES, checkpoint)}
    query = STUDIES[4]
    scores = {name: float(v[mode] @ vectors["S4"][mode]) for name, v in vectors.items() if mode in v and name != "S4"}
    found = search(Query(k=4, source=mode, fold=False), checkpoint, library, query).neighbours
    ranked = sorted(scores, key=lambda name: (-round(scores[name], 5), name))
    assert [n.rank for n in found] == [1, 2, 3, 4]
    assert [n.score for n in found] == pytest.approx([scores[name] for name in ranked[:4]], abs=1e-4)
    assert {n.study_id for n in found[:2]} <= set(ranked[:3])
    assert found[0].labels == checkpoint.vocabulary.present(
        next(s for s in STUDIES if s.study_id == found[0].study_id).terms
    )


def test_search_across_modes_and_with_exclusions(checkpoint: Checkpoint, library: Library) -> None:
    query = Query(k=100, source="image", target="text", fold=False)
    everyone = search(query, checkpoint, library, STUDIES[4]).neighbours
    assert {n.study_id for n in everyone} == {s.study_id for s in STUDIES if s.report} - {"S4"}
    fewer = search(query, checkpoint, library, STUDIES[4], exclude=["S1", "nobody"]).neighbours
    assert [n.study_id for n in fewer] == [n.study_id for n in everyone if n.study_id != "S1"]


def test_predictions(checkpoint: Checkpoint) -> None:
    calibration = replace(checkpoint.calibration["joint"], scale=np.full(22, 2.0), shift=np.full(22, -0.5))
    checkpoint = replace(checkpoint, calibration={**checkpoint.calibration, "joint": calibration})
    found = predict(STUDIES[0], checkpoint)
    assert tuple(p.label for p in found) == checkpoint.vocabulary.codes
    batch = batch_studies([STUDIES[0]], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    logits = checkpoint.model(batch)["joint"].logits[0].astype(float)
    expected = 1 / (1 + np.exp(0.5 - 2 * logits))
    np.testing.assert_allclose([p.probability for p in found], expected, rtol=1e-5)
    assert [p.decision for p in found] == ["present" if p >= 0.5 else "absent" for p in expected]


def test_analysis_is_its_parts(checkpoint: Checkpoint, library: Library) -> None:
    answer = analyze(STUDIES[0], checkpoint, library, k=3)
    assert answer.mode == "joint"
    assert answer.predictions == predict(STUDIES[0], checkpoint)
    assert answer.neighbours == search(Query(k=3), checkpoint, library, STUDIES[0]).neighbours
    assert "S0" not in {n.study_id for n in analyze(STUDIES[0], checkpoint, library, k=100).neighbours}
    flagged = [p for p in answer.predictions if p.decision == "present"]
    assert flagged
    assert [e.method for e in answer.explanations] == list(shown_methods("", QUICK))
    assert {e.label for e in answer.explanations} == {leading_label(flagged, "normal")}
    assert (answer.model, answer.library) == (checkpoint.fingerprint, library.fingerprint)
    assert answer.seconds > 0
    body = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert "Not for diagnostic use" in body["disclaimer"]
    assert len(body["predictions"]) == 22
    assert [n["study_id"] for n in body["neighbours"]] == [n.study_id for n in answer.neighbours]


def test_an_unnamed_view_is_named_for_every_question(checkpoint: Checkpoint, library: Library) -> None:
    """``predict``, ``search`` and ``analyze`` read one and the same study."""
    film = made_up.film(3, (120, 100), "unknown")
    study = Study("new", (film,))
    answer = analyze(study, checkpoint, library, methods=())
    assert answer.predictions == predict(study, checkpoint)
    assert answer.neighbours == search(Query(k=10), checkpoint, library, study).neighbours
    assert answer.explanations == ()


@pytest.mark.parametrize("study", [STUDIES[-1], STUDIES[-2]], ids=["film alone", "text alone"])
def test_half_a_study(checkpoint: Checkpoint, library: Library, study: Study) -> None:
    answer = analyze(study, checkpoint, library)
    assert answer.mode == study.study_id
    assert len(answer.neighbours) == 10
    assert answer.explanations
    json.dumps(answer.to_json(), allow_nan=False)
    for mode in set(MODES) - {answer.mode}:
        for ask in (lambda m=mode: predict(study, checkpoint, m), lambda m=mode: analyze(study, checkpoint, mode=m),
                    lambda m=mode: search(Query(source=m), checkpoint, library, study)):  # fmt: skip
            with pytest.raises(InputError) as refused:
                ask()
            assert refused.value.code == "bad_request"


def test_nothing_to_analyse(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError) as refused:
        analyze(Study("empty", (), Report.from_sections(findings=" ")), checkpoint)
    assert refused.value.code == "report_empty"
    with pytest.raises(InputError) as refused:
        analyze(Study("unknown", (), Report.from_sections(findings="\ue000\ue001")), checkpoint)
    assert refused.value.code == "report_empty"


def test_another_model_s_library_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with _library(tmp_path / "other.sqlite", checkpoint, model="0" * 16) as other:
        for ask in (
            lambda: search(Query(), checkpoint, other, STUDIES[0]),
            lambda: analyze(STUDIES[0], checkpoint, other),
        ):
            with pytest.raises(ModelError) as refused:
                ask()
            assert refused.value.code == "model_mismatch"


def test_a_report_too_long_is_told(checkpoint: Checkpoint) -> None:
    long = Study("long", (), Report.from_sections(findings="Degenerative spine. " * 600))
    assert [notice.code for notice in analyze(long, checkpoint, methods=()).notices] == ["text_cut"]


def test_leading_label() -> None:
    """In odds: 0.02 against a threshold of 0.01 stands out more than 0.6 against 0.5; the normal one never leads."""
    rows = [("normal", 0.99, 0.1), ("a", 0.6, 0.5), ("b", 0.02, 0.01), ("c", 0.0, 0.5)]
    predictions = [Prediction(label, label, p, t, "present") for label, p, t in rows]
    assert leading_label(predictions, "normal") == "b"
    assert leading_label(predictions, None) == "normal"
    assert leading_label(predictions[3:], "normal") == "c"
    assert leading_label(predictions[:1], "normal") == ""


def test_without_a_flagged_finding_no_map_is_drawn_unless_one_is_named(checkpoint: Checkpoint) -> None:
    out_of_reach = replace(checkpoint.calibration["joint"], threshold=np.full(22, 1.0))
    checkpoint = replace(checkpoint, calibration={**checkpoint.calibration, "joint": out_of_reach})
    assert analyze(STUDIES[0], checkpoint).explanations == ()
    assert {e.label for e in analyze(STUDIES[0], checkpoint, label="hernia").explanations} == {"hernia"}
