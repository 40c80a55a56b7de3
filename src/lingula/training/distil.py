"""A trunk anew, all of it: taught by several others, none of which has seen all the studies.

Each teacher leaves out a part of the training studies; what it says of those is honest, where it has the rest by heart
(cross-fitting, Dao et al. 2021). The student learns from all teachers' mean, from the one that did not see the study,
and from the labels (Hinton et al. 2015), on the same versions of the films that the teachers were asked about (Beyer
et al. 2022).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lingula.errors import InputError
from lingula.models.study_model import VIEWS, StudyModel
from lingula.training.augment import augment, draws
from lingula.training.data import StudySet, term_targets
from lingula.training.loop import Epoch, macro_auroc
from lingula.training.losses import contrastive, focal_bce
from lingula.training.ridge import Reader
from lingula.training.state import read_state, write_state, write_tensors
from lingula.training.trunks import LITE, LiteTrunk, MobileTrunk, TrunkReader

_GROUP = 128
_SCALE = 1 / 0.07
"""Inverse temperature of the contrastive loss."""
_SIDED = 3.0
"""How steep the side loss is in the logarithm of left over right."""
_MOSTLY = 0.75
"""Share from which a blend of two films has the sides of the first."""

Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DistilRecipe:
    """How to train a MobileNetV1 and its teachers; each film is read alone, for its study's labels, terms and report.

    Attributes:
        teachers: each a kind and a size of films, "mobilenet@224" (from the same published trunk) or
            "efficientnet-lite2@288" (see ``LiteTrunk``). copies: versions of each film that they are asked about.
        teacher_epochs, teacher_rate: of each of them. epochs, rate: of the student. Peak learning rates of the layers
            (AdamW, one-cycle cosine with 5 % warm-up); head_rate: of what reads them.
        ema: decay of the averaged weights, which are the ones kept; teacher_ema: of the teachers'.
        mix: pairs of films are blended by shares drawn from Beta(mix, mix) (mixup, Zhang et al. 2018).
        states: weight of the squared distance from the state of the film's report. align: of the contrastive loss from
            this guess to the states of all training reports.
        soft: share of the teachers in the student's targets, the labels having the rest. unseen: share among them of
            the one that did not see the study.
        sides: weight of the loss by which what a one-sided label rests on should lie on its side.
    """

    teachers: tuple[str, ...]
    copies: int = 16
    teacher_epochs: int = 15
    teacher_rate: float = 4e-4
    teacher_ema: float = 0.995
    epochs: int = 35
    batch: int = 64
    rate: float = 1.2e-3
    head_rate: float = 2e-3
    decay: float = 0.05
    ema: float = 0.997
    mix: float = 0.4
    states: float = 0.5
    align: float = 0.05
    soft: float = 0.7
    unseen: float = 0.5
    sides: float = 0.1
    seed: int = 0


def require_teachers(recipe: DistilRecipe) -> None:
    """Raise InputError ``bad_request`` where a teacher is alone, unknown or not installed."""
    if len(recipe.teachers) == 1:
        raise InputError("bad_request", "One teacher would have nothing to learn from.", "Name two, or none.")
    for name in {kind.partition("@")[0] for kind in recipe.teachers} - {"mobilenet"}:
        if name not in LITE:
            raise InputError("bad_request", f"No teacher {name}.", f"There are mobilenet, {', '.join(LITE)}.")
        if not all(find_spec(package) for package in LITE[name]):
            raise InputError("bad_request", f"{name} is not installed.", 'pip install "lingula[teachers]"')


@dataclass(frozen=True, slots=True)
class _Goals:
    """What N films should be read as: targets (N, T) in [0, 1] or NaN, states (N, D) or NaN, sides (N, L), and which
    training reports are theirs, (N, M) rows of shares; of the teachers, or None: targets and states."""

    targets: Tensor
    states: Tensor
    sides: Tensor
    reports: Tensor
    said: tuple[Tensor, Tensor] | None = None


class Distiller:
    """Trains the teachers one after another and then a model's trunk; ``fit`` yields after each epoch of each, and
    ``finish`` puts the layers into the model.

    Args:
        states: (B, D) of all the set's reports in text mode; NaN where a study has none.
        trunk: published weights that the layers start from, see ``models.mobilenet.load_trunk``.
        run: folder for what teachers say and for the state after each epoch; training goes on from it.
        progress: called with (epoch, step, steps) after each step.

    On a GPU the trunks compute in bfloat16. On two cores one epoch of 5,000 films takes ten minutes and more.

    Raises:
        InputError: ``bad_request`` where the trunk is no folded MobileNetV1, a teacher is alone, unknown or not
            installed, or the run was begun otherwise.
    """

    def __init__(
        self,
        model: StudyModel,
        data: StudySet,
        train: Array,
        validation: Array,
        states: Tensor,
        recipe: DistilRecipe,
        trunk: Path,
        run: Path,
        progress: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
    ) -> None:
        encoder = model.image_encoder
        if encoder.backbone.config.model_type != "mobilenet_v1" or not encoder.fold:
            raise InputError("bad_request", "Only a folded MobileNetV1 is trained from teachers.")
        require_teachers(recipe)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.data, self.recipe, self.run, self.progress = model.eval(), data, recipe, run, progress
        self.trunk, self.labels = trunk, data.labels.shape[1]
        self.films = np.flatnonzero(np.isin(data.owner, train))
        self.held_out, self.validation = np.flatnonzero(np.isin(data.owner, validation)), validation
        self.views = torch.tensor([VIEWS.index(view) for view in data.views])
        self.targets = torch.from_numpy(np.concatenate([data.labels, term_targets(data, train)], 1))
        known = states[train].isfinite().all(1)
        mean, self.spread = states[train][known].mean(0), states[train][known].std(0).mean()
        self.states = (states - mean) / self.spread
        self.reports = train[known.numpy()]
        self.keys, self.sides = torch.from_numpy(data.text_keys()), torch.from_numpy(data.sides).float()
        generator = torch.Generator().manual_seed(recipe.seed)
        part = torch.randperm(len(train), generator=generator) % max(1, len(recipe.teachers))
        self.left_out = torch.full((len(data.ids),), -1)  # the teacher that does not see a study
        self.left_out[torch.from_numpy(train)] = part
        self.versions = torch.stack([draws(len(self.films), generator) for _ in range(recipe.copies)])
        self.average: TrunkReader | None = None

    def fit(self) -> Iterator[Epoch]:
        recipe = self.recipe
        for number, kind in enumerate(recipe.teachers):
            yield from self._teach(number, kind)
        said = self._said()
        torch.manual_seed(recipe.seed)
        student = self._reader("mobilenet", self.data.films.shape[-1])

        def loss(reader: TrunkReader, places: Array, generator: torch.Generator, share: float) -> Tensor:
            version = int(torch.randint(recipe.copies, (), generator=generator))
            pixels = self._pixels(places, version=version)
            taught = tuple(part[version, places].float().to(self.device) for part in said) if said else None
            return self._loss(reader, pixels, self._goals(places, taught), self._views(places), share)

        first = len(recipe.teachers) * recipe.teacher_epochs
        yield from self._train(
            student,
            self.run / "student",
            np.arange(len(self.films)),
            loss,
            first,
            recipe.epochs,
            recipe.rate,
            recipe.ema,
        )

    def finish(self) -> StudyModel:
        """The model with the averaged layers, folded, as its trunk. Their normalisation is taken anew from the training
        films as they are: an average of weights has other means than the average of means."""
        average = self._averaged()
        order = torch.randperm(len(self.films), generator=torch.Generator().manual_seed(self.recipe.seed)).numpy()
        parts = [order[start : start + _GROUP] for start in range(0, len(order), _GROUP)]
        update_bn([self._pixels(part) for part in parts if len(part) > 1], _Pooled(average))
        trunk = average.eval().cpu().trunk
        assert isinstance(trunk, MobileTrunk)  # the student is one
        trunk.fold_into(self.model.image_encoder)
        return self.model

    @torch.no_grad()
    def reading(self) -> Reader:
        """How the averaged layers are read: linear, once the means over the film are taken.

        All channels may be asked beside it: what a trunk learns from teachers, a regression may believe.
        """
        average = self._averaged().eval().cpu()
        weight, bias = average.read_by(average.head, slice(self.labels))
        state, state_bias = (part * self.spread for part in average.read_by(average.state))
        return Reader(weight, bias, state, state_bias, fresh=weight.shape[1])

    # -- teachers

    def _teach(self, number: int, kind: str) -> Iterator[Epoch]:
        """Train one teacher on the studies it is given, and keep what it says of all training films."""
        recipe, folder = self.recipe, self.run / f"teacher{number}"
        if (folder / "said.safetensors").exists():
            return
        name, _, size = kind.partition("@")
        side = int(size or self.data.films.shape[-1])
        torch.manual_seed(recipe.seed * 100 + number + 1)
        teacher = self._reader(name, side)
        seen = np.flatnonzero((self.left_out[self._owner()] != number).numpy())

        def loss(reader: TrunkReader, places: Array, generator: torch.Generator, share: float) -> Tensor:
            pixels = self._pixels(places, side, drawn=draws(len(places), generator))
            return self._loss(reader, pixels, self._goals(places), self._views(places), share)

        first = number * recipe.teacher_epochs
        yield from self._train(
            teacher, folder, seen, loss, first, recipe.teacher_epochs, recipe.teacher_rate, recipe.teacher_ema, side
        )
        average, answers = self._averaged(), [[], []]  # type: tuple[TrunkReader, list[list[Tensor]]]
        with torch.no_grad():
            for version in range(recipe.copies):
                for start in range(0, len(self.films), _GROUP):
                    places = np.arange(start, min(start + _GROUP, len(self.films)))
                    logits, state, _ = average(self._pixels(places, side, version=version), self._views(places))
                    answers[0].append(logits.sigmoid().half().cpu())
                    answers[1].append(state.half().cpu())
        shape = (recipe.copies, len(self.films), -1)
        targets, states = (torch.cat(each).view(shape) for each in answers)
        write_tensors(folder / "said.safetensors", {"targets": targets, "states": states})

    def _said(self) -> tuple[Tensor, Tensor] | None:
        """What the student learns from: targets (copies, N, T) as probabilities and states (copies, N, D)."""
        recipe = self.recipe
        if not recipe.teachers:
            return None
        left_out = self.left_out[self._owner()]
        mean, states, unseen = (torch.zeros(()) for _ in range(3))
        for number in range(len(recipe.teachers)):
            said = load_file(self.run / f"teacher{number}" / "said.safetensors")
            targets = said["targets"].float()
            mean, states = mean + targets / len(recipe.teachers), states + said["states"].float() / len(recipe.teachers)
            unseen = torch.where((left_out == number)[None, :, None], targets, unseen)
        return ((1 - recipe.unseen) * mean + recipe.unseen * unseen).half(), states.half()

    def _reader(self, name: str, side: int) -> TrunkReader:
        encoder = self.model.image_encoder
        if name == "mobilenet":
            some = self._pixels(np.arange(min(_GROUP, len(self.films))), side).cpu()
            trunk: MobileTrunk | LiteTrunk = MobileTrunk(encoder, self.trunk, some)
        else:
            trunk = LiteTrunk(name, side)
        reader = TrunkReader(trunk, self.targets.shape[1], self.labels, self.states.shape[1], encoder.grid)
        reader.trunk.to(memory_format=torch.channels_last)
        return reader.to(self.device)

    # -- training

    def _train(
        self,
        reader: TrunkReader,
        folder: Path,
        places: Array,
        loss: Callable[[TrunkReader, Array, torch.Generator, float], Tensor],
        first: int,
        epochs: int,
        rate: float,
        ema: float,
        side: int | None = None,
    ) -> Iterator[Epoch]:
        """Epochs over these places among the training films, numbered from ``first``; ``side``: of its films, px."""
        recipe = self.recipe
        rest = [parameter for name, parameter in reader.named_parameters() if not name.startswith("trunk.")]
        optimizer = torch.optim.AdamW(
            [{"params": list(reader.trunk.parameters()), "lr": rate}, {"params": rest, "lr": recipe.head_rate}],
            weight_decay=recipe.decay,
        )
        rates = [group["lr"] for group in optimizer.param_groups]
        average = self.average = copy.deepcopy(reader).eval()
        modules: dict[str, nn.Module] = {"reader": reader, "average": average}
        body = read_state(folder, modules, optimizer, asdict(recipe), {})
        batch = min(recipe.batch, len(places))
        steps = max(1, len(places) // batch)
        for epoch in range(int(body["epoch"]) if body else 0, epochs):
            seed = recipe.seed * 1000 + first + epoch
            torch.manual_seed(seed)
            generator, chance = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
            order = places[torch.randperm(len(places), generator=generator).numpy()]
            reader.train()
            losses = []
            for step in range(steps):
                done = (epoch * steps + step) / (steps * epochs)
                factor = min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.05) / 0.95)))
                for group, base in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = base * factor
                share = float(chance.beta(recipe.mix, recipe.mix)) if recipe.mix else 1.0
                value = loss(reader, order[step * batch : (step + 1) * batch], generator, max(share, 1 - share))
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimizer.step()
                taken = epoch * steps + step
                _follow(average, reader, min(ema, (2 + taken) / (11 + taken)))
                losses.append(value.detach())
                self.progress(first + epoch, step + 1, steps)
            write_state(folder, modules, optimizer, {"epoch": epoch + 1, "recipe": asdict(recipe)})
            yield Epoch(first + epoch, float(torch.stack(losses).mean()), {"image": self._validate(side)}, True)

    def _loss(self, reader: TrunkReader, pixels: Tensor, goals: _Goals, views: Tensor, share: float) -> Tensor:
        """Of films, each blended with another by ``share`` (1: not at all)."""
        recipe, labels = self.recipe, self.labels
        targets, states, reports, said = goals.targets, goals.states, goals.reports, goals.said
        known = states.isfinite().all(1).float()
        states = states.nan_to_num(0.0)
        if share < 1:
            pixels, targets, states, reports = (_blend(t, share) for t in (pixels, targets, states, reports))
            known = known * known.flip(0)
            said = (_blend(said[0], share), _blend(said[1], share)) if said else None
        logits, guess, outputs = reader(pixels, views)

        def label_loss(goal: Tensor) -> Tensor:
            return focal_bce(logits[:, :labels], goal[:, :labels]) + focal_bce(logits[:, labels:], goal[:, labels:])

        distance = ((guess - states).square().mean(1) * known).sum() / known.sum().clamp(min=1)
        loss = label_loss(targets) + recipe.states * distance
        if said:
            soft = label_loss(said[0]) + recipe.states * (guess - said[1]).square().mean()
            loss = (1 - recipe.soft) * loss + recipe.soft * soft
        if recipe.align:
            scale, all_known = guess.new_tensor(_SCALE), torch.ones_like(reports, dtype=torch.bool)
            bank = F.normalize(self.states[self.reports].to(guess), dim=1)
            loss = loss + recipe.align * contrastive(F.normalize(guess, dim=1), bank, scale, reports, all_known)
        if said and recipe.sides:
            frontal = views == VIEWS.index("frontal")
            sides = goals.sides[frontal] * (share > _MOSTLY)
            loss = loss + recipe.sides * self._side_loss(reader, [output[frontal] for output in outputs], sides)
        total: Tensor = loss
        return total

    def _side_loss(self, reader: TrunkReader, outputs: Sequence[Tensor], sides: Tensor) -> Tensor:
        """What a one-sided label rests on, beyond what films show on average, should lie on its side.

        ``L = softplus(-3 side (log left - log right))`` with left and right the mean over half the map of the softened
        positive part, in standard deviations of the map; the patient's left is image right. Of an odd grid the middle
        column counts for neither.
        """
        maps = reader.maps(outputs)
        if len(maps):
            with torch.no_grad():
                reader.usual.lerp_(maps.mean(0), 0.02)
        at, half = sides != 0, maps.shape[-1] // 2
        if not at.any():
            return maps.new_zeros(())
        beyond = (maps - reader.usual)[at]
        beyond = beyond / beyond.detach().flatten(1).std(1).clamp(min=1e-6)[:, None, None]
        positive = F.softplus(beyond, beta=4)
        right, left = (part.flatten(1).mean(1).log() for part in (positive[..., :half], positive[..., -half:]))
        return F.softplus(-_SIDED * sides[at] * (left - right)).mean()

    @torch.no_grad()
    def _validate(self, side: int | None = None) -> float:
        """Macro AUROC of the averaged weights on validation, the mean over each study's films."""
        average, answers = self._averaged().eval(), []
        for start in range(0, len(self.held_out), _GROUP):
            films = self.held_out[start : start + _GROUP]
            logits = average(self._read(films, side), self.views[films].to(self.device))[0]
            answers.append(logits[:, : self.labels].cpu().numpy())
        owner, found = self.data.owner[self.held_out], np.concatenate(answers)
        shown = self.validation[np.isin(self.validation, owner)]
        return macro_auroc(np.stack([found[owner == row].mean(0) for row in shown]), self.data.labels[shown])

    # -- films, by their places among the training films

    def _owner(self, places: Array | slice = slice(None)) -> Array:
        owner: Array = self.data.owner[self.films[places]]
        return owner

    def _views(self, places: Array) -> Tensor:
        return self.views[self.films[places]].to(self.device)

    def _goals(self, places: Array, said: tuple[Tensor, ...] | None = None) -> _Goals:
        owner = torch.from_numpy(self._owner(places))
        same = (self.keys[owner][:, None] == self.keys[torch.from_numpy(self.reports)]).float()
        same = same / same.sum(1, keepdim=True).clamp(min=1)
        targets, states, sides, same = (
            goal.to(self.device) for goal in (self.targets[owner], self.states[owner], self.sides[owner], same)
        )
        return _Goals(targets, states, sides, same, (said[0], said[1]) if said else None)

    def _pixels(
        self, places: Array, side: int | None = None, *, version: int = 0, drawn: Tensor | None = None
    ) -> Tensor:
        """Inputs (N, 1, S, S) of training films: changed as ``drawn`` says, in a ``version``, or (0) as they are."""
        if version:
            drawn = self.versions[version, places]
        return self._read(self.films[places], side, drawn)

    def _read(self, films: Array, side: int | None = None, drawn: Tensor | None = None) -> Tensor:
        pixels = torch.from_numpy(np.array(self.data.films[films]))[:, None].to(self.device).float() / 255
        if side is not None and side != pixels.shape[-1]:
            pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)
        pixels = pixels if drawn is None else augment(pixels, pixels.shape[-1], drawn)
        preprocessing = self.model.architecture.preprocessing
        return (pixels - preprocessing.mean) / preprocessing.std

    def _averaged(self) -> TrunkReader:
        if self.average is None:
            raise RuntimeError("nothing has been trained yet")
        return self.average


class _Pooled(nn.Module):
    """A reader asked for its trunk and normalisation alone, as ``update_bn`` asks."""

    def __init__(self, reader: TrunkReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.reader.norm(torch.cat([output.mean((2, 3)) for output in self.reader.trunk(pixels)], 1))
        return found


def _blend(tensor: Tensor, share: float) -> Tensor:
    return share * tensor + (1 - share) * tensor.flip(0)


@torch.no_grad()
def _follow(average: nn.Module, reader: nn.Module, decay: float) -> None:
    for kept, now in zip(average.state_dict().values(), reader.state_dict().values(), strict=True):
        kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
