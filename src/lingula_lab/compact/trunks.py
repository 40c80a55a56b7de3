"""A MobileNetV1 for training: with batch normalisation, read by means over the film."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import apply_tf_padding

from lingula.study import VIEWS
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.training.mobilenet import load_trunk

MOMENTUM = 0.02
"""Of running statistics while training."""
_WIDTH = 256


class MobileTrunk(nn.Module):
    """A whole MobileNetV1 as convolution, batch normalisation, ReLU6: inputs (N, 1, S, S) to the outputs of the
    encoder's levels.

    A normalisation starts by giving its units the mean and spread that they have, published, on ``films``.

    Args:
        encoder: what it is for; left as it is. trunk: published weights, see ``mobilenet.load_trunk``.
        films: (N, 1, S, S) inputs that the published trunk is asked.

    Attributes:
        channels: of each level.
    """

    convolutions: Any
    norms: Any

    @torch.no_grad()
    def __init__(self, encoder: ImageEncoder, trunk: Path, films: Tensor) -> None:
        super().__init__()
        published = copy.deepcopy(encoder).cpu()
        load_trunk(published, trunk)
        layers = _layers_of(published)
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
        self.levels = encoder.levels
        self.channels = [self.norms[level + 1].num_features for level in self.levels]

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), -1):
            x = F.relu6(norm(convolution(apply_tf_padding(x, convolution) if self.tf_padding else x)))
            if layer in self.levels:
                outputs.append(x)
        return outputs

    @torch.no_grad()
    def fold_into(self, encoder: ImageEncoder) -> None:
        """Put the layers, each with its normalisation merged into it, into a folded encoder's backbone."""
        for layer, convolution, norm in zip(_layers_of(encoder), self.convolutions, self.norms, strict=True):
            layer.convolution = fuse_conv_bn_eval(convolution.eval(), norm.eval())


class FilmReader(nn.Module):
    """A trunk, and what reads its means over the film: logits of all targets and a guess at the report's state.

    Args:
        targets: how many. dimension: of the state. others: of each other source, how many labels of its own.
    """

    trunk: Any
    norm: Any
    others: Any

    def __init__(self, trunk: MobileTrunk, targets: int, dimension: int, others: Sequence[int] = ()) -> None:
        super().__init__()
        channels = sum(trunk.channels)
        self.trunk = trunk
        self.norm = nn.BatchNorm1d(channels, affine=False, momentum=MOMENTUM)
        self.to_width, self.view = nn.Linear(channels, _WIDTH), nn.Embedding(len(VIEWS), _WIDTH)
        nn.init.zeros_(self.view.weight)
        self.dropout = nn.Dropout(0.2)
        self.head, self.state = nn.Linear(_WIDTH, targets), nn.Linear(_WIDTH, dimension)
        self.others = nn.ModuleList(nn.Linear(_WIDTH, count) if count else nn.Identity() for count in others)

    def forward(self, pixels: Tensor, views: Tensor) -> Tensor:
        """pixels (N, 1, S, S), views (N,) to what the heads read, (N, width)."""
        hidden: Tensor = self.dropout(self.to_width(self.means(pixels)) + self.view(views))
        return hidden

    def means(self, pixels: Tensor) -> Tensor:
        """pixels (N, 1, S, S) to means over the film of all levels' channels, standardised, (N, C)."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
            outputs = self.trunk(pixels.to(memory_format=torch.channels_last))
        found: Tensor = self.norm(torch.cat([output.float().mean((2, 3)) for output in outputs], 1))
        return found

    @property
    def spread(self) -> Tensor:
        """(C,): of the means, over all films that trained the trunk."""
        found: Tensor = (self.norm.running_var + self.norm.eps).sqrt()
        return found

    def read_by(self, head: nn.Linear, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Rows (R) of a head as a linear function of the means as they are: weight (R, C), bias (views, R)."""
        weight = head.weight[rows] @ self.to_width.weight / self.spread
        offsets = (self.to_width.bias + self.view.weight) @ head.weight[rows].T
        return weight, offsets + head.bias[rows] - weight @ self.norm.running_mean


def _layers_of(encoder: ImageEncoder) -> list[Any]:
    """A MobileNetV1's layers, the stem first."""
    return [encoder.backbone.conv_stem, *encoder.backbone.layer]
