"""A trunk's last layers anew: trained with batch normalisation, on kept outputs of the layers before them.

A folded trunk has no normalisation left, and at a high rate its units die one by one (ReLU6 at 0 learns nothing). Here
the last layers start from a published trunk, each with a normalisation that gives its units the spread they had there,
and are folded again when they are done.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import apply_tf_padding

from lingula.errors import InputError
from lingula.models.image import ImageEncoder
from lingula.models.mobilenet import load_trunk
from lingula.models.study_model import VIEWS, StudyModel
from lingula.training.augment import augment, draws
from lingula.training.data import StudySet, term_targets
from lingula.training.loop import Epoch, macro_auroc
from lingula.training.losses import focal_bce
from lingula.training.ridge import Reader
from lingula.training.state import read_state, write_state

_GROUP = 32
_STEP = 6 / 255
"""Outputs of ReLU6 are kept in 255 steps."""


@dataclass(frozen=True, slots=True)
class UpperRecipe:
    """How to train a MobileNetV1's last layers; each film is read alone, for its study's labels, terms and report.

    Attributes:
        first: index of the first layer that is trained anew; those before it stay as they are.
        copies: versions of each training film, the film itself among them.
        rate, trunk_rate: peak learning rates (AdamW, one-cycle cosine with 5 % warm-up) of what reads the pooled
            features, and of the layers. ema: decay of the averaged weights, which are the ones kept.
        mix: pairs of films are blended by shares drawn from Beta(mix, mix) (mixup, Zhang et al. 2018), after the layers
            that stay; 0 blends nothing.
        states: weight of the squared distance from the state of the film's report (distillation).
    """

    first: int
    epochs: int = 13
    batch: int = 32
    copies: int = 8
    rate: float = 2e-3
    trunk_rate: float = 3e-4
    decay: float = 0.05
    ema: float = 0.995
    mix: float = 0.4
    states: float = 0.5
    seed: int = 0


class UpperTrainer:
    """Trains a model's last trunk layers; ``fit`` yields after each epoch, ``finish`` puts the layers into the model.

    Args:
        states: (B, D) of all the set's reports in text mode; NaN where a study has none.
        trunk: published weights that the layers start from, see ``models.mobilenet.load_trunk``.
        run: folder for kept outputs and for the state after each epoch; training goes on from it.
        progress: called with (epoch, step, steps) after each step.

    Raises:
        InputError: ``bad_request`` where the trunk is no folded MobileNetV1, or the run was begun otherwise.
    """

    def __init__(
        self,
        model: StudyModel,
        data: StudySet,
        train: npt.NDArray[np.int64],
        validation: npt.NDArray[np.int64],
        states: Tensor,
        recipe: UpperRecipe,
        trunk: Path,
        run: Path,
        progress: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
    ) -> None:
        encoder = model.image_encoder
        if encoder.backbone.config.model_type != "mobilenet_v1" or not encoder.fold:
            raise InputError("bad_request", "Only the last layers of a folded MobileNetV1 are trained anew.")
        self.model, self.data, self.recipe, self.run, self.progress = model.eval(), data, recipe, run, progress
        self.films = np.flatnonzero(np.isin(data.owner, train))
        self.held_out, self.validation = np.flatnonzero(np.isin(data.owner, validation)), validation
        self.views = torch.tensor([VIEWS.index(view) for view in data.views])
        self.targets = torch.from_numpy(np.concatenate([data.labels, term_targets(data, train)], 1))
        known = states[train].isfinite().all(1)
        mean, self.spread = states[train][known].mean(0), states[train][known].std(0).mean()
        self.states = (states - mean) / self.spread
        run.mkdir(parents=True, exist_ok=True)
        self.below = [level for level in encoder.levels if level < recipe.first]
        self.kept = [self._keep(copy) for copy in range(recipe.copies)]
        self.held = self._keep(-1)
        torch.manual_seed(recipe.seed)
        above = tuple(level - recipe.first for level in encoder.levels if level >= recipe.first)
        upper = Upper.start(encoder, trunk, recipe.first, data.films[self.films[:64]], self.kept[0][0][:64])
        below = self.kept[0][1].shape[1]
        self.reader = _Reader(upper, above, below, self.targets.shape[1], states.shape[1])
        self.reader.upper.to(memory_format=torch.channels_last)
        layers = list(upper.parameters())
        rest = [p for name, p in self.reader.named_parameters() if not name.startswith("upper.")]
        self.optimizer = torch.optim.AdamW(
            [{"params": layers, "lr": recipe.trunk_rate}, {"params": rest, "lr": recipe.rate}],
            weight_decay=recipe.decay,
        )
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average = copy.deepcopy(self.reader).eval()

    def fit(self) -> Iterator[Epoch]:
        start, recipe = self._resume(), self.recipe
        per_epoch = max(1, len(self.films) // recipe.batch)
        for epoch in range(start, recipe.epochs):
            generator = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
            torch.manual_seed(recipe.seed * 1000 + epoch)
            order = torch.randperm(len(self.films), generator=generator).numpy()
            self.reader.train()
            losses = []
            for step in range(per_epoch):
                done = epoch * per_epoch + step
                self._set_rate(done / (per_epoch * recipe.epochs))
                places = order[step * recipe.batch : (step + 1) * recipe.batch]
                losses.append(self._step(places, generator, done))
                self.progress(epoch, step + 1, per_epoch)
            body = {"epoch": epoch + 1, "recipe": asdict(recipe)}
            write_state(self.run, self._modules, self.optimizer, body)
            yield Epoch(epoch, float(np.mean(losses)), {"image": self._validate()}, True)

    @torch.no_grad()
    def finish(self) -> StudyModel:
        """The model with the averaged layers, folded, in place of its own."""
        layers = self.model.image_encoder.backbone.layer[self.recipe.first :]
        for layer, convolution, norm in zip(
            layers, self.average.upper.convolutions, self.average.upper.norms, strict=True
        ):
            layer.convolution = fuse_conv_bn_eval(convolution.eval(), norm.eval())
        return self.model

    @torch.no_grad()
    def reading(self) -> Reader:
        """How the averaged layers were read: linear, once the means over the film are taken."""
        reader, labels = self.average, self.data.labels.shape[1]
        spread = (reader.norm.running_var + reader.norm.eps).sqrt()

        def read_by(head: nn.Linear, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
            weight = head.weight[rows] @ reader.to_width.weight / spread
            offsets = (reader.to_width.bias + reader.view.weight) @ head.weight[rows].T  # (views, rows)
            return weight, offsets + head.bias[rows] - weight @ reader.norm.running_mean

        weight, bias = read_by(reader.head, slice(labels))
        state, state_bias = (part * self.spread for part in read_by(reader.state))
        return Reader(weight, bias, state, state_bias, self.kept[0][1].shape[1])

    def _step(self, places: npt.NDArray[np.int64], generator: torch.Generator, done: int) -> float:
        grids, pooled = self.kept[int(torch.randint(self.recipe.copies, (), generator=generator))]
        films = self.films[places]
        owner = torch.from_numpy(self.data.owner[films])
        x, below = _opened(grids[places]), pooled[places]
        targets, states = self.targets[owner], self.states[owner]
        known = states.isfinite().all(1).float()
        states = states.nan_to_num(0.0)
        if self.recipe.mix:
            share = float(np.random.default_rng((self.recipe.seed, done)).beta(self.recipe.mix, self.recipe.mix))
            share = max(share, 1 - share)
            x, below, targets, states = (share * t + (1 - share) * t.flip(0) for t in (x, below, targets, states))
            known = known * known.flip(0)
        logits, guess = self.reader(x, below, self.views[films])
        labels = self.data.labels.shape[1]
        loss = focal_bce(logits[:, :labels], targets[:, :labels]) + focal_bce(logits[:, labels:], targets[:, labels:])
        distance = (guess - states).square().mean(1)
        loss = loss + self.recipe.states * (distance * known).sum() / known.sum().clamp(min=1)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.reader.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.recipe.ema, (2 + done) / (11 + done))
        with torch.no_grad():
            for kept, now in zip(self.average.state_dict().values(), self.reader.state_dict().values(), strict=True):
                kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
        return float(loss.detach())

    @torch.no_grad()
    def _validate(self) -> float:
        """Macro AUROC of the averaged layers on validation, the mean over each study's films."""
        grids, pooled = self.held
        views, logits = self.views[self.held_out], []
        for start in range(0, len(self.held_out), _GROUP):
            part = slice(start, start + _GROUP)
            logits.append(self.average(_opened(grids[part]), pooled[part], views[part])[0].numpy())
        owner = self.data.owner[self.held_out]
        shown = self.validation[np.isin(self.validation, owner)]
        labels = self.data.labels
        answers = np.concatenate(logits)[:, : labels.shape[1]]
        means = np.stack([answers[owner == row].mean(0) for row in shown])
        return macro_auroc(means, labels[shown])

    @torch.no_grad()
    def _keep(self, version: int) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Outputs (N, H, W, C) of the layers that stay, as a memory map, and the pooled levels below (N, C'): of the
        training films as they are (0) or in their n-th augmented version, or of the validation films (-1)."""
        films = self.held_out if version < 0 else self.films
        grids, pooled = self.run / f"kept{version}.u8", self.run / f"pooled{version}.npy"
        backbone, preprocessing = self.model.image_encoder.backbone, self.model.architecture.preprocessing
        generator = torch.Generator().manual_seed(self.recipe.seed * 1000 + version + 1)
        shape = _outputs(backbone, self.recipe.first, torch.zeros(1, 1, *self.data.films.shape[1:]))[-1].shape[1:]
        size = (len(films), *shape[1:], shape[0])
        if not pooled.exists():
            kept, means = np.memmap(grids, np.uint8, "w+", shape=size), []
            for start in range(0, len(films), _GROUP):
                pixels = torch.from_numpy(self.data.films[films[start : start + _GROUP]])[:, None].float() / 255
                if version > 0:
                    pixels = augment(pixels, pixels.shape[-1], draws(len(pixels), generator))
                outputs = _outputs(backbone, self.recipe.first, (pixels - preprocessing.mean) / preprocessing.std)
                kept[start : start + _GROUP] = (outputs[-1] / _STEP).round().byte().permute(0, 2, 3, 1).numpy()
                levels = [outputs[level].mean((2, 3)) for level in self.below]
                means.append(torch.cat(levels, 1) if levels else torch.zeros(len(pixels), 0))
            kept.flush()
            with (part := pooled.with_suffix(".part")).open("wb") as file:
                np.save(file, torch.cat(means).numpy())
            os.replace(part, pooled)
        return np.memmap(grids, np.uint8, "r", shape=size), torch.from_numpy(np.load(pooled))

    def _set_rate(self, done: float) -> None:
        factor = min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.05) / 0.95)))
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * factor

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"reader": self.reader, "average": self.average}

    def _resume(self) -> int:
        body = read_state(self.run, self._modules, self.optimizer, asdict(self.recipe), {})
        return int(body["epoch"]) if body else 0


class Upper(nn.Module):
    """Layers of a MobileNetV1 as convolution, batch normalisation, ReLU6: (N, C, H, W) to the output of each."""

    convolutions: Any
    norms: Any

    def __init__(self, convolutions: Sequence[nn.Conv2d], spreads: Sequence[Tensor], means: Sequence[Tensor]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(copy.deepcopy(each) for each in convolutions)
        self.norms = nn.ModuleList(nn.BatchNorm2d(len(spread), momentum=0.02) for spread in spreads)
        for convolution, norm, spread, mean in zip(self.convolutions, self.norms, spreads, means, strict=True):
            convolution.bias = None  # the normalisation has one
            norm.weight.data.copy_(spread)
            norm.bias.data.copy_(mean)

    @classmethod
    @torch.no_grad()
    def start(
        cls, encoder: ImageEncoder, trunk: Path, first: int, films: npt.NDArray[np.uint8], kept: npt.NDArray[np.uint8]
    ) -> Upper:
        """The published trunk's layers from ``first`` on, each unit with the mean and spread that it has there.

        Args:
            films: (N, S, S) that the published trunk is asked for them. kept: what these layers are given instead.
        """
        published = copy.deepcopy(encoder)
        load_trunk(published, trunk)
        answers: list[Tensor] = []
        layers = published.backbone.layer[first:]
        for layer in layers:
            layer.convolution.register_forward_hook(lambda module, given, answer: answers.append(answer))
        published.backbone((torch.from_numpy(films)[:, None].float() / 255 - 0.5) / 0.5)
        upper = cls(
            [layer.convolution for layer in layers],
            [answer.var((0, 2, 3)).add(1e-5).sqrt() for answer in answers],
            [answer.mean((0, 2, 3)) for answer in answers],
        )
        for norm in upper.norms:
            norm.momentum = None  # the mean over what it sees
        for start in range(0, len(kept), _GROUP):
            upper.train()(_opened(kept[start : start + _GROUP]))
        for norm in upper.norms:
            norm.momentum = 0.02
        return upper

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu6(norm(convolution(apply_tf_padding(x, convolution))))
            outputs.append(x)
        return outputs


class _Reader(nn.Module):
    """Pooled levels to logits of all targets and a guess at the report's state."""

    norm: Any
    upper: Any

    def __init__(self, upper: Upper, levels: Sequence[int], below: int, targets: int, dimension: int) -> None:
        super().__init__()
        self.upper, self.levels = upper, tuple(levels)
        channels = below + sum(upper.norms[level].num_features for level in levels)
        self.norm = nn.BatchNorm1d(channels, affine=False, momentum=0.02)
        self.to_width, self.view = nn.Linear(channels, 256), nn.Embedding(len(VIEWS), 256)
        nn.init.zeros_(self.view.weight)
        self.dropout = nn.Dropout(0.2)
        self.head, self.state = nn.Linear(256, targets), nn.Linear(256, dimension)

    def forward(self, x: Tensor, below: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.upper(x)
        pooled = torch.cat([below, *(outputs[level].mean((2, 3)) for level in self.levels)], 1)
        hidden = self.dropout(self.to_width(self.norm(pooled)) + self.view(views))
        return self.head(hidden), self.state(hidden)


def _opened(kept: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) kept outputs to (N, C, H, W)."""
    return (torch.from_numpy(np.array(kept)).float() * _STEP).permute(0, 3, 1, 2)


def _outputs(backbone: Any, first: int, pixels: Tensor) -> list[Tensor]:
    """The outputs of the layers before ``first``, in turn."""
    x, outputs = backbone.conv_stem(pixels), []
    for layer in backbone.layer[:first]:
        x = layer(x)
        outputs.append(x)
    return outputs
