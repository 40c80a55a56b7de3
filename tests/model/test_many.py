"""Many studies at once say what each says alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.errors import InputError
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import embed, predict
from lingula.study import Study


def test_predictions_are_those_of_each_study_alone(checkpoint: Checkpoint) -> None:
    studies, told = made_up.studies(3), []
    many = checkpoint.predict(iter(studies), progress=lambda done, of: told.append((done, of)))
    assert many.ids == tuple(study.study_id for study in studies)
    assert told == [(1, None), (2, None), (3, None)]
    for row, study in enumerate(studies):
        alone = predict(study, checkpoint)
        assert [each.decision for each in many[row].predictions] == [each.decision for each in alone]
        np.testing.assert_allclose(many.probabilities[row], [each.probability for each in alone], atol=1e-6)
    frame = pytest.importorskip("pandas") and many.to_frame()
    assert list(frame["study_id"]) == list(many.ids)
    assert frame[many.labels[0]].iloc[1] == pytest.approx(many.probabilities[1, 0], abs=1e-6)


def test_embeddings_are_rows_of_one_array(checkpoint: Checkpoint) -> None:
    studies = made_up.studies(3)
    rows = checkpoint.embed(studies, mode="image")
    assert rows.dtype == np.float32
    for row, (_, vectors) in zip(rows, embed(studies, checkpoint), strict=True):
        np.testing.assert_array_equal(row, vectors["image"])
    assert checkpoint.embed(studies[0]).shape == (1, rows.shape[1])
    with pytest.raises(InputError, match="mode text"):
        checkpoint.embed([studies[0].image_only()], mode="text")


def test_a_library_is_read_like_a_mapping(checkpoint: Checkpoint, tmp_path: Path) -> None:
    studies = made_up.studies(2)
    with Library.create(
        tmp_path / "library.sqlite",
        model=checkpoint.fingerprint,
        vocabulary=checkpoint.vocabulary.digest,
        labels=checkpoint.vocabulary.codes,
        dimension=checkpoint.embed(studies[0]).shape[1],
    ) as library:
        for study, vectors in embed(studies, checkpoint):
            library.add(study, vectors)
        assert list(library) == sorted(study.study_id for study in studies)
        assert len(library) == 2
        assert studies[0].study_id in library
        assert "nobody" not in library
        found: Study = library[studies[0].study_id]
        assert found.study_id == studies[0].study_id
        assert pytest.importorskip("pandas") is not None
        assert list(library.to_frame()["study_id"]) == list(library)
