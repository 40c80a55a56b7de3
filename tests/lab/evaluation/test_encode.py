from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import embed
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.encode import READINGS, EncodedPart, digest, encode_part, in_chunks
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.training.loop import predict_set


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def encoded(checkpoint: Checkpoint, data: StudySet, split: Split, cache: Path) -> EncodedPart:
    return encode_part(checkpoint, data, split, "test", cache)


def test_readings_are_the_models_own_modes(checkpoint: Checkpoint, data: StudySet, encoded: EncodedPart) -> None:
    tokens = [checkpoint.tokenizer(report) if report else None for report in data.reports]
    for reading, mode in (("image", "image"), ("report", "text"), ("image_report", "joint")):
        logits = predict_set(trained_model(checkpoint), data, encoded.rows, tokens, checkpoint.tokenizer.pad, mode)
        np.testing.assert_allclose(encoded.logits[reading], logits, atol=1e-4)


def test_readings_see_what_they_say_and_no_more(checkpoint: Checkpoint, encoded: EncodedPart) -> None:
    """Against the deployed path on studies that truly lack the rest."""
    from tests import made_up

    numbers = [int(study_id[1:]) for study_id in encoded.ids]
    place = next(place for place, number in enumerate(numbers) if number % 3 == 0)  # it has a lateral film
    study = made_up.study(numbers[place])
    assert study.report is not None
    indication = replace(study, report=study.report.only("indication"))
    for reading, shown, mode in (
        ("image_frontal", study.frontal().image_only(), "image"),
        ("indication", indication.text_only(), "text"),
        ("image_indication", indication, "joint"),
    ):
        ((_, vectors),) = embed([shown], checkpoint)
        assert vectors[mode] @ encoded.embeddings[reading][place] == pytest.approx(1, abs=1e-4), reading
    assert not np.allclose(encoded.logits["image"][place], encoded.logits["image_frontal"][place], atol=1e-4)


def test_embeddings_have_unit_norm(encoded: EncodedPart) -> None:
    assert set(encoded.embeddings) == set(READINGS)
    for vectors in encoded.embeddings.values():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_is_on_disk_is_not_computed_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def compute(rows: np.ndarray) -> dict[str, np.ndarray]:
        asked.extend(rows.tolist())
        return {"x": rows[:, None].astype(np.float32)}

    rows = np.arange(150)
    first = in_chunks(tmp_path, "part", rows, compute)
    assert asked == rows.tolist()
    (tmp_path / "part-00064.safetensors").write_bytes(b"damaged")
    again = in_chunks(tmp_path, "part", rows, compute)
    assert asked[150:] == list(range(64, 128))
    assert np.array_equal(first["x"], again["x"])


def test_another_model_or_study_set_has_another_place(
    checkpoint: Checkpoint, data: StudySet, split: Split, cache: Path, encoded: EncodedPart
) -> None:
    encode_part(replace(checkpoint, fingerprint="another"), data, replace(split, test=split.test[:2]), "test", cache)
    assert len(list(cache.iterdir())) == 2
    assert digest(replace(data, views=tuple(reversed(data.views)))) != digest(data)


def test_films_of_another_size_are_refused(
    checkpoint: Checkpoint, data: StudySet, split: Split, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="px"):
        encode_part(checkpoint, replace(data, films=data.films[:, ::2, ::2]), split, "test", tmp_path)
