"""Every preset has a tiny twin: the same classes, the same loading, the same checkpoint layout, in seconds.

The twin of a backbone is saved as ``transformers`` saves a published one and found by its folder, as a user's own is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import made_up
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from lingula.errors import InputError, ModelError
from lingula.model.checkpoint import load_checkpoint
from lingula.openi import load_many, scan
from lingula.openi.splits import Split
from lingula.reading.preprocess import Preprocessing
from lingula.reading.sandbox import Sandbox
from lingula.study import Study
from lingula_lab.compact.trunk_trainer import TrunkRecipe
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.checkpoint import save_checkpoint, trained_model
from lingula_lab.model.text_encoder import build_backbone
from lingula_lab.training.fit import Preset, TrainingProgress, train_checkpoint
from lingula_lab.training.loop import Recipe, halves_quickly
from lingula_lab.training.pretrained import describe, load_backbone
from lingula_phantom import generate

TINY: dict[str, dict[str, Any]] = {
    "swin": {"image_size": 64, "window_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
    "dinov2": {"image_size": 56, "patch_size": 14, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    "mobilenet_v1": {"image_size": 64, "depth_multiplier": 0.25},
    "bert": {"vocab_size": 400, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "max_position_embeddings": 96},
}  # fmt: skip


def tiny(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, **TINY[config["model_type"]]}


def twin(name: str, folder: Path) -> Preset:
    """A shipped preset at the smallest size; backbones it starts from are saved below ``folder``."""
    preset = Preset.load(name)
    a = preset.architecture
    small = {side: tiny(a[side]) for side in ("image", "text")}
    size = small["image"]["image_size"]
    for side in preset.start:
        torch.manual_seed(1)
        build_backbone(small[side]).save_pretrained(folder / side)
    if "text" in preset.start:
        named = {f"{kind}_token": token for kind, token in (("cls", "[CLS]"), ("sep", "[SEP]"), ("pad", "[PAD]"))}
        PreTrainedTokenizerFast(tokenizer_object=made_up.tokenizer()._tokenizer, **named).save_pretrained(
            folder / "text"
        )
    changes: dict[str, Any] = {
        **small, "grid": 4, "width": 32, "dimension": 32, "heads": 4, "hidden": 16, "adapter": 4,
        "layers": min(a["layers"], 2),
        "tokens": min(a["tokens"], 64), "preprocessing": {**a["preprocessing"], "size": size},
    }  # fmt: skip
    stages = tuple(
        replace(recipe, epochs=2, batch=4)
        if isinstance(recipe, TrunkRecipe)
        else replace(
            recipe,
            epochs=min(1, recipe.epochs),
            batch=4,
            size=min(recipe.size, size),
            copies=1,
            wording=min(4, recipe.wording),
        )
        for recipe in preset.stages
    )
    own = {side: str(folder / side) for side in preset.start}
    return replace(preset, architecture={**a, **changes}, stages=stages).starting(**own)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, ...]:
    collection = scan(generate(tmp_path_factory.mktemp("phantoms"), studies=12, seed=1, long_side=96))
    with Sandbox() as sandbox:
        return tuple(load_many(collection, sandbox))


@pytest.mark.parametrize("name", ["compact", "swin-clinicalbert", "medclip", "rad-dino"])
def test_a_twin_trains_and_reloads_bit_equal(name: str, phantoms: tuple[Study, ...], tmp_path: Path) -> None:
    preset = twin(name, tmp_path)
    preprocessing = Preprocessing(**preset.architecture["preprocessing"])
    data = StudySet.build(phantoms, tmp_path / "studies", made_up.vocabulary(), preprocessing)
    split = Split("phantoms", 0, data.ids[:8], data.ids[8:], ())
    told: list[TrainingProgress] = []
    anew = [number for number, recipe in enumerate(preset.stages) if not isinstance(recipe, Recipe)]
    trunk = made_up.published_trunk(preset.architecture["image"], tmp_path / "trunk.safetensors") if anew else None
    made = train_checkpoint(
        preset, data, split, tmp_path / "model", vocabulary=made_up.vocabulary(), run=tmp_path / "run",
        trunk=trunk, note="Made up.", progress=told.append,
    )  # fmt: skip
    assert [(p.stage, p.step) for p in told if p.epoch_done is None and p.stage not in anew] == [
        (number, step)
        for number, recipe in enumerate(preset.stages)
        if recipe.epochs and number not in anew
        for step in (1, 2)
    ]
    assert {p.stage for p in told if p.epoch_done} == {n for n, recipe in enumerate(preset.stages) if recipe.epochs}
    assert set(made.training["started_from"]) == ({"trunk"} if anew else set(preset.start))
    for number in anew:  # of the last epoch, whose weights are kept
        last = [p.epoch_done for p in told if p.epoch_done and p.stage == number][-1]
        assert made.training["validation_auroc"][f"stage{number}"] == last.auroc["image"]
    again = load_checkpoint(tmp_path / "model", check_golden=True)
    assert save_checkpoint(again, tmp_path / "copy").fingerprint == made.fingerprint
    one, other = (trained_model(each).state_dict() for each in (made, load_checkpoint(tmp_path / "copy")))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_only_a_preset_that_trains_a_trunk_takes_other_films(phantoms: tuple[Study, ...], tmp_path: Path) -> None:
    compact, tiny_preset = twin("compact", tmp_path), made_up.preset()
    preprocessing = Preprocessing(**compact.architecture["preprocessing"])
    data = StudySet.build(phantoms, tmp_path / "studies", made_up.vocabulary(), preprocessing)
    split = Split("phantoms", 0, data.ids[:8], data.ids[8:], ())
    places = {"vocabulary": made_up.vocabulary(), "run": tmp_path / "run"}
    with pytest.raises(InputError, match="trains a published trunk") as refused:
        train_checkpoint(compact, data, split, tmp_path / "model", **places)
    assert refused.value.hint == "Give --trunk."
    with pytest.raises(InputError, match="no trunk among other films"):
        train_checkpoint(tiny_preset, data, split, tmp_path / "model", films=tmp_path, **places)


def test_a_backbone_comes_with_its_own_weights_and_configuration(tmp_path: Path) -> None:
    config = tiny({"model_type": "swin", "patch_size": 4, "num_channels": 3})
    torch.manual_seed(3)
    saved = AutoModel.from_config(AutoConfig.for_model(**config))
    saved.save_pretrained(tmp_path)
    described = describe(tmp_path, "bert")
    assert {key: described[key] for key in ("model_type", "embed_dim", "depths")} == {
        "model_type": "swin", "embed_dim": 8, "depths": [1, 1],
    }  # fmt: skip
    loaded = load_backbone(described, tmp_path).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in saved.state_dict().items() if key in loaded)
    with pytest.raises(ModelError) as refused:
        load_backbone({**described, "depths": [1, 2]}, tmp_path)
    assert refused.value.code == "model_mismatch"


def test_a_type_of_its_own_is_read_as_the_presets(tmp_path: Path) -> None:
    """As CXR-BERT is: a configuration that names a class of its own, weights under ``bert.`` beside other heads."""
    config = tiny({"model_type": "bert"})
    model = build_backbone(config)
    model.save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"model_type": "bert"', '"model_type": "cxr-bert"'))
    described = describe(tmp_path, "bert")
    assert (described["model_type"], described["hidden_size"]) == ("bert", 16)
    loaded = load_backbone(described, tmp_path).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in model.state_dict().items())


def test_what_is_not_at_hand_is_named(tmp_path: Path) -> None:
    for source in ("nobody/no-such-backbone", str(tmp_path)):
        with pytest.raises(InputError, match="No backbone") as refused:
            describe(source, "bert")
        assert refused.value.code == "not_found"


def test_what_is_adjusted_holds_in_the_stages_that_train() -> None:
    preset = Preset.load("compact")
    changed = preset.adjusted(batch=7, epochs=2, rate=0.001, half=True)
    trained = [recipe for recipe in preset.stages if recipe.epochs]
    assert 0 < len(trained) < len(preset.stages)
    for before, after in zip(preset.stages, changed.stages, strict=True):
        if not before.epochs:
            assert after == before
            continue
        assert (after.batch, after.epochs, after.rate) == (7, 2, 0.001)
        if isinstance(before, Recipe):
            assert after == replace(before, batch=7, epochs=2, rate=0.001, half=True)
    assert preset.adjusted() == preset
    with pytest.raises(InputError):
        preset.adjusted(batch=0)


@pytest.mark.parametrize(("has", "quick"), [((False, False), False), ((True, False), True), ((False, True), True)])
def test_half_precision_waits_for_hardware_that_has_it(
    has: tuple[bool, bool], quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert halves_quickly()
    for name, there in zip(("avx512_bf16", "amx_tile"), has, strict=True):
        monkeypatch.setattr(f"torch.cpu._is_{name}_supported", lambda there=there: there)
    assert halves_quickly(cpu=True) is quick


def test_a_preset_of_before_is_read_and_an_unknown_key_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.loads((resources.files("lingula_lab.training") / "presets/tiny.json").read_text())
    body["stages"][0] |= {"loudness": 0.5, "voices": 2.0}
    own = tmp_path / "own.json"
    own.write_text(json.dumps(body))
    read = Preset.load(own)
    assert isinstance(read.stages[0], Recipe)
    assert (read.stages[0].scale, read.stages[0].word_terms) == (0.5, 2.0)
    assert "loudness, which is called scale now" in caplog.text
    body["stages"][0]["blend"] = 1.0
    own.write_text(json.dumps(body))
    with pytest.raises(InputError, match="no 'blend'") as refused:
        Preset.load(own)
    assert refused.value.code == "bad_request"
