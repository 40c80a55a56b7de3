"""Start a folded MobileNetV1 from a published ImageNet trunk (plain biased convolutions in network order)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from lingula.errors import ModelError
from lingula.models.image import ImageEncoder


def load_trunk(encoder: ImageEncoder, path: Path) -> None:
    """Copy ``features.<i>.weight`` / ``.bias`` into the encoder's convolutions as a starting point for training.

    The trunk takes RGB in [-1, 1]; our films are grey, so the three input planes are summed, which is the same map.

    Raises:
        ModelError: ``model_mismatch`` when number or shape of the layers differ.
    """
    tensors = load_file(path)
    layers = [encoder.backbone.conv_stem, *encoder.backbone.layer]
    if 2 * len(layers) != len(tensors):
        raise ModelError("model_mismatch", f"{path.name} has {len(tensors) // 2} layers, the encoder {len(layers)}.")
    with torch.no_grad():
        for i, layer in enumerate(layers):
            weight, bias = tensors[f"features.{i}.weight"].float(), tensors[f"features.{i}.bias"].float()
            if i == 0 and layer.convolution.in_channels == 1:
                weight = weight.sum(1, keepdim=True)
            if weight.shape != layer.convolution.weight.shape:
                raise ModelError("model_mismatch", f"Layer {i}: {tuple(weight.shape)} in {path.name} does not fit.")
            layer.convolution.weight.copy_(weight)
            layer.convolution.bias.copy_(bias)
