"""A trunk's last layers anew: trained with batch normalisation, on kept outputs of the layers before them.

A folded trunk has no normalisation left, and at a high rate its units die one by one (ReLU6 at 0 learns nothing). Here
the last layers start from a published trunk, each with a normalisation that gives its units the spread they had there,
and are folded again when they are done.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lingula_lab.compact.film_trainer import MOMENTUM, Array, FilmReader, FilmTrainer, Pace, blend, share_of_two
from lingula_lab.compact.trunks import NormalisedLayers
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.augment import augment, draws
from lingula_lab.training.closed_form_image import FilmRegression
from lingula_lab.training.loop import Epoch

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


class UpperTrainer(FilmTrainer[UpperRecipe]):
    """Trains a model's last trunk layers, on kept outputs of those before them."""

    def _begin(self) -> None:
        recipe, encoder = self.recipe, self.model.image_encoder
        self.run.mkdir(parents=True, exist_ok=True)
        self.below = [level for level in encoder.levels if level < recipe.first]
        self.kept = [self._keep(copy) for copy in range(recipe.copies)]
        self.held = self._keep(-1)
        torch.manual_seed(recipe.seed)
        above = tuple(level - recipe.first for level in encoder.levels if level >= recipe.first)
        films = self.model.architecture.preprocessing.normalised(
            torch.from_numpy(self.data.films[self.films[:64]])[:, None].float() / 255
        )
        upper = _started(NormalisedLayers(encoder, self.trunk, recipe.first, films), self.kept[0][0][:64])
        below = self.kept[0][1].shape[1]
        self.reader = _Reader(upper, above, below, self.targets.shape[1], self.states.shape[1])
        self.reader.trunk.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.reader).eval()

    def fit(self) -> Iterator[Epoch]:
        r = self.recipe
        pace = Pace(r.epochs, r.batch, r.trunk_rate, r.rate, r.decay, r.ema, r.seed)
        every = np.arange(len(self.films))
        return self._train(self.reader, self.run, every, pace, asdict(r), self._step, self._validate)

    def finish(self) -> StudyModel:
        """The model with the averaged layers, folded, in place of its own."""
        self.average.trunk.fold_into(self.model.image_encoder, self.recipe.first)
        return self.model

    def reading(self) -> FilmRegression:
        return self._reading(self.kept[0][1].shape[1])

    def _step(self, places: Array, generator: torch.Generator, taken: int) -> Tensor:
        grids, pooled = self.kept[int(torch.randint(self.recipe.copies, (), generator=generator))]
        films = self.films[places]
        owner = torch.from_numpy(self.data.owner[films])
        x, below = _opened(grids[places]), pooled[places]
        targets, states = self.targets[owner], self.states[owner]
        known = states.isfinite().all(1).float()
        states = states.nan_to_num(0.0)
        share = share_of_two(self.recipe.mix, (self.recipe.seed, taken))
        if share < 1:
            x, below, targets, states = (blend(t, share) for t in (x, below, targets, states))
            known = known * known.flip(0)
        logits, guess = self.reader(x, below, self.views[films])
        read, distance = self._loss(logits, guess, targets, states, known)
        return read + self.recipe.states * distance

    @torch.no_grad()
    def _validate(self) -> float:
        (grids, pooled), views, logits = self.held, self.views[self.held_out], []
        for start in range(0, len(self.held_out), _GROUP):
            part = slice(start, start + _GROUP)
            logits.append(self.average(_opened(grids[part]), pooled[part], views[part])[0].numpy())
        return self._auroc(np.concatenate(logits))

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
                outputs = _outputs(backbone, self.recipe.first, preprocessing.normalised(pixels))
                kept[start : start + _GROUP] = (outputs[-1] / _STEP).round().byte().permute(0, 2, 3, 1).numpy()
                levels = [outputs[level].mean((2, 3)) for level in self.below]
                means.append(torch.cat(levels, 1) if levels else torch.zeros(len(pixels), 0))
            kept.flush()
            with (part := pooled.with_suffix(".part")).open("wb") as file:
                np.save(file, torch.cat(means).numpy())
            os.replace(part, pooled)
        return np.memmap(grids, np.uint8, "r", shape=size), torch.from_numpy(np.load(pooled))


def _started(layers: NormalisedLayers, kept: npt.NDArray[np.uint8]) -> NormalisedLayers:
    """With running statistics of what these layers are given, in place of what the published ones were."""
    for norm in layers.norms:
        norm.momentum = None  # the mean over what it sees
    with torch.no_grad():
        for start in range(0, len(kept), _GROUP):
            layers.train()(_opened(kept[start : start + _GROUP]))
    for norm in layers.norms:
        norm.momentum = MOMENTUM
    return layers


class _Reader(FilmReader):
    def __init__(
        self, upper: NormalisedLayers, levels: Sequence[int], below: int, targets: int, dimension: int
    ) -> None:
        super().__init__(upper, below + sum(upper.norms[level].num_features for level in levels), targets, dimension)
        self.levels = tuple(levels)

    def forward(self, x: Tensor, below: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.trunk(x)
        return self.read(torch.cat([below, *(outputs[level].mean((2, 3)) for level in self.levels)], 1), views)


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
