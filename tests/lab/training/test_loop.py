"""Training that is stopped and resumed, or shared among processes, ends where training in one go ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests import made_up

from lingula.errors import InputError
from lingula_lab.compact.feature_cache import FeatureBank
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training import loop
from lingula_lab.training.loop import Recipe, Trainer, predict_set, predict_states

RECIPE = Recipe(
    epochs=2,
    batch=8,
    size=64,
    rate=3e-3,
    trunk_rate=3e-3,
    ema=0.5,
    drop_view=0.5,
    align=0.1,
    terms=0.5,
    sides=0.2,
    mask=0.3,
    monitor="joint",
)
TRAIN, VALIDATION = np.arange(20), np.arange(20, 32)


def _trainer(
    data: StudySet, run: Path, recipe: Recipe = RECIPE, *, seed: int = 0, places: np.ndarray[Any, Any] | None = None
) -> Trainer:
    torch.manual_seed(seed)
    model = StudyModel(made_up.architecture())
    return Trainer(model, made_up.tokenizer(), data, TRAIN, VALIDATION, recipe, run, prototypes=places)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_resumed_is_the_same_to_the_last_bit(data: StudySet, tmp_path: Path) -> None:
    whole = _trainer(data, tmp_path / "whole")
    epochs = list(whole.fit())
    stopped = _trainer(data, tmp_path / "parts").fit()
    first = next(stopped)
    stopped.close()  # killed after an epoch
    resumed = _trainer(data, tmp_path / "parts", seed=99)  # whatever it starts from
    rest = list(resumed.fit())
    assert [first, *rest] == epochs
    assert _same(whole.model.state_dict(), resumed.model.state_dict())
    assert _same(whole.best_model().state_dict(), resumed.best_model().state_dict())
    assert torch.equal(whole.objective.scale, resumed.objective.scale)
    assert whole.objective.scale.item() != pytest.approx(np.log(1 / 0.07), abs=1e-6)  # the temperature is trained
    assert _same(whole.objective.state_dict(), resumed.objective.state_dict())
    again = _trainer(data, tmp_path / "parts")
    assert list(again.fit()) == []
    assert again.best == resumed.best


def test_every_weight_learns(data: StudySet, tmp_path: Path) -> None:
    """All three modes and the alignment reach every parameter; the averaged weights follow at a distance."""
    trainer = _trainer(data, tmp_path, replace(RECIPE, epochs=1))
    before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
    list(trainer.fit())
    assert [key for key, p in trainer.model.named_parameters() if torch.equal(p, before[key])] == []
    averaged = trainer.average.state_dict()
    assert not _same(averaged, before)
    assert not _same(averaged, trainer.model.state_dict())


def test_hidden_words_are_words_and_are_scored_where_they_were(data: StudySet, tmp_path: Path) -> None:
    trainer = _trainer(data, tmp_path, replace(RECIPE, modes=("text",), weights=(1.0,), drop_section=0.0))
    batch, _ = trainer._batch(TRAIN[:8], torch.Generator().manual_seed(0))
    shown, hidden = trainer._hide_words(batch, torch.Generator().manual_seed(1))
    chosen = hidden >= 0
    assert 0.15 < chosen.sum() / batch.word_mask.sum() < 0.45
    assert not (chosen & ~batch.word_mask).any()  # never a special token, never padding
    assert torch.equal(hidden[chosen], batch.ids[chosen])
    assert (shown.ids[chosen] == trainer.tokenizer.mask).all()
    assert torch.equal(shown.ids[~chosen], batch.ids[~chosen])
    # guessed from fused tokens, whose first place is the stand-in's
    assert trainer.objective.words is not None
    tokens = torch.randn(8, 1 + batch.ids.shape[1], trainer.objective.words.in_features)
    logits = trainer.objective.words(tokens).log_softmax(-1)
    by_hand = [-logits[b, 1 + t, batch.ids[b, t]] for b, t in chosen.nonzero().tolist()]
    loss = trainer.objective.words_loss(tokens, hidden)
    assert loss.item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-5)
    assert trainer.objective.words_loss(tokens, torch.full_like(hidden, -100)).item() == 0


def test_parts_that_are_to_be_kept_are(data: StudySet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, keep=("head.", "image_"))
    trainer = _trainer(data, tmp_path, recipe)
    before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
    list(trainer.fit())
    kept = {key for key, tensor in trainer.model.state_dict().items() if torch.equal(tensor, before[key])}
    assert kept == {key for key in before if key.startswith(recipe.keep)}


def _scripted(monkeypatch: pytest.MonkeyPatch, trainer: Trainer, figures: list[float]) -> None:
    """Let validation say these figures, one an epoch."""
    told: Iterator[float] = iter(figures)
    monkeypatch.setattr(trainer, "validate", lambda mode: next(told))


def test_the_best_epoch_is_kept_and_patience_ends(
    data: StudySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, epochs=9, patience=2, modes=("text",), weights=(1.0,), monitor="text", align=0.0)
    trainer = _trainer(data, tmp_path, recipe)
    _scripted(monkeypatch, trainer, [0.6, 0.7, 0.7, 0.65])
    averages, found = [], []
    for epoch in trainer.fit():
        found.append((epoch.epoch, epoch.auroc["text"], epoch.best))
        averages.append({key: tensor.clone() for key, tensor in trainer.average.state_dict().items()})
    assert found == [(0, 0.6, True), (1, 0.7, True), (2, 0.7, False), (3, 0.65, False)]
    assert _same(load_file(tmp_path / "best.safetensors"), averages[1])
    assert _same(trainer.best_model().state_dict(), averages[1])
    assert trainer.best == 0.7
    resumed = _trainer(data, tmp_path, recipe)
    assert list(resumed.fit()) == []  # it had stopped, and stays so


def test_another_recipe_does_not_go_on_from_this_run(data: StudySet, tmp_path: Path) -> None:
    next(_trainer(data, tmp_path).fit())
    with pytest.raises(InputError) as refused:
        next(_trainer(data, tmp_path, replace(RECIPE, rate=1e-3)).fit())
    assert refused.value.code == "bad_request"


def test_few_validation_studies_are_measured_as_far_as_they_can_be(data: StudySet, tmp_path: Path) -> None:
    trainer = _trainer(data, tmp_path)
    assert 0 <= trainer.validate("text") <= 1
    trainer.validation_rows = np.array([20, 21, 22])  # a label or two with one positive
    assert 0 <= trainer.validate("text") <= 1
    trainer.validation_rows = np.array([20])
    assert trainer.validate("text") == 0.5


def test_training_batches(data: StudySet, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = np.arange(0, 30, 3)  # all with two films
    always = _trainer(data, tmp_path, replace(RECIPE, drop_view=1.0, drop_section=1.0, size=48))
    batch, grids = always._batch(rows, generator)
    assert grids is None
    assert batch.pixels.shape == (10, 1, 48, 48)
    assert batch.place[:, 0].tolist() == list(range(10))
    assert set(batch.views.tolist()) == {0, 1}  # either of the two
    never = _trainer(data, tmp_path, replace(RECIPE, drop_view=0.0, drop_section=0.0))
    full, _ = never._batch(rows, generator)
    assert full.place.tolist() == [[row, slot] for row in range(10) for slot in range(2)]
    assert full.pixels.min() >= -1  # (0 - 0.5) / 0.5
    assert full.pixels.max() <= 1
    assert (batch.token_mask.sum(1) <= full.token_mask.sum(1)).all()
    assert (batch.token_mask.sum(1) < full.token_mask.sum(1)).any()
    assert batch.word_mask.any(1).all()
    text, _ = _trainer(data, tmp_path, replace(RECIPE, modes=("text",), weights=(1.0,)))._batch(rows, generator)
    assert len(text.pixels) == 0


def test_a_frozen_trunk_answers_as_if_its_features_were_not_kept(data: StudySet, tmp_path: Path) -> None:
    """What is kept is what the trunk gives when deployed; it stays as it is, and what lies above learns."""
    recipe = replace(RECIPE, epochs=1, frozen=True, drop_view=0.0, copies=2)
    trainer = _trainer(data, tmp_path, recipe)
    model, bank = trainer.model.eval(), trainer.bank
    assert bank is not None
    tokens, pad = trainer.tokens, made_up.tokenizer().pad
    kept = predict_set(model, data, VALIDATION, tokens, pad, "image", bank)
    np.testing.assert_allclose(kept, predict_set(model, data, VALIDATION, tokens, pad, "image"), atol=5e-3)
    films = data.films_of(0).tolist()
    draws = [bank.draw(films, torch.Generator().manual_seed(seed)) for seed in range(8)]
    plain = bank.plain(films)
    same = [torch.equal(draw[0], plain[0]) for draw in draws]
    assert any(same)
    assert not all(same)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    list(trainer.fit())
    for key, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, before[key]) == key.startswith("image_encoder.backbone."), key
    thawed = Trainer(trainer.best_model(), trainer.tokenizer, data, TRAIN, VALIDATION, RECIPE, tmp_path / "next")
    assert all(parameter.requires_grad for parameter in thawed.model.parameters())


def test_activations_that_are_not_kept_change_nothing(
    data: StudySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _trainer(data, tmp_path / "kept", replace(RECIPE, epochs=1))
    monkeypatch.setattr(loop, "LARGE", 0)
    computed = _trainer(data, tmp_path / "computed", replace(RECIPE, epochs=1))
    flags = [
        [getattr(module, "gradient_checkpointing", False) for module in trainer.model.modules()]
        for trainer in (kept, computed)
    ]
    assert [any(each) for each in flags] == [False, True]
    losses = [[epoch.loss for epoch in trainer.fit()] for trainer in (kept, computed)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_it_learns(data: StudySet, tmp_path: Path) -> None:
    recipe = Recipe(epochs=12, batch=8, modes=("text",), weights=(1.0,), rate=5e-3, align=0, monitor="text", ema=0.5)
    auroc: list[dict[str, Any]] = [epoch.auroc for epoch in _trainer(data, tmp_path, recipe).fit()]
    assert max(figures["text"] for figures in auroc) > 0.95


def test_kept_features_know_no_dropout(data: StudySet) -> None:
    image = {**made_up.architecture().image, "hidden_dropout_prob": 0.5}
    model = made_up.model(image=image).train()
    bank = FeatureBank(model, data, TRAIN, VALIDATION, copies=1, seed=0)
    assert model.image_encoder.backbone.training
    pixels = torch.from_numpy(np.array(data.films[:3]))[:, None].float() / 255
    preprocessing = model.architecture.preprocessing
    with torch.no_grad():
        expected = model.eval().image_encoder.features((pixels - preprocessing.mean) / preprocessing.std)
    torch.testing.assert_close(bank.plain([0, 1, 2]), expected, atol=5e-3, rtol=5e-3)


def test_every_loss_can_be_asked_for_in_the_recipe(data: StudySet, tmp_path: Path) -> None:
    """Each changes what is learnt; the graph's map learns too, and comes back when training is resumed."""
    places = np.random.default_rng(0).standard_normal((data.labels.shape[1], 6)).astype(np.float32)
    plain = _trained(data, tmp_path / "plain", replace(RECIPE, epochs=1), places)
    for name, asked in (
        ("asymmetric", {"negative": 4.0, "margin": 0.05}),
        ("soft", {"soft": 0.5}),
        ("graph", {"graph": 0.5}),
    ):
        found = _trained(data, tmp_path / name, replace(RECIPE, epochs=1, **asked), places)
        assert not _same(plain.model.state_dict(), found.model.state_dict()), name
    resumed = _trained(data, tmp_path / "graph", replace(RECIPE, epochs=1, graph=0.5), places)
    assert _same(found.objective.state_dict(), resumed.objective.state_dict())
    fresh = _trainer(data, tmp_path / "fresh", replace(RECIPE, graph=0.5), places=places)
    assert not torch.equal(found.objective.graph.weight, fresh.objective.graph.weight)
    with pytest.raises(InputError, match="graph"):
        _trainer(data, tmp_path / "none", replace(RECIPE, graph=0.5))


