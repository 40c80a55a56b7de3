"""The image encoder: any ``transformers`` vision backbone that gives a grid of patches (Swin, MobileNet, DINOv2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lingula_lab.model.text_encoder import build_backbone


class ImageEncoder(nn.Module):
    """Backbone, patch grid, linear map to the fusion's width.

    Args:
        backbone: a ``transformers`` configuration as plain data (``model_type`` and its fields).
        width: of the fusion.
        grid: side of the patch grid the fusion sees.
        levels: which hidden states make up a patch, as indices into ``hidden_states``; empty for the last one alone.
            Finer levels are averaged to ``grid``, coarser ones interpolated, and all concatenated, for patches fine in
            place and rich in content; a level's mean over the film stays what it was.
        fold: merge every batch normalisation into its convolution (the trunk then has plain biased convolutions).
        trunks: how many backbones of this configuration look at a film; a level's channels are the first one's, then
            the second's, and so on.

    Attributes:
        backbone: the first trunk. beside: the others, by the name that their weights are stored under.
        at_once: most films that the trunks read at once, whose activations are there together; 0: all.
    """

    at_once = 0

    def __init__(
        self,
        backbone: dict[str, Any],
        width: int,
        *,
        grid: int,
        levels: tuple[int, ...] = (),
        fold: bool = False,
        trunks: int = 1,
    ) -> None:
        super().__init__()
        self.grid, self.levels, self.fold = grid, levels, fold
        self.backbone: Any = build_backbone(backbone)
        self.beside = nn.ModuleList(build_backbone(backbone) for _ in range(trunks - 1))
        if fold:
            for trunk in self.trunks:
                fold_batch_norm(trunk)
        self.patches = nn.Identity()  # a named place for the patch grid (N, C, grid, grid): Grad-CAM looks here
        self.to_width = nn.Linear(self._channels(), width)

    @property
    def trunks(self) -> tuple[Any, ...]:
        """All backbones, in the order of their channels."""
        return (self.backbone, *self.beside)

    def channels_last(self) -> None:
        """Lay convolutions out as a CPU likes them: a quarter faster, there and back."""
        for trunk in self.trunks:
            trunk.to(memory_format=torch.channels_last)

    def _channels(self) -> int:
        config = self.backbone.config
        side = config.image_size if isinstance(config.image_size, int) else config.image_size[0]
        with torch.no_grad():
            was_training = self.training
            self.eval()
            channels: int = self.features(torch.zeros(1, config.num_channels, side, side)).shape[1]
            self.train(was_training)
        return channels

    def features(self, pixels: Tensor) -> Tensor:
        """pixels (N, 1, S, S) to the feature grid (N, C, grid, grid)."""
        if self.at_once and len(pixels) > self.at_once:
            return torch.cat([self.features(part) for part in torch.split(pixels, self.at_once)])
        return torch.cat([part for level in self.levels_of(pixels) for part in level], 1)

    def levels_of(self, pixels: Tensor) -> list[list[Tensor]]:
        """pixels (N, 1, S, S) to each level's grids (N, C, grid, grid), one a trunk."""
        return [[to_grid(state, self.grid) for state in level] for level in self._states(pixels)]

    def _states(self, pixels: Tensor) -> list[list[Tensor]]:
        """pixels (N, 1, S, S) to each level as the trunks have it, (N, C, S', S')."""
        pixels = pixels.expand(-1, self.backbone.config.num_channels, -1, -1)
        found = []
        for trunk in self.trunks:
            output = trunk(pixels, output_hidden_states=bool(self.levels))
            states = [output.last_hidden_state]
            if self.levels:
                states = [_hidden(output)[level] for level in self.levels]
            found.append([self._square(state) for state in states])
        return [list(level) for level in zip(*found, strict=True)]

    def details(self, pixels: Tensor) -> Tensor:
        """pixels (N, 1, S, S) to what is seen from near, (N, C', grid, grid): how a spot looks, not what it means.

        The first trunk's last hidden state of at least twice the grid's fineness, averaged to the grid; of a backbone
        without such (DINOv2 has one fineness throughout) the one after a third of its layers.
        """
        pixels = pixels.expand(-1, self.backbone.config.num_channels, -1, -1)
        output = self.backbone(pixels, output_hidden_states=True)
        states = [self._square(state) for state in _hidden(output)]
        fine = [state for state in states if state.shape[-1] >= 2 * self.grid]
        chosen = fine[-1] if fine else states[len(states) // 3]
        return F.adaptive_avg_pool2d(chosen, self.grid)

    def _square(self, state: Tensor) -> Tensor:
        if state.ndim == 3:  # (N, P, C) of a transformer; a class token, where there is one, is dropped
            side = int(state.shape[1] ** 0.5)
            patches = state[:, state.shape[1] - side * side :].transpose(1, 2)
            state = patches.reshape(state.shape[0], -1, side, side)  # not len(): an export lets the count of films vary
        return state

    def forward(self, pixels: Tensor, grids: Tensor | None = None) -> Tensor:
        """pixels (N, 1, S, S) to patches (N, P, width), row by row, P = grid * grid.

        ``grids`` (N, C, grid, grid) stands for ``features(pixels)`` where a caller has them already.
        """
        grid: Tensor = self.patches(self.features(pixels) if grids is None else grids)  # (N, C, grid, grid)
        patches: Tensor = self.to_width(grid.flatten(2).transpose(1, 2))
        return patches


class PatchExtractor(nn.Module):
    """An image encoder's forward with less to do, to be exported: what is coarser than the grid is mapped to the
    fusion's width before it is interpolated, which gives the same. The grid of features is never there to be seen."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (N, 1, S, S) to patches (N, P, width)."""
        encoder, to_width = self.encoder, self.encoder.to_width
        states = [state for level in encoder._states(pixels) for state in level]
        weights = torch.split(to_width.weight[:, :, None, None], [state.shape[1] for state in states], 1)
        grid = to_width.bias[:, None, None]  # (width, 1, 1), and then (N, width, grid, grid)
        fine = []
        for state, weight in zip(states, weights, strict=True):
            if state.shape[-1] < encoder.grid:
                grid = grid + to_grid(F.conv2d(state, weight), encoder.grid)
            else:
                fine.append((to_grid(state, encoder.grid), weight))
        if fine:
            grids, parts = zip(*fine, strict=True)
            grid = grid + F.conv2d(torch.cat(grids, 1), torch.cat(parts, 1))
        return grid.flatten(2).transpose(1, 2)


def _hidden(output: Any) -> Any:
    """A backbone's hidden states; of a Swin those with rows and columns."""
    return getattr(output, "reshaped_hidden_states", None) or output.hidden_states


def to_grid(state: Tensor, grid: int) -> Tensor:
    """(N, C, S, S) to (N, C, grid, grid): finer ones averaged, coarser ones interpolated."""
    if state.shape[-1] > grid:
        return F.adaptive_avg_pool2d(state, grid)
    if state.shape[-1] < grid:
        return F.interpolate(state, (grid, grid), mode="bilinear", align_corners=False)
    return state


def fold_batch_norm(backbone: nn.Module) -> None:
    """Replace each (convolution, normalization) pair of ``transformers``' convolutional layers by one convolution."""
    layer: Any
    for layer in backbone.modules():
        convolution, norm = getattr(layer, "convolution", None), getattr(layer, "normalization", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layer.convolution = fuse_conv_bn_eval(convolution.eval(), norm.eval())
            layer.convolution.bias.requires_grad_()  # fused from running statistics, which have no gradient
            layer.normalization = None
