"""The graphs of a checkpoint answer as the trained model does, for any number of studies, films and words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests import made_up

from lingula.errors import ModelError
from lingula.model.batch import Batch, batch_studies
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.study import MODES, Report, Study
from lingula_lab.model import checkpoint as folders
from lingula_lab.model.checkpoint import add_graphs, save_checkpoint, trained_model
from lingula_lab.model.onnx_export import write_alone
from lingula_lab.model.study_model import TensorBatch

LONG = Report.from_sections(findings="Fluid blunts the left angle. Spurs along the thoracic spine. " * 20)
TALL, WIDE = made_up.film(1, (90, 60)), made_up.film(2, (70, 95), "lateral")
MIXED = (
    Study("image", (TALL,)),
    Study("text", (), Report.from_sections(impression="Worn spine.")),
    Study("three films", (WIDE, TALL, TALL), Report.from_sections(impression="Effusion on the left.")),
    Study("long text", (WIDE,), LONG),
)
SWIN = {"model_type": "swin", "num_channels": 3, "image_size": 64, "patch_size": 4, "window_size": 4, "embed_dim": 8,
        "depths": [2, 2], "num_heads": [1, 2]}  # fmt: skip
DINO = {"model_type": "dinov2", "num_channels": 3, "image_size": 56, "patch_size": 14, "hidden_size": 16,
        "num_hidden_layers": 3, "num_attention_heads": 2, "mlp_ratio": 2}  # fmt: skip
TWINS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "a pair of folded MobileNets, word terms": {
        "image": made_up.MOBILE, "levels": (13, 21, 25), "fold": True, "trunks": 2, "word_terms": True
    },
    "MobileNet with its norms": {"image": made_up.MOBILE, "grid": 2},
    "Swin in colour, several levels": {"image": SWIN, "levels": (0, 1), "grid": 8},
    "DINOv2, one fusion layer": {"image": DINO, "grid": 4, "layers": 1},
}  # fmt: skip


def _batch(made: Checkpoint, *studies: Study) -> Batch:
    return batch_studies(studies, made.model.architecture.preprocessing, made.tokenizer)


@pytest.mark.parametrize("twin", TWINS)
def test_graphs_are_the_trained_model(tmp_path: Path, twin: str) -> None:
    made = save_checkpoint(made_up.trained(made_up.model(**TWINS[twin])), tmp_path / "model")
    model = trained_model(made)
    for studies in (MIXED, MIXED[:1], MIXED[1:2], MIXED[2:]):
        batch = _batch(made, *studies)
        found, trace = made.model(batch, MODES), made.model.trace(made.model.encode(batch))
        with torch.no_grad():
            expected = model(TensorBatch.of(batch), MODES)
            parts = model.contributions(expected["joint"].fused)
        for mode in MODES:
            for name in ("embedding", "logits", "state"):
                theirs = getattr(expected[mode], name).numpy()
                np.testing.assert_allclose(getattr(found[mode], name), theirs, atol=1e-4, rtol=1e-3)
        np.testing.assert_allclose(trace.contributions, parts, atol=1e-4, rtol=1e-3)
        if model.fusion.layers:
            fused = expected["joint"].fused
            np.testing.assert_allclose(trace.image_to_text, fused.image_to_text[-1], atol=1e-5)
            np.testing.assert_allclose(trace.text_to_image, fused.text_to_image[-1], atol=1e-5)
        if len(batch.pixels):
            with torch.no_grad():
                near = model.image_encoder.details(torch.from_numpy(batch.pixels)).numpy()
            np.testing.assert_allclose(made.model.details(batch.pixels), near, atol=1e-4, rtol=1e-3)


def test_a_question_in_words_loads_no_image_encoder(checkpoint_folder: Path) -> None:
    made = load_checkpoint(checkpoint_folder, check_golden=False)
    made.model(_batch(made, MIXED[1]), ("text",))
    assert set(made.model.engine._sessions) == {"text", "fusion"}  # type: ignore[attr-defined]


def test_weights_are_kept_once(checkpoint_folder: Path) -> None:
    for part in ("image", "details", "text", "fusion"):
        assert (checkpoint_folder / f"{part}.onnx").stat().st_size < 200_000


def test_graphs_of_a_folder_of_before_leave_its_fingerprint(checkpoint_folder: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(checkpoint_folder, tmp_path / "old"))
    sums = json.loads((old / "manifest.json").read_text())
    for name in [name for name in sums if name.endswith(".onnx")]:
        (old / name).unlink()
        del sums[name]
    (old / "manifest.json").write_text(json.dumps(sums))
    with pytest.raises(ModelError, match="graphs") as refused:
        load_checkpoint(old)
    assert f"lingula export onnx {old}" in str(refused.value.hint)
    assert add_graphs(old).fingerprint == load_checkpoint(checkpoint_folder).fingerprint


def test_parts_stand_alone_for_other_programs(checkpoint_folder: Path, tmp_path: Path) -> None:
    made = load_checkpoint(checkpoint_folder)
    write_alone(checkpoint_folder, tmp_path / "alone")
    batch = _batch(made, *MIXED)
    expected = made.model.engine.run("image", {"pixels": batch.pixels}, ("patches",))[0]
    shutil.copy(tmp_path / "alone" / "image.onnx", tmp_path / "moved.onnx")  # by itself, beside nothing
    alone = onnxruntime.InferenceSession(tmp_path / "moved.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(alone.run(["patches"], {"pixels": batch.pixels})[0], expected, atol=1e-5)


def test_graphs_that_answer_otherwise_are_not_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(model: Any, folder: Path, *given: Any) -> None:
        export(model, folder, *given)
        graph = onnx.load(folder / "fusion.onnx", load_external_data=False)
        norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
        for node in norms:
            next(each for each in node.attribute if each.name == "epsilon").f = 1.0
        assert norms
        onnx.save(graph, folder / "fusion.onnx")

    export = folders.export_graphs
    monkeypatch.setattr(folders, "export_graphs", swapped)
    with pytest.raises(ModelError) as refused:
        save_checkpoint(made_up.trained(made_up.model()), tmp_path / "model")
    assert refused.value.code == "model_mismatch"


def test_a_trained_model_in_memory_answers_as_itself(checkpoint_folder: Path) -> None:
    made = load_checkpoint(checkpoint_folder)
    same = folders.with_model(made, trained_model(made))
    batch = _batch(made, *MIXED)
    for mode in MODES:
        one, other = made.model(batch, (mode,))[mode], same.model(batch, (mode,))[mode]
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
    assert replace(same, training={}).fingerprint == ""
