"""The gate: three answers from the model's own features, a sealed file, and what follows from each answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.analysis import analyze
from lingula.errors import InputError, ModelError
from lingula.model import encode, gate
from lingula.model.batch import batch_studies
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.gate import Gate, Outside, film_features, gate_of
from lingula.reading.study_reader import read_study
from lingula.study import Analysis, Radiograph, Study

WIDTH = 3


def _gate(bias: list[float], outside: Outside | None = None, width: int = WIDTH, model: str = "a" * 16) -> Gate:
    return Gate(model, np.zeros((4, 2 * width), np.float32), np.array(bias, np.float32), outside, {"films": 3})


def test_three_answers_and_the_projection() -> None:
    film = made_up.film(1)
    rows = np.zeros((1, 2 * WIDTH), np.float32)
    cases = [([-1, 5, 0, 0], "not_chest", "lateral"), ([1, -1, -1, 2], "unlike", "AP"), ([1, 1, -1, -2], "known", "PA")]
    for bias, familiarity, projection in cases:
        (judged,) = _gate(bias).judge(rows, (film,))
        assert (judged.familiarity, judged.projection) == (familiarity, projection)
    assert judged.chest == pytest.approx(1 / (1 + np.exp(-1)))
    slope = replace(_gate([0, 0, 0, 0]), weight=np.eye(4, 2 * WIDTH, dtype=np.float32))
    np.testing.assert_allclose(slope.log_odds(np.arange(6, dtype=np.float32)[None]), [[0, 1, 2, 3]])


def test_features_are_mean_and_spread_over_patches_whatever_the_view(checkpoint: Checkpoint) -> None:
    studies = [Study("two", (made_up.film(1), made_up.film(2))), Study("one", (made_up.film(3),))]
    batch = batch_studies(studies, checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    found = film_features(checkpoint.model, checkpoint.model.encode(batch), batch)
    (tokens,) = checkpoint.model.engine.run("image", {"pixels": batch.pixels}, ("patches",))
    as_lateral = replace(batch, views=np.ones_like(batch.views))
    turned = film_features(checkpoint.model, checkpoint.model.encode(as_lateral), as_lateral)
    np.testing.assert_allclose(found, np.hstack([tokens.mean(1), tokens.std(1)]), atol=1e-5)
    np.testing.assert_allclose(turned, found, atol=1e-5)


def test_a_gate_is_sealed_and_belongs_to_one_model(tmp_path: Path) -> None:
    judged = np.arange(22) % 2 == 0
    path = _gate([1, 2, 3, 4], Outside(Calibration.identity(22), judged)).save(tmp_path)
    again = gate_of("a" * 16, tmp_path)
    assert again is not None
    assert again.outside is not None
    assert again.bias.tolist() == [1, 2, 3, 4]
    assert again.about == {"films": 3}
    assert again.outside.judged.tolist() == judged.tolist()
    assert gate_of("e" * 16, tmp_path) is None
    assert gate_of("", tmp_path) is None

    sound = path.read_bytes()
    other_bias = sound[:-4] + np.float32(5).tobytes()  # the last number of the last tensor
    for name, damaged in (
        ("b", sound),
        ("c", sound.replace(b"aaaaaaaaaaaaaaaa", b"cccccccccccccccc")),
        ("d", sound[:99]),
    ):
        (tmp_path / f"{name * 16}.safetensors").write_bytes(damaged)
    (tmp_path / f"{'f' * 16}.safetensors").write_bytes(other_bias)
    for name, code in (
        ("b", "model_mismatch"), ("c", "model_checksum_mismatch"), ("d", "model_bad_file"),
        ("f", "model_checksum_mismatch"),
    ):  # fmt: skip
        with pytest.raises(ModelError) as refused:
            gate_of(name * 16, tmp_path)
        assert refused.value.code == code


def test_a_picture_among_films_is_left_out(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is that of the chest radiographs alone, whichever place the other picture has."""
    films = (made_up.film(1), made_up.film(2))
    batch = batch_studies([Study("x", films)], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    features = film_features(checkpoint.model, checkpoint.model.encode(batch), batch)
    away = features[1] - features[0]
    weight = np.zeros((4, features.shape[1]), np.float32)
    weight[0] = away / (away @ away)
    middle = float(weight[0] @ features.mean(0))
    told = Gate("", weight, np.array([-middle, 1, -1, -1], np.float32))  # the second film is one of a chest
    monkeypatch.setattr(encode, "gate_of", lambda model: told)
    alone = analyze(Study("x", films[1:]), checkpoint, label=checkpoint.vocabulary.codes[0], methods=("contribution",))
    for order in ((0, 1), (1, 0)):
        study, place = Study("x", tuple(films[n] for n in order)), order.index(0)
        answer = analyze(study, checkpoint, label=alone.explanations[0].label, methods=("contribution",))
        assert answer.answerable
        assert answer.familiarity == "known"
        assert answer.notices[0].message.startswith(f"Film {place + 1} does not look like a chest radiograph")
        assert "not read" in answer.notices[0].message
        assert [film.familiarity for film in answer.shown_films][place] == "not_chest"
        np.testing.assert_allclose(_probabilities(answer), _probabilities(alone), atol=1e-6)
        maps = answer.explanations[0].maps
        assert not maps[place].any()
        np.testing.assert_allclose(maps[1 - place], alone.explanations[0].maps[0], atol=1e-5)
        both = analyze(study, checkpoint, methods=(), anyway=True)
        assert not any(film.left_out for film in both.study.radiographs)
        assert np.abs(np.subtract(_probabilities(both), _probabilities(alone))).max() > 1e-4
    assert encode.predict(study, checkpoint) == answer.predictions


def _probabilities(answer: Analysis) -> list[float]:
    return [each.probability for each in answer.predictions]


def test_what_follows_from_the_answer(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    study, labels = made_up.study(1).image_only(), len(checkpoint.vocabulary)
    width = checkpoint.model.architecture.width
    judged = np.arange(labels) == 3
    never = replace(Calibration.identity(labels), threshold=np.zeros(labels))  # every judged label is called
    outside = Outside(never, judged)

    def with_gate(bias: list[float]) -> None:
        monkeypatch.setattr(encode, "gate_of", lambda model: _gate(bias, outside, width, model))

    with_gate([-1, 1, -1, -1])
    answer = analyze(study, checkpoint, methods=())
    assert not answer.answerable
    assert answer.familiarity == "not_chest"
    assert answer.predictions == answer.neighbours == answer.explanations == ()
    assert answer.notices[0].code == "not_a_chest_film"
    body = json.loads(json.dumps(answer.to_json()))
    assert body["answerable"] is False
    assert body["films"][0]["projection"] == "PA"
    with pytest.raises(InputError, match="not_a_chest_film"):
        encode.predict(study, checkpoint)
    anyway = analyze(study, checkpoint, methods=(), anyway=True)
    assert anyway.predictions == encode.predict(study, checkpoint, anyway=True)
    assert len(anyway.predictions) == labels
    assert anyway.notices[0].code == "not_a_chest_film"

    with_gate([1, -1, -1, -1])
    unlike = analyze(study, checkpoint, methods=())
    assert unlike.answerable
    assert unlike.notices[0].code == "unlike_training_films"
    assert [p.decision for p in unlike.predictions] == ["present" if j else "cannot_judge" for j in judged]
    assert [p.words for p in unlike.predictions] == ["flagged" if j else "cannot judge" for j in judged]

    with_gate([1, 1, 1, -1])
    turned = analyze(Study("x", (made_up.film(1, view="unknown"),)), checkpoint, methods=())
    assert turned.familiarity == "known"
    assert "unlike_training_films" not in {n.code for n in turned.notices}
    assert turned.study.radiographs[0].view in ("lateral", "frontal")
    assert encode.ask_model(made_up.study(1), checkpoint, "text").films == ()


@pytest.fixture(scope="module")
def compact() -> Checkpoint:
    return load_checkpoint("compact")


def test_the_shipped_gate_knows_real_films(compact: Checkpoint, shared_data: Path) -> None:
    """Full-size films of the collection are known, chest films from elsewhere are chest films, drawings and noise are
    not known."""
    shipped = gate_of(compact.fingerprint)
    assert shipped is not None
    assert shipped.outside is not None
    assert not shipped.outside.judged[compact.vocabulary.codes.index("normal")]
    for path in sorted((shared_data / "openi" / "fullres_png").glob("*.png")):
        assert analyze(read_study([path]), compact, methods=()).familiarity == "known", path.name
    for name in ("RG1_J2KI.dcm", "gdcm-CR-MONO1-10-chest.dcm"):
        assert analyze(read_study([shared_data / "dicom_chest" / name]), compact, methods=()).answerable, name


def test_the_shipped_gate_refuses_what_shows_nothing(compact: Checkpoint) -> None:
    random = np.random.default_rng(0)
    board = (np.indices((256, 256)) // 32).sum(0) % 2
    for values in (random.random((256, 256)), board, np.full((200, 300), 0.5)):
        study = Study("x", (Radiograph("x", values.astype(np.float32)),))
        assert not analyze(study, compact, methods=()).answerable
    assert gate.HEADS[0] == "chest"
