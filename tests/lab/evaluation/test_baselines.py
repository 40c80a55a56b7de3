from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation import baselines
from lingula_lab.evaluation.baselines import REPORT, Parts, WordVectors, texts
from lingula_lab.evaluation.inputs import coded_parts
from lingula_lab.measures.classification import auroc
from lingula_lab.model.image_encoder import ImageEncoder


@pytest.fixture(scope="session")
def parts(data: StudySet, split: Split) -> Parts:
    return coded_parts(data, split)


def test_prevalence_knows_the_share_and_nothing_of_the_study(parts: Parts) -> None:
    scores = baselines.prevalence(parts).test
    assert (scores == scores[0]).all()
    share = 1 / (1 + np.exp(-scores[0]))
    np.testing.assert_allclose(share, parts.train_targets.mean(0), atol=0.03)


def test_word_counts_read_what_the_report_says(data: StudySet, parts: Parts) -> None:
    scores = baselines.tf_idf_scores(data, parts, REPORT)
    measured = auroc(scores.test, parts.test_targets)
    assert np.nanmin(measured) > 0.99  # a label's sentence is always the same here


def test_baselines_know_nothing_of_test_labels(data: StudySet, parts: Parts) -> None:
    """Fitted again with every test label turned round, each gives the same scores."""
    turned = Parts(
        parts.train,
        parts.validation,
        parts.test,
        parts.train_targets,
        parts.validation_targets,
        1 - parts.test_targets,
    )
    for fit in (baselines.prevalence, lambda p: baselines.tf_idf_scores(data, p, REPORT)):
        assert np.array_equal(fit(parts).test, fit(turned).test)
    features = [
        baselines.thumbnails(data, rows).astype(np.float32) for rows in (parts.train, parts.validation, parts.test)
    ]
    one, other = (baselines.ridge_scores(*features, each) for each in (parts, turned))
    assert np.array_equal(one.test, other.test)


def test_words_of_one_kind_of_report_lie_together() -> None:
    documents = ["big heart shadow wide"] * 5 + ["fluid effusion angle blunt"] * 5 + ["big heart", "fluid effusion"] * 3
    vectors = WordVectors.fit(documents, dimension=2)
    heart, shadow, fluid, unknown = vectors(["heart", "shadow wide", "effusion", "unheard"])
    assert heart @ shadow > 0.9 > 0.3 > heart @ fluid
    assert not unknown.any()
    assert np.array_equal(vectors.vectors, WordVectors.fit(documents, dimension=2).vectors)


def test_a_frozen_trunk_is_read_once_and_by_view(data: StudySet, parts: Parts, tmp_path: Path) -> None:
    torch.manual_seed(0)
    side = data.films.shape[-1]
    config = {"model_type": "mobilenet_v1", "num_channels": 1, "image_size": side}
    encoder = ImageEncoder(config, 8, grid=7, levels=baselines.LEVELS, fold=True)
    layers = [layer.convolution for layer in (encoder.backbone.conv_stem, *encoder.backbone.layer)]
    tensors = {f"features.{i}.weight": layer.weight.detach().clone() for i, layer in enumerate(layers)}
    tensors |= {f"features.{i}.bias": layer.bias.detach().clone() for i, layer in enumerate(layers)}
    tensors["features.0.weight"] = tensors["features.0.weight"].expand(-1, 3, -1, -1).contiguous() / 3
    save_file(tensors, tmp_path / "trunk.safetensors")
    rows = parts.test[:6]
    asked = []

    def read() -> dict[str, np.ndarray]:
        return baselines.trunk_features(
            data, rows, tmp_path / "trunk.safetensors", tmp_path, "digest", "test", lambda done, of: asked.append(done)
        )

    first = read()
    assert first["frontal"].shape == (6, 2 * (128 + 256 + 512 + 1024))
    has_lateral = np.array([any(data.views[film] == "lateral" for film in data.films_of(row)) for row in rows])
    assert np.array_equal(first["lateral"].any(1), has_lateral)
    (chunk,) = tmp_path.glob("trunk-*/*.safetensors")
    written = chunk.stat().st_mtime_ns
    assert np.array_equal(read()["frontal"], first["frontal"])
    assert chunk.stat().st_mtime_ns == written


def test_texts_hold_the_sections_asked_for(data: StudySet) -> None:
    (text,) = texts(data, np.array([0]), ("indication",))
    assert text == "Cough."
