"""Training a trunk film by film: each film is read alone, for its study's labels, terms and report."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lingula.errors import InputError
from lingula.study import VIEWS
from lingula_lab.data.study_set import StudySet, term_targets
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.closed_form_image import FilmRegression
from lingula_lab.training.loop import Epoch, macro_auroc
from lingula_lab.training.losses import focal_bce
from lingula_lab.training.mobilenet import is_folded_mobilenet
from lingula_lab.training.state import read_state, write_state

MOMENTUM = 0.02
"""Of running statistics while training."""
_WIDTH = 256

Array = npt.NDArray[np.int64]
Told = Callable[[int, int, int], None]
R = TypeVar("R")


class FilmReader(nn.Module):
    """A trunk, and what reads its means over the film: logits of all targets and a guess at the report's state.

    Args:
        channels: of the means. targets: how many. dimension: of the state.
    """

    trunk: Any
    norm: Any

    def __init__(self, trunk: nn.Module, channels: int, targets: int, dimension: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.norm = nn.BatchNorm1d(channels, affine=False, momentum=MOMENTUM)
        self.to_width, self.view = nn.Linear(channels, _WIDTH), nn.Embedding(len(VIEWS), _WIDTH)
        nn.init.zeros_(self.view.weight)
        self.dropout = nn.Dropout(0.2)
        self.head, self.state = nn.Linear(_WIDTH, targets), nn.Linear(_WIDTH, dimension)

    def read(self, pooled: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """Means (N, C) and views (N,) to logits (N, T) and states (N, D)."""
        hidden = self.dropout(self.to_width(self.norm(pooled)) + self.view(views))
        return self.head(hidden), self.state(hidden)

    def read_by(self, head: nn.Linear, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Rows (R) of a head as a linear function of the means: weight (R, C), bias (views, R)."""
        spread = (self.norm.running_var + self.norm.eps).sqrt()
        weight = head.weight[rows] @ self.to_width.weight / spread
        offsets = (self.to_width.bias + self.view.weight) @ head.weight[rows].T
        return weight, offsets + head.bias[rows] - weight @ self.norm.running_mean


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how fast one reader is trained.

    Attributes:
        rate, head_rate: peak learning rates (AdamW, one-cycle cosine with 5 % warm-up) of the trunk's layers, and of
            what reads them. ema: decay of the averaged weights. first: number of the first epoch.
    """

    epochs: int
    batch: int
    rate: float
    head_rate: float
    decay: float
    ema: float
    seed: int
    first: int = 0


class FilmTrainer(ABC, Generic[R]):
    """Trains layers of a folded MobileNetV1; ``fit`` yields after each epoch, ``finish`` puts them into the model.

    Args:
        states: (B, D) of all the set's reports in text mode; NaN where a study has none.
        trunk: published weights that the layers start from, see ``models.mobilenet.load_trunk``.
        run: folder for the state after each epoch, and what else is kept; training goes on from it.
        progress: called with (epoch, step, steps) after each step.

    Attributes:
        average: the averaged weights of the reader trained last, which are the ones kept.

    Raises:
        InputError: ``bad_request`` where the trunk is no folded MobileNetV1, or the run was begun otherwise.
    """

    average: Any

    def __init__(
        self,
        model: StudyModel,
        data: StudySet,
        train: Array,
        validation: Array,
        states: Tensor,
        recipe: R,
        trunk: Path,
        run: Path,
        progress: Told = lambda epoch, step, steps: None,
    ) -> None:
        if not is_folded_mobilenet(model.image_encoder):
            raise InputError("bad_request", "Only one folded MobileNetV1 is trained anew.")
        self.model, self.data, self.recipe = model.eval(), data, recipe
        self.trunk, self.run, self.progress = trunk, run, progress
        self.labels = data.labels.shape[1]
        self.films = np.flatnonzero(np.isin(data.owner, train))
        self.held_out = np.flatnonzero(np.isin(data.owner, validation))
        self.studies, self.validation = train, validation
        self.views = torch.tensor([VIEWS.index(view) for view in data.views])
        self.targets = torch.from_numpy(np.concatenate([data.labels, term_targets(data, train)], 1))
        known = states[train].isfinite().all(1)
        self.reports = train[known.numpy()]
        mean, self.spread = states[train][known].mean(0), states[train][known].std(0).mean()
        self.states = (states - mean) / self.spread
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Prepare what this way of training needs in addition to films and targets."""

    @abstractmethod
    def fit(self) -> Iterator[Epoch]: ...

    @abstractmethod
    def finish(self) -> StudyModel: ...

    @abstractmethod
    def reading(self) -> FilmRegression:
        """How the averaged layers are read: linear, once the means over the film are taken."""

    @torch.no_grad()
    def _reading(self, fresh: int) -> FilmRegression:
        weight, bias = self.average.read_by(self.average.head, slice(self.labels))
        state, state_bias = (part * self.spread for part in self.average.read_by(self.average.state))
        return FilmRegression(weight, bias, state, state_bias, fresh)

    def _train(
        self,
        reader: FilmReader,
        folder: Path,
        places: Array,
        pace: Pace,
        recipe: dict[str, Any],
        loss: Callable[[Array, torch.Generator, int], Tensor],
        validate: Callable[[], float],
    ) -> Iterator[Epoch]:
        """Epochs over these places among the training films, ``average`` following the reader.

        Args:
            folder: for the state after each epoch. recipe: what the run must have been begun with.
            loss: of some places, with the epoch's generator and the number of steps taken.
        """
        rest = [parameter for name, parameter in reader.named_parameters() if not name.startswith("trunk.")]
        optimizer = torch.optim.AdamW(
            [{"params": list(reader.trunk.parameters()), "lr": pace.rate}, {"params": rest, "lr": pace.head_rate}],
            weight_decay=pace.decay,
        )
        rates = [group["lr"] for group in optimizer.param_groups]
        modules: dict[str, nn.Module] = {"reader": reader, "average": self.average}
        body = read_state(folder, modules, optimizer, recipe, {})
        steps = max(1, len(places) // pace.batch)
        for epoch in range(int(body["epoch"]) if body else 0, pace.epochs):
            seed = pace.seed * 1000 + pace.first + epoch
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(seed)
            order = places[torch.randperm(len(places), generator=generator).numpy()]
            reader.train()
            losses = []
            for step in range(steps):
                taken = epoch * steps + step
                done = taken / (steps * pace.epochs)
                factor = min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.05) / 0.95)))
                for group, base in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = base * factor
                value = loss(order[step * pace.batch : (step + 1) * pace.batch], generator, taken)
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimizer.step()
                _follow(self.average, reader, min(pace.ema, (2 + taken) / (11 + taken)))
                losses.append(value.detach())
                self.progress(pace.first + epoch, step + 1, steps)
            write_state(folder, modules, optimizer, {"epoch": epoch + 1, "recipe": recipe})
            mean = float(torch.stack(losses).double().mean())
            yield Epoch(pace.first + epoch, mean, {"image": validate()}, True)

    def _loss(
        self, logits: Tensor, guess: Tensor, targets: Tensor, states: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of the targets, labels and terms counting alike, and the squared distance from the states that are known."""
        labels = self.labels
        read = focal_bce(logits[:, :labels], targets[:, :labels]) + focal_bce(logits[:, labels:], targets[:, labels:])
        distance = ((guess - states).square().mean(1) * known).sum() / known.sum().clamp(min=1)
        return read, distance

    def _auroc(self, answers: npt.NDArray[np.float32]) -> float:
        """Macro AUROC of logits (N, T) of the validation films, the mean over each study's films."""
        owner = self.data.owner[self.held_out]
        shown = self.validation[np.isin(self.validation, owner)]
        means = np.stack([answers[owner == row, : self.labels].mean(0) for row in shown])
        return macro_auroc(means, self.data.labels[shown])


def share_of_two(mix: float, seed: tuple[int, int]) -> float:
    """By how much the first of two films makes their blend (mixup, Zhang et al. 2018): at least half; 1 without."""
    share = float(np.random.default_rng(seed).beta(mix, mix)) if mix else 1.0
    return max(share, 1 - share)


def blend(tensor: Tensor, share: float) -> Tensor:
    """Each row with its counterpart from the end."""
    return share * tensor + (1 - share) * tensor.flip(0)


@torch.no_grad()
def _follow(average: nn.Module, reader: nn.Module, decay: float) -> None:
    for kept, now in zip(average.state_dict().values(), reader.state_dict().values(), strict=True):
        kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
