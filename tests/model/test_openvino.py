"""Compiled encoders answer as the originals do, leave gradients to them, and are refused where they do not."""

from __future__ import annotations

import copy
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import made_up

from lingula.analysis import embed
from lingula.errors import InputError, ModelError
from lingula.model import fast
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.study_model import batch_studies
from lingula.study import Study

STUDIES = (*made_up.studies(5), Study("film", (made_up.film(7),)), Study("words", (), made_up.study(4).report))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def compiled(checkpoint_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return load_checkpoint(checkpoint_folder, fast=True)


def test_the_same_answers_one_by_one_and_together(compiled: Checkpoint, checkpoint_folder: Path) -> None:
    plain = load_checkpoint(checkpoint_folder)
    assert compiled.fingerprint == plain.fingerprint
    for batch in (1, 3):
        pairs = list(zip(embed(plain, STUDIES, batch), embed(compiled, STUDIES, batch), strict=True))
        assert len(pairs) == len(STUDIES)
        for (_, expected), (_, found) in pairs:
            assert expected.keys() == found.keys()
            assert all(float(expected[mode] @ found[mode]) >= fast.COSINE for mode in expected)


def test_it_is_the_compiled_encoders_that_answer_and_the_originals_that_have_gradients(compiled: Checkpoint) -> None:
    """A compiled encoder that returns zeros changes the answer, and only the answer without gradients."""
    model = copy.copy(compiled.model)
    batch = batch_studies(STUDIES[:2], model.architecture.preprocessing, compiled.tokenizer)
    for encoder, inputs in (
        (model.image_encoder, (batch.pixels.requires_grad_(),)),
        (model.text_encoder, (model.text_encoder.words(batch.ids).detach().requires_grad_(), batch.token_mask)),
    ):
        kept = encoder.compiled
        assert kept is not None
        with torch.no_grad():
            before = encoder(*inputs)
        try:
            encoder.compiled = lambda *some, kept=kept: torch.zeros_like(kept(*some))
            with torch.no_grad():
                assert not torch.allclose(encoder(*inputs), before, atol=1e-2)
            traced = encoder(*inputs)
        finally:
            encoder.compiled = kept
        torch.testing.assert_close(traced.detach(), before, atol=5e-2, rtol=0)  # bf16 may have won
        assert traced.requires_grad
    assert copy.deepcopy(model).image_encoder.compiled is None  # a copy may get other weights


def test_exported_once_and_safe_among_threads(
    compiled: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(fast, "export_onnx", never)
    check = fast.compile_encoders(compiled)
    assert check.passes
    (folder,) = (cache / "lingula" / "fast").iterdir()  # and no leftovers
    assert {path.name for path in folder.iterdir()} >= {"image.onnx", "text.onnx", "check.json"}
    alone = [vectors["joint"] for _, vectors in embed(compiled, STUDIES[:4], 1)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: next(embed(compiled, [s]))[1]["joint"], STUDIES[:4] * 4))
    np.testing.assert_allclose(together, alone * 4, atol=1e-5)


def test_encoders_that_answer_differently_are_refused(
    cache: Path, compiled: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of another model: nothing is kept of it."""
    (sound,) = (cache / "lingula" / "fast").iterdir()

    def exported_from_another(_: object, folder: Path) -> None:
        for name in ("image.onnx", "text.onnx"):
            shutil.copyfile(sound / name, folder / name)

    monkeypatch.setattr(fast, "export_onnx", exported_from_another)
    other = made_up.checkpoint(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match="answer differently") as refused:
        fast.compile_encoders(other, tmp_path / "cache")
    assert refused.value.code == "model_mismatch"
    assert other.model.image_encoder.compiled is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_the_extra(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="OpenVINO") as refused:
        load_checkpoint(checkpoint_folder, fast=True)
    assert refused.value.code == "bad_request"
