"""Backbones of three families give the same grid, row by row; folding a convolution with its norm keeps the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lingula.errors import ModelError
from lingula_lab.model.image_encoder import ImageEncoder, PatchExtractor, fold_batch_norm
from lingula_lab.model.text_encoder import build_backbone
from lingula_lab.training.mobilenet import load_trunk

SWIN = {"model_type": "swin", "num_channels": 1, "image_size": 64, "patch_size": 4, "window_size": 4, "embed_dim": 8,
        "depths": [1, 1], "num_heads": [1, 2]}  # fmt: skip
MOBILENET = {"model_type": "mobilenet_v1", "num_channels": 1, "image_size": 64, "depth_multiplier": 0.25}
DINO = {"model_type": "dinov2", "num_channels": 3, "image_size": 56, "patch_size": 14, "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "levels", "channels"),
    [(SWIN, (), 16), (SWIN, (0, 1), 24), (MOBILENET, (21, 25), 384), (DINO, (), 16), (DINO, (1, 2), 32)],
    ids=["swin", "swin levels", "mobilenet levels", "dinov2", "dinov2 levels"],
)
def test_grid(backbone: dict[str, Any], levels: tuple[int, ...], channels: int) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(backbone, 12, grid=4, levels=levels).eval()
    pixels = torch.zeros(2, 1, backbone["image_size"], backbone["image_size"])
    pixels[1, :, : pixels.shape[2] // 4, -pixels.shape[3] // 4 :] = 3.0  # the upper right patch of a grid of four
    with torch.no_grad():
        grid, patches = encoder.features(pixels), encoder(pixels)
    assert grid.shape == (2, channels, 4, 4)
    assert patches.shape == (2, 16, 12)
    torch.testing.assert_close(patches[0].view(4, 4, 12)[1, 2], encoder.to_width(grid[0, :, 1, 2]))
    if not levels and backbone is not DINO:  # a transformer with global attention need not keep the place
        assert (grid[1] - grid[0]).abs().sum(0).argmax() == 3


@pytest.mark.parametrize(
    ("backbone", "levels", "grid"), [(SWIN, (), 4), (SWIN, (0, 1), 4), (MOBILENET, (1, 5), 4), (MOBILENET, (1, 5), 32)]
)
def test_two_trunks_share_out_each_level(backbone: dict[str, Any], levels: tuple[int, ...], grid: int) -> None:
    """The first one's channels, then the second's, level by level; mapped before or after they meet on the grid."""
    torch.manual_seed(0)
    both = ImageEncoder(backbone, 12, grid=grid, levels=levels, trunks=2).eval()
    pixels = torch.randn(2, 1, backbone["image_size"], backbone["image_size"])
    parts = []
    for trunk in both.trunks:
        alone = ImageEncoder(backbone, 12, grid=grid, levels=levels).eval()
        alone.backbone.load_state_dict(trunk.state_dict())
        with torch.no_grad():
            parts.append([grids for (grids,) in alone.levels_of(pixels)])
    expected = torch.cat([grids for level in zip(*parts, strict=True) for grids in level], 1)
    with torch.no_grad():
        torch.testing.assert_close(both.features(pixels), expected)
        torch.testing.assert_close(PatchExtractor(both)(pixels), both(pixels))
    assert not torch.allclose(parts[0][0], parts[1][0])


def test_transformer_grid_drops_the_class_token_and_reads_rows() -> None:
    encoder = ImageEncoder(DINO, 12, grid=4)
    state = torch.cat([torch.full((1, 1, 16), -1.0), torch.arange(16.0)[None, :, None].expand(1, 16, 16)], 1)
    torch.testing.assert_close(encoder._square(state)[0, 0], torch.arange(16.0).view(4, 4))


def _mobilenet() -> nn.Module:
    torch.manual_seed(0)
    backbone = build_backbone(MOBILENET)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias):
                nn.init.uniform_(tensor, -0.5, 0.5)
            for tensor in (layer.running_var, layer.weight):
                nn.init.uniform_(tensor, 0.5, 2)
    return backbone.eval()


def test_folding_keeps_the_map_and_leaves_everything_trainable() -> None:
    plain, folded = _mobilenet(), _mobilenet()
    fold_batch_norm(folded)
    pixels = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        before, after = plain(pixels).last_hidden_state, folded(pixels).last_hidden_state
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    assert before.abs().max() > 0.1
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert all(parameter.requires_grad for parameter in folded.parameters())


def _trunk(path: Path, encoder: ImageEncoder, *, planes: int = 3) -> dict[str, torch.Tensor]:
    tensors = {}
    for i, layer in enumerate([encoder.backbone.conv_stem, *encoder.backbone.layer]):
        shape = list(layer.convolution.weight.shape)
        shape[1] = planes if i == 0 else shape[1]
        tensors[f"features.{i}.weight"] = torch.randn(shape) / 3
        tensors[f"features.{i}.bias"] = torch.full(shape[:1], float(i))
    save_file({key: tensor.half() for key, tensor in tensors.items()}, path)
    return tensors


def test_trunk_goes_in_layer_by_layer(tmp_path: Path) -> None:
    encoder = ImageEncoder(MOBILENET, 8, grid=2, fold=True)
    tensors = _trunk(tmp_path / "trunk.safetensors", encoder)
    load_trunk(encoder, tmp_path / "trunk.safetensors")
    layers = [encoder.backbone.conv_stem, *encoder.backbone.layer]
    assert [layer.convolution.bias[0].item() for layer in layers] == list(range(27))
    grey = torch.randn(1, 1, 16, 16)
    colour = nn.functional.conv2d(grey.expand(1, 3, 16, 16), tensors["features.0.weight"].half().float())
    torch.testing.assert_close(
        nn.functional.conv2d(grey, layers[0].convolution.weight), colour, atol=1e-2, rtol=0
    )  # the sum of three halves


def test_wrong_trunk_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    encoder = ImageEncoder(MOBILENET, 8, grid=2, fold=True)
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    path = tmp_path / "trunk.safetensors"
    tensors = _trunk(path, encoder)
    other = {**tensors, "features.26.weight": torch.zeros(3, 3)}
    short = {key: tensor for key, tensor in tensors.items() if not key.startswith("features.26.")}
    renamed = {key.replace("features", "layers"): tensor for key, tensor in tensors.items()}
    for wrong in (other, short, renamed):
        save_file(wrong, path)
        with pytest.raises(ModelError) as refused:
            load_trunk(encoder, path)
        assert refused.value.code == "model_mismatch"
    path.write_bytes(b"not a trunk")
    with pytest.raises(ModelError) as refused:
        load_trunk(encoder, path)
    assert refused.value.code == "model_bad_file"
    for key, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[key], atol=0, rtol=0)
    _trunk(path, encoder)
    with pytest.raises(ModelError, match="folded"):
        load_trunk(ImageEncoder(MOBILENET, 8, grid=2), path)
