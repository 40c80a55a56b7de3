"""Training a whole trunk from several teachers, none of which has seen all the studies.

Each teacher leaves out a part of the training studies; its predictions for those are not fitted to their
labels (cross-fitting, Dao et al. 2021). The student learns from all teachers' mean, from the one that did not
see the study, and from the labels (Hinton et al. 2015), on the same versions of the films that the teachers
were asked about (Beyer et al. 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lingula.errors import InputError
from lingula.study import VIEWS
from lingula_lab.compact.film_trainer import Array, FilmTrainer, Pace, blend, share_of_two
from lingula_lab.compact.trunks import LITE, LiteTrunk, MobileTrunk, TrunkReader, pooled
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.augment import augment, draws
from lingula_lab.training.closed_form_image import FilmRegression
from lingula_lab.training.loop import Epoch
from lingula_lab.training.losses import contrastive, side_share_loss
from lingula_lab.training.state import write_tensors

_GROUP = 128
_SCALE = 1 / 0.07
"""Inverse temperature of the contrastive loss."""
_MOSTLY = 0.75
"""Share from which a blend of two films has the sides of the first."""


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
    teacher_epochs: int = 30
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


class Distiller(FilmTrainer[DistilRecipe]):
    """Trains the teachers one after another and then a model's whole trunk.

    On a GPU the trunks compute in bfloat16. On two cores one epoch of 5,000 films takes ten minutes and more.

    Raises:
        InputError: ``bad_request`` also where a teacher is alone, unknown or not installed.
    """

    average: TrunkReader

    def _begin(self) -> None:
        recipe, data = self.recipe, self.data
        require_teachers(recipe)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.keys, self.sides = torch.from_numpy(data.text_keys()), torch.from_numpy(data.sides).float()
        generator = torch.Generator().manual_seed(recipe.seed)
        part = torch.randperm(len(self.studies), generator=generator) % max(1, len(recipe.teachers))
        self.left_out = torch.full((len(data.ids),), -1)  # the teacher that does not see a study
        self.left_out[torch.from_numpy(self.studies)] = part
        self.versions = torch.stack([draws(len(self.films), generator) for _ in range(recipe.copies)])

    def fit(self) -> Iterator[Epoch]:
        r = self.recipe
        for number, kind in enumerate(r.teachers):
            yield from self._teach(number, kind)
        said = self._said()
        torch.manual_seed(r.seed)
        student = self._reader("mobilenet", self.data.films.shape[-1])

        def loss(places: Array, generator: torch.Generator, taken: int) -> Tensor:
            version = int(torch.randint(r.copies, (), generator=generator))
            taught = tuple(part[version, places].float().to(self.device) for part in said) if said else None
            goals = self._goals(places, taught)
            return self._film_loss(student, self._pixels(places, version=version), goals, places, (r.seed, taken))

        first = len(r.teachers) * r.teacher_epochs
        every = np.arange(len(self.films))
        pace = Pace(r.epochs, r.batch, r.rate, r.head_rate, r.decay, r.ema, r.seed, first)
        yield from self._train(student, self.run / "student", every, pace, asdict(r), loss, self._validate)

    def finish(self) -> StudyModel:
        """The model with the averaged layers, folded, as its trunk. Their normalisation is taken anew from the training
        films as they are: an average of weights has other means than the average of means."""
        average = self.average
        order = torch.randperm(len(self.films), generator=torch.Generator().manual_seed(self.recipe.seed)).numpy()
        parts = [order[start : start + _GROUP] for start in range(0, len(order), _GROUP)]
        update_bn([self._pixels(part) for part in parts if len(part) > 1], _Pooled(average))
        trunk = average.eval().cpu().trunk
        assert isinstance(trunk, MobileTrunk)  # the student is one
        trunk.fold_into(self.model.image_encoder, -1)
        return self.model

    def reading(self) -> FilmRegression:
        """All channels may be asked beside it: what a trunk learns from teachers, a regression may believe."""
        self.average.eval().cpu()
        return self._reading(self.average.to_width.in_features)

    # -- teachers

    def _teach(self, number: int, kind: str) -> Iterator[Epoch]:
        """Train one teacher on the studies it is given, and keep its predictions for all training films."""
        r, folder = self.recipe, self.run / f"teacher{number}"
        if (folder / "said.safetensors").exists():
            return
        name, _, size = kind.partition("@")
        side = int(size or self.data.films.shape[-1])
        torch.manual_seed(r.seed * 100 + number + 1)
        teacher = self._reader(name, side)
        seen = np.flatnonzero((self.left_out[self._owner()] != number).numpy())
        batch, first = min(r.batch, len(seen)), number * r.teacher_epochs
        pace = Pace(r.teacher_epochs, batch, r.teacher_rate, r.head_rate, r.decay, r.teacher_ema, r.seed, first)

        def loss(places: Array, generator: torch.Generator, taken: int) -> Tensor:
            pixels = self._pixels(places, side, drawn=draws(len(places), generator))
            return self._film_loss(teacher, pixels, self._goals(places), places, (r.seed * 100 + number + 1, taken))

        yield from self._train(teacher, folder, seen, pace, asdict(r), loss, lambda: self._validate(side))
        answers: tuple[list[Tensor], list[Tensor]] = ([], [])
        with torch.no_grad():
            for version in range(r.copies):
                for start in range(0, len(self.films), _GROUP):
                    places = np.arange(start, min(start + _GROUP, len(self.films)))
                    logits, state, _ = self.average(self._pixels(places, side, version=version), self._views(places))
                    answers[0].append(logits.sigmoid().half().cpu())
                    answers[1].append(state.half().cpu())
        shape = (r.copies, len(self.films), -1)
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
        """A reader as it starts, whose average is the one kept from here on."""
        encoder = self.model.image_encoder
        if name == "mobilenet":
            some = self._pixels(np.arange(min(_GROUP, len(self.films))), side).cpu()
            trunk: MobileTrunk | LiteTrunk = MobileTrunk(encoder, self.trunk, some)
        else:
            trunk = LiteTrunk(name, side)
        reader = TrunkReader(trunk, self.targets.shape[1], self.labels, self.states.shape[1], encoder.grid)
        reader.trunk.to(memory_format=torch.channels_last)
        reader.to(self.device)
        self.average = copy.deepcopy(reader).eval()
        return reader

    # -- losses

    def _film_loss(
        self, reader: TrunkReader, pixels: Tensor, goals: _Goals, places: Array, seed: tuple[int, int]
    ) -> Tensor:
        """Of films, each blended with another by a share drawn with the seed."""
        recipe, views, share = self.recipe, self._views(places), share_of_two(self.recipe.mix, seed)
        targets, states, reports, said = goals.targets, goals.states, goals.reports, goals.said
        known = states.isfinite().all(1).float()
        states = states.nan_to_num(0.0)
        if share < 1:
            pixels, targets, states, reports = (blend(t, share) for t in (pixels, targets, states, reports))
            known = known * known.flip(0)
            said = (blend(said[0], share), blend(said[1], share)) if said else None
        logits, guess, outputs = reader(pixels, views)
        read, distance = self._loss(logits, guess, targets, states, known)
        loss = read + recipe.states * distance
        if said:
            read, distance = self._loss(logits, guess, *said, torch.ones_like(known))
            loss = (1 - recipe.soft) * loss + recipe.soft * (read + recipe.states * distance)
        if recipe.align:
            scale, all_known = guess.new_tensor(_SCALE), torch.ones_like(reports, dtype=torch.bool)
            bank = F.normalize(self.states[self.reports].to(guess), dim=1)
            loss = loss + recipe.align * contrastive(F.normalize(guess, dim=1), bank, scale, reports, all_known)
        if said and recipe.sides:
            frontal = views == VIEWS.index("frontal")
            sides = goals.sides[frontal] * (share > _MOSTLY)
            loss = loss + recipe.sides * self._side_loss(reader, [output[frontal] for output in outputs], sides)
        return loss

    def _side_loss(self, reader: TrunkReader, outputs: Sequence[Tensor], sides: Tensor) -> Tensor:
        """What one-sided labels rest on, beyond what films show on average, should lie on their side."""
        maps = reader.maps(outputs)
        if len(maps):
            with torch.no_grad():
                reader.average.lerp_(maps.mean(0), 0.02)
        at = sides != 0
        return side_share_loss((maps - reader.average)[at], sides[at]) if at.any() else maps.new_zeros(())

    @torch.no_grad()
    def _validate(self, side: int | None = None) -> float:
        answers = []
        for start in range(0, len(self.held_out), _GROUP):
            films = self.held_out[start : start + _GROUP]
            answers.append(self.average(self._read(films, side), self.views[films].to(self.device))[0].cpu().numpy())
        return self._auroc(np.concatenate(answers))

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
        return self.model.architecture.preprocessing.normalised(pixels)


class _Pooled(nn.Module):
    """A reader asked for its trunk and normalisation alone, as ``update_bn`` asks."""

    def __init__(self, reader: TrunkReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.reader.norm(pooled(self.reader.trunk(pixels)))
        return found