def _trained(data: StudySet, run: Path, recipe: Recipe, places: np.ndarray[Any, Any]) -> Trainer:
    trainer = _trainer(data, run, recipe, places=places)
    list(trainer.fit())
    return trainer


def test_a_run_begun_before_a_choice_existed_goes_on(data: StudySet, tmp_path: Path) -> None:
    list(_trainer(data, tmp_path, replace(RECIPE, epochs=1)).fit())
    state = tmp_path / "state.json"
    body = json.loads(state.read_text())
    del body["recipe"]["soft"]
    state.write_text(json.dumps(body))
    assert list(_trainer(data, tmp_path, replace(RECIPE, epochs=1)).fit()) == []
    with pytest.raises(InputError, match="another recipe"):
        list(_trainer(data, tmp_path, replace(RECIPE, epochs=1, soft=0.5)).fit())


def test_a_solved_image_path_is_kept_while_the_rest_learns(data: StudySet, tmp_path: Path) -> None:
    kept = ("image_", "view_", "fusion.", "head.")
    recipe = replace(
        RECIPE,
        epochs=1,
        modes=("image", "text"),
        weights=(0.0, 1.0),
        frozen=True,
        copies=3,
        ridge=5.0,
        keep=kept,
        monitor="text",
    )
    trainer = _trainer(data, tmp_path, recipe)
    solved = {key: value.clone() for key, value in trainer.average.state_dict().items()}
    before = StudyModel(made_up.architecture()).state_dict()
    assert not torch.equal(solved["image_encoder.to_width.weight"], before["image_encoder.to_width.weight"])
    tokens = [trainer.tokenizer(report) if report else None for report in data.reports]
    image = predict_set(trainer.average, data, TRAIN, tokens, trainer.tokenizer.pad, "image")
    states = predict_states(trainer.average, data, TRAIN, tokens, trainer.tokenizer.pad)
    text = trainer.average.head(states).detach().numpy()
    alike = np.corrcoef((image - image.mean(0)).ravel(), (text - text.mean(0)).ravel())[0, 1]
    assert alike > 0.3  # films say what their reports say; untrained paths have nothing in common
    list(trainer.fit())
    moved = {key for key, value in trainer.average.state_dict().items() if not torch.equal(value, solved[key])}
    assert moved
    assert not any(key.startswith(kept) for key in moved)


def test_features_of_a_frozen_trunk_are_computed_once(
    data: StudySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, they come from the run; another seed, or another trunk, asks for others."""
    asked: list[int] = []
    real = loop.pooled_features
    monkeypatch.setattr(loop, "pooled_features", lambda *a, **named: asked.append(named["seed"]) or real(*a, **named))
    recipe = replace(RECIPE, epochs=1, frozen=True, copies=2, ridge=5.0)
    first, again = (_trainer(data, tmp_path, recipe) for _ in range(2))
    assert asked == [0]
    assert first.features is not None
    assert again.features is not None
    assert torch.equal(first.features, again.features)
    assert _same(first.average.state_dict(), again.average.state_dict())
    _trainer(data, tmp_path, replace(recipe, seed=1))
    assert asked == [0, 1]
    _trainer(data, tmp_path, recipe, seed=1)
    assert asked == [0, 1, 0]
