"""A trunk trained whole: what is folded and read is what was trained, alone and among films of other sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import made_up

from lingula.errors import InputError
from lingula_lab.compact.other_films import OtherFilms
from lingula_lab.compact.trunk_trainer import TrunkRecipe, TrunkTrainer
from lingula_lab.compact.trunks import MobileTrunk
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.training.mobilenet import load_trunk

TRAIN, VALIDATION = np.arange(20), np.arange(20, 32)
RECIPE = TrunkRecipe(others=4, epochs=2, batch=8, rate=1e-2, head_rate=1e-2)


def _trainer(
    data: StudySet, trunk: Path, run: Path, recipe: TrunkRecipe = RECIPE, others: OtherFilms | None = None
) -> TrunkTrainer:
    model, states = made_up.folded_mobilenet(), made_up.report_states()
    return TrunkTrainer(model, data, TRAIN, VALIDATION, states, recipe, trunk, run, others)


@pytest.fixture
def others(data: StudySet) -> OtherFilms:
    """Two sources: one with a label that its dark films have, one without labels."""
    random = np.random.default_rng(0)
    films = random.integers(0, 255, (24, *data.films.shape[1:]), dtype=np.uint8)
    dark = np.arange(12) % 2 == 0
    films[:12][dark] //= 4
    targets = dark[:, None].astype(np.float32), np.empty((12, 0), np.float32)
    return OtherFilms(("one", "two"), (films[:12], films[12:]), targets)


@pytest.mark.parametrize("among", [False, True])
def test_what_is_folded_and_read_is_what_was_trained(
    data: StudySet, trunk: Path, tmp_path: Path, others: OtherFilms, among: bool
) -> None:
    """The folded trunk's outputs, and from their means the labels' logits and the state in the units it came in."""
    trainer = _trainer(data, trunk, tmp_path, others=others if among else None)
    assert [epoch.epoch for epoch in trainer.fit()] == [0, 1]
    model, reading = trainer.finish(), trainer.reading()
    films = trainer.held_out[:4]
    pixels, views = trainer._read(data.films, films), trainer.views[films]
    with torch.no_grad():
        average = trainer.average
        outputs, hidden = average.trunk(pixels), average(pixels, views)
        logits, guess = average.head(hidden), average.state(hidden)
        backbone = model.image_encoder.backbone.eval()
        states = backbone(pixels, output_hidden_states=True).hidden_states
        features = model.image_encoder.eval().features(pixels).mean((2, 3))
    for level, output in zip(model.image_encoder.levels, outputs, strict=True):
        torch.testing.assert_close(states[level], output, atol=1e-3, rtol=1e-3)
    offsets, state_offsets = reading.bias[views], reading.state_bias[views]
    labels = data.labels.shape[1]
    torch.testing.assert_close(features @ reading.weight.T + offsets, logits[:, :labels], atol=1e-3, rtol=1e-3)
    assert float(trainer.scale) != 1
    state = guess * trainer.scale
    torch.testing.assert_close(features @ reading.state.T + state_offsets, state, atol=1e-3, rtol=1e-3)


def test_a_source_is_learnt_by_its_own_head(data: StudySet, trunk: Path, tmp_path: Path, others: OtherFilms) -> None:
    recipe = replace(RECIPE, epochs=12, others=16, disturbed=0.0, others_labels=4.0)
    trainer = _trainer(data, trunk, tmp_path, recipe, others)
    list(trainer.fit())
    trainer.finish()
    frontal = torch.zeros(12, dtype=torch.long)
    with torch.no_grad():
        told = trainer.average.others[0](trainer.average(trainer._read(others.films[0], np.arange(12)), frontal))[:, 0]
    dark = torch.from_numpy(others.targets[0][:, 0] == 1)
    assert told[dark].min() > told[~dark].max()
    assert [sum(p.numel() for p in head.parameters()) for head in trainer.average.others] == [257, 0]


def test_a_trunk_starts_with_the_spread_it_was_published_with(data: StudySet, trunk: Path) -> None:
    """On the films that it was asked about the normalised trunk answers as the published one does."""
    encoder = made_up.folded_mobilenet().image_encoder
    pixels = (torch.from_numpy(data.films[:16].copy())[:, None].float() / 255 - 0.5) / 0.5
    started = MobileTrunk(encoder, trunk, pixels).eval()
    published = ImageEncoder(made_up.MOBILE, 16, grid=4, levels=encoder.levels, fold=True)
    load_trunk(published, trunk)
    with torch.no_grad():
        there = published.backbone.eval()(pixels, output_hidden_states=True).hidden_states
        for level, output in zip(encoder.levels, started(pixels), strict=True):
            torch.testing.assert_close(output, there[level], atol=1e-3, rtol=1e-3)


def test_resumed_ends_where_one_go_ends(data: StudySet, trunk: Path, tmp_path: Path, others: OtherFilms) -> None:
    whole = _trainer(data, trunk, tmp_path / "whole", others=others)
    epochs = list(whole.fit())
    stopped = _trainer(data, trunk, tmp_path / "parts", others=others).fit()
    first = next(stopped)
    stopped.close()
    resumed = _trainer(data, trunk, tmp_path / "parts", others=others)
    assert [first, *resumed.fit()] == epochs
    one, other = whole.finish().state_dict(), resumed.finish().state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for recipe, among in ((replace(RECIPE, mix=0.0), others), (RECIPE, None)):
        with pytest.raises(InputError, match="another recipe"):
            list(_trainer(data, trunk, tmp_path / "parts", recipe, among).fit())


def test_only_a_folded_mobilenet_is_taken(data: StudySet, trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folded MobileNetV1"):
        TrunkTrainer(made_up.model(), data, TRAIN, VALIDATION, torch.zeros(32, 16), RECIPE, trunk, tmp_path)
