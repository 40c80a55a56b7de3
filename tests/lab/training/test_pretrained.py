"""Weights of other layouts give what their own code gives: golden outputs of MedCLIP 0.0.3 and timm
(``benchmarks/golden_encoders.py``), on weights that ``made_weights`` makes again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tests import made_up
from tests.made_weights import BERT, SWIN, TIMM, fill, ids, picture, pixels

from lingula.errors import ModelError
from lingula.model.architecture import Architecture
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import Radiograph
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.fit import Preset
from lingula_lab.training.pretrained import start_from, timm_swin

GOLDEN = Path(__file__).parent / "golden"
MEDCLIP, TIMM_SWIN = (json.loads((GOLDEN / f"{name}.json").read_text()) for name in ("medclip", "timm_swin"))


def model(name: str = "medclip", **image: Any) -> StudyModel:
    torch.manual_seed(0)
    body = Preset.load(name).architecture
    small = {"image": {**body["image"], **(image or SWIN)}, "text": {"model_type": "bert", **BERT}, "grid": 4}
    return StudyModel(Architecture.from_json({**body, **small, "labels": 3, "tokens": 32})).eval()


def saved(shapes: dict[str, list[int]], path: Path, **changes: torch.Tensor) -> Path:
    """As the original saves it, with its integer buffers."""
    buffers = {key: torch.zeros(shape, dtype=torch.long) for key, shape in shapes.items()}
    save_file({**buffers, **fill(shapes), **changes}, path)
    return path


def test_medclip_gives_its_own_embeddings(tmp_path: Path) -> None:
    assert {"logit_scale", "vision_model.projection_head.weight", "text_model.projection_head.weight"} < set(
        MEDCLIP["names"]
    )
    made = model()
    start_from(made, saved(MEDCLIP["names"], tmp_path / "medclip.safetensors"))
    words = torch.from_numpy(ids())
    with torch.no_grad():
        image = made.image_encoder(torch.from_numpy(pixels(SWIN["image_size"])))
        text = made.text_encoder(made.text_encoder.words(words), torch.ones_like(words, dtype=torch.bool))
    for tokens, side in ((image, "image"), (text, "text")):
        golden = torch.tensor(MEDCLIP[side])
        assert (golden[0] - golden[1]).abs().max() > 1e-3  # it looks at what it is given
        torch.testing.assert_close(F.normalize(tokens.mean(1), dim=-1), golden, atol=1e-5, rtol=0)


def test_medclip_sees_its_own_pixels() -> None:
    """To a grey level: MedCLIP rounds to 8 bits after resizing."""
    preprocessing = Preprocessing(**Preset.load("medclip").architecture["preprocessing"])
    film = np.asarray(picture(), np.float32) / 255
    found = to_input(Radiograph("x", film), preprocessing)[::8, ::8]
    np.testing.assert_allclose(found, MEDCLIP["pixels"], atol=1 / 255 / preprocessing.std)
    moved = to_input(Radiograph("x", film), replace(preprocessing, resample="bilinear"))[::8, ::8]
    assert np.abs(moved - MEDCLIP["pixels"]).max() > 3 / 255 / preprocessing.std


def test_timm_gives_its_own_features(tmp_path: Path) -> None:
    config = {"model_type": "swin", "image_size": TIMM["img_size"], "patch_size": 4, "num_channels": 3,
              "window_size": TIMM["window_size"], "embed_dim": TIMM["embed_dim"], "depths": list(TIMM["depths"]),
              "num_heads": list(TIMM["num_heads"])}  # fmt: skip
    made = model(**config)
    start_from(made, saved(TIMM_SWIN["names"], tmp_path / "swin.safetensors"))
    with torch.no_grad():
        found = made.image_encoder.backbone(torch.from_numpy(pixels(56)).expand(-1, 3, -1, -1)).last_hidden_state
    torch.testing.assert_close(found, torch.tensor(TIMM_SWIN["features"]), atol=1e-5, rtol=1e-5)
    # The paper's own code, and the reference's file, merge patches at the end of a stage.
    early = {
        key if ".downsample." not in key else key.replace(key[:8], f"layers.{int(key[7]) - 1}"): tensor
        for key, tensor in fill(TIMM_SWIN["names"]).items()
    }
    one, other = timm_swin(early), timm_swin(fill(TIMM_SWIN["names"]))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_every_published_tensor_of_swin_base_has_its_place(tmp_path: Path) -> None:
    encoder = ImageEncoder(Preset.load("swin-clinicalbert").architecture["image"], 8, grid=7)
    made = made_up.model()
    made.architecture = replace(made.architecture, image=Preset.load("swin-clinicalbert").architecture["image"])
    made.image_encoder = encoder
    places = {
        key: torch.full(shape, float(i % 2000)).half() for i, (key, shape) in enumerate(TIMM_SWIN["published"].items())
    }
    save_file(places, tmp_path / "swin.safetensors")
    start_from(made, tmp_path / "swin.safetensors")
    state = made.image_encoder.backbone.state_dict()
    backbone = {key: tensor for key, tensor in places.items() if not key.startswith("head.")}
    assert len(state) == len(backbone) + 2 * sum(".qkv." in key for key in backbone)
    assert {float(t.flatten()[0]) for t in state.values()} == {float(t.flatten()[0]) for t in backbone.values()}


@pytest.mark.parametrize("broken", ["projection", "missing", "excess", "unknown", "pickle"])
def test_what_does_not_fit_is_refused_and_changes_nothing(broken: str, tmp_path: Path) -> None:
    made, path = model(), tmp_path / "weights.safetensors"
    before = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    shapes = dict(MEDCLIP["names"])
    if broken == "projection":
        shapes["text_model.projection_head.weight"] = [256, 768]
    elif broken == "missing":
        del shapes["text_model.model.encoder.layer.2.output.dense.bias"]
    elif broken == "excess":
        shapes["vision_model.model.encoder.layers.9.blocks.0.layernorm_after.bias"] = [3]
    elif broken == "unknown":
        shapes = {"trunk.0.weight": [3]}
    saved(shapes, path)
    if broken == "pickle":
        torch.save({"vision_model": torch.zeros(2)}, path)
    with pytest.raises(ModelError) as refused:
        start_from(made, path)
    assert refused.value.code == ("model_bad_file" if broken == "pickle" else "model_mismatch")
    assert all(torch.equal(tensor, before[key]) for key, tensor in made.state_dict().items())
