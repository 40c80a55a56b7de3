"""A trunk's last layers anew: they start as published, learn, fold to what was trained, and resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import made_up

from lingula.errors import InputError
from lingula_lab.compact.last_layers import UpperRecipe, UpperTrainer, _opened, _outputs
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.training.mobilenet import load_trunk

TRAIN, VALIDATION = np.arange(20), np.arange(20, 32)
RECIPE = UpperRecipe(first=18, epochs=2, batch=8, copies=2, rate=1e-2, trunk_rate=1e-2)


def _trainer(data: StudySet, trunk: Path, run: Path, recipe: UpperRecipe = RECIPE) -> UpperTrainer:
    model, states = made_up.folded_mobilenet(), made_up.report_states()
    return UpperTrainer(model, data, TRAIN, VALIDATION, states, recipe, trunk, run)


def test_what_is_folded_is_what_was_trained(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    trainer = _trainer(data, trunk, tmp_path)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    assert len(list(trainer.fit())) == 2
    films = trainer.held_out[:4]
    pixels = (torch.from_numpy(data.films[films])[:, None].float() / 255 - 0.5) / 0.5  # as the tiny preset reads them
    with torch.no_grad():
        below = _outputs(trainer.model.image_encoder.backbone, 18, pixels)[-1]
        torch.testing.assert_close(_opened(trainer.held[0][:4]), below, atol=6 / 255 / 2 + 1e-6, rtol=0)
        trained = trainer.average.trunk(below)
        model = trainer.finish()
        states = model.image_encoder.backbone.eval()(pixels, output_hidden_states=True).hidden_states
    for level, answer in zip(range(18, 26), trained, strict=True):
        torch.testing.assert_close(states[level], answer, atol=1e-4, rtol=1e-3)
    for key, tensor in model.state_dict().items():
        stays = not any(f"backbone.layer.{layer}." in key for layer in range(18, 26))
        assert torch.equal(tensor, before[key]) == stays, key


def test_layers_start_with_the_spread_they_were_published_with(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    """However the layers below shift what is handed up: that is what keeps units alive."""
    trainer = _trainer(data, trunk, tmp_path)
    published = ImageEncoder(made_up.MOBILE, 16, grid=4, fold=True)
    load_trunk(published, trunk)
    pixels = (torch.from_numpy(data.films[trainer.films[:64]])[:, None].float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        there = published.backbone.eval()(pixels, output_hidden_states=True).hidden_states[18]
        here = trainer.reader.trunk.train()(_opened(trainer.kept[0][0][:64]))[0]
    assert float(here.mean()) == pytest.approx(float(there.mean()), rel=0.3)


def test_a_reading_says_what_was_trained(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    """From the folded layers' mean features: the labels' logits, and the state in the units it came in."""
    trainer = _trainer(data, trunk, tmp_path)
    list(trainer.fit())
    films, labels = trainer.held_out[:4], data.labels.shape[1]
    pixels = (torch.from_numpy(data.films[films])[:, None].float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        model, reading = trainer.finish(), trainer.reading()
        features = model.image_encoder.eval().features(pixels).mean((2, 3))
        below = _outputs(model.image_encoder.backbone, 18, pixels)[-1]
        logits, guess = trainer.average(below, features[:, : reading.fresh], trainer.views[films])
    offsets, state_offsets = (bias[trainer.views[films]] for bias in (reading.bias, reading.state_bias))
    torch.testing.assert_close(features @ reading.weight.T + offsets, logits[:, :labels], atol=1e-3, rtol=1e-3)
    assert float(trainer.spread) != 1
    state = guess * trainer.spread
    torch.testing.assert_close(features @ reading.state.T + state_offsets, state, atol=1e-3, rtol=1e-3)


def test_resumed_ends_where_one_go_ends(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    whole = _trainer(data, trunk, tmp_path / "whole")
    epochs = list(whole.fit())
    stopped = _trainer(data, trunk, tmp_path / "parts").fit()
    first = next(stopped)
    stopped.close()
    resumed = _trainer(data, trunk, tmp_path / "parts")
    assert [first, *resumed.fit()] == epochs
    one, other = whole.finish().state_dict(), resumed.finish().state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(InputError, match="another recipe"):
        list(_trainer(data, trunk, tmp_path / "parts", replace(RECIPE, mix=0.0)).fit())


def test_only_a_folded_mobilenet_is_taken(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folded MobileNetV1"):
        UpperTrainer(made_up.model(), data, TRAIN, VALIDATION, torch.zeros(32, 16), RECIPE, trunk, tmp_path)
