"""Start a folded MobileNetV1 from a published ImageNet trunk (plain biased convolutions in network order)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lingula.errors import ModelError
from lingula_lab.model.image_encoder import ImageEncoder


def is_folded_mobilenet(encoder: ImageEncoder) -> bool:
    """Whether the encoder is one MobileNetV1 of plain biased convolutions."""
    return encoder.backbone.config.model_type == "mobilenet_v1" and encoder.fold and len(encoder.trunks) == 1


def load_trunk(encoder: ImageEncoder, path: Path) -> None:
    """Copy ``features.<i>.weight`` / ``.bias`` into the encoder's convolutions as a starting point for training.

    The trunk takes RGB in [-1, 1]; our films are grey, so the three input planes are summed, which is the same map.

    Raises:
        ModelError: ``model_bad_file`` when the file cannot be read, ``model_mismatch`` when the encoder is no folded
            MobileNetV1 or number or shape of the layers differ.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError("model_bad_file", f"{path} is not a safetensors file: {error}.") from error
    if not is_folded_mobilenet(encoder):
        raise ModelError("model_mismatch", f"{path.name} starts one folded MobileNetV1.", "Leave the trunk out.")
    layers = [layer.convolution for layer in (encoder.backbone.conv_stem, *encoder.backbone.layer)]
    started: dict[str, torch.Tensor] = {}
    for i, layer in enumerate(layers):
        weight, bias = (tensors.pop(f"features.{i}.{part}", torch.empty(0)).float() for part in ("weight", "bias"))
        if i == 0 and layer.in_channels == 1 and weight.ndim == 4:
            weight = weight.sum(1, keepdim=True)
        if weight.shape != layer.weight.shape or bias.shape != layer.bias.shape:
            raise ModelError("model_mismatch", f"Layer {i}: {tuple(weight.shape)} in {path.name} does not fit.")
        started |= {f"{i}.weight": weight, f"{i}.bias": bias}
    if tensors:
        raise ModelError("model_mismatch", f"{path.name} has {len(tensors)} tensors more than the encoder.")
    nn.ModuleList(layers).load_state_dict(started)
