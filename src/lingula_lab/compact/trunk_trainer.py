"""Training a whole trunk film by film: each film is read alone, for its study's labels, terms and report.

A folded trunk has no normalisation left, and at a high rate its units die one by one (ReLU6 at 0 learns nothing). Here
it is trained with batch normalisation, which is folded again when it is done. Films of other sources may stand among
the own ones: each source's labels are read by a head of its own, which goes afterwards, for a source tells labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lingula.errors import InputError
from lingula.study import VIEWS
from lingula_lab.compact.other_films import OtherFilms
from lingula_lab.compact.trunks import FilmReader, MobileTrunk
from lingula_lab.data.study_set import StudySet, term_targets
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.augment import augment, disturb, draws
from lingula_lab.training.closed_form_image import FilmRegression
from lingula_lab.training.loop import Epoch, macro_auroc
from lingula_lab.training.losses import contrastive, focal_bce
from lingula_lab.training.mobilenet import is_folded_mobilenet
from lingula_lab.training.state import read_state, write_state

_GROUP = 128
_SCALE = 1 / 0.07
"""Inverse temperature of the contrastive loss."""

Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrunkRecipe:
    """How to train a MobileNetV1.

    Attributes:
        others: films of other sources in a step, in equal parts of each source; without such films it is 0.
        epochs: over the own training films.
        batch: own films in a step. rate: peak learning rate of the trunk (AdamW, one-cycle cosine with 5 % warm-up);
            head_rate: of what reads it. ema: decay of the averaged weights, which are the ones kept.
        mix: pairs of own films are blended by shares drawn from Beta(mix, mix) (mixup, Zhang et al. 2018).
        states: weight of the squared distance from the state of the film's report. align: of the contrastive loss from
            this guess to the states of all training reports.
        disturbed: share of the films that are disturbed (``augment.disturb``).
        others_labels: weight of the loss by the other sources' labels. others_same: of the loss by which a changed
            film of another source is read as the averaged weights read it unchanged (Tarvainen and Valpola 2017).
    """

    others: int
    epochs: int = 15
    batch: int = 64
    rate: float = 1.2e-3
    head_rate: float = 2e-3
    decay: float = 0.05
    ema: float = 0.997
    mix: float = 0.4
    states: float = 0.5
    align: float = 0.05
    disturbed: float = 0.5
    others_labels: float = 0.5
    others_same: float = 0.5
    seed: int = 0


class TrunkTrainer:
    """Trains a model's whole trunk; ``fit`` yields after each epoch, ``finish`` puts it into the model.

    Args:
        states: (B, D) of all the set's reports in text mode; NaN where a study has none.
        trunk: published weights that it starts from, see ``mobilenet.load_trunk``.
        run: folder for the state after each epoch; training goes on from it.
        others: films of other sources, for recipes with ``others``.
        progress: called with (epoch, step, steps) after each step.

    Attributes:
        average: the averaged weights of trunk and heads.

    Raises:
        InputError: ``bad_request`` where the trunk is no folded MobileNetV1, or the run was begun otherwise.
    """

    def __init__(
        self,
        model: StudyModel,
        data: StudySet,
        train: Array,
        validation: Array,
        states: Tensor,
        recipe: TrunkRecipe,
        trunk: Path,
        run: Path,
        others: OtherFilms | None = None,
        progress: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
    ) -> None:
        encoder = model.image_encoder
        if not is_folded_mobilenet(encoder):
            raise InputError("bad_request", "Only one folded MobileNetV1 is trained anew.")
        self.model, self.data, self.recipe = model.eval(), data, recipe
        self.others = others if others is not None and recipe.others else OtherFilms()
        self.run, self.progress = run, progress
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.labels = data.labels.shape[1]
        self.films = np.flatnonzero(np.isin(data.owner, train))
        self.held_out = np.flatnonzero(np.isin(data.owner, validation))
        self.validation = validation
        self.views = torch.tensor([VIEWS.index(view) for view in data.views])
        self.targets = torch.from_numpy(np.concatenate([data.labels, term_targets(data, train)], 1))
        known = states[train].isfinite().all(1)
        mean, self.scale = states[train][known].mean(0), states[train][known].std(0).mean()
        self.states = (states - mean) / self.scale
        self.keys = torch.from_numpy(data.text_keys())
        reports = torch.from_numpy(train)[known]  # that a guess at the state is compared with
        self.report_keys, self.report_states = self.keys[reports], F.normalize(self.states[reports], dim=1)
        torch.manual_seed(recipe.seed)
        started = MobileTrunk(encoder, trunk, self._read(data.films, self.films[:_GROUP]).cpu())
        heads = [targets.shape[1] for targets in self.others.targets]
        self.reader = FilmReader(started, self.targets.shape[1], states.shape[1], heads)
        self.reader.trunk.to(memory_format=torch.channels_last)
        self.reader.to(self.device)
        self.average = copy.deepcopy(self.reader).eval()

    def fit(self) -> Iterator[Epoch]:
        """Train on from where the run stands."""
        r, reader = self.recipe, self.reader
        rest = [parameter for name, parameter in reader.named_parameters() if not name.startswith("trunk.")]
        optimizer = torch.optim.AdamW(
            [{"params": list(reader.trunk.parameters()), "lr": r.rate}, {"params": rest, "lr": r.head_rate}],
            weight_decay=r.decay,
        )
        rates = [group["lr"] for group in optimizer.param_groups]
        modules: dict[str, nn.Module] = {"reader": reader, "average": self.average}
        recipe = asdict(r) | {"sources": list(self.others.names)}
        body = read_state(self.run, modules, optimizer, recipe, {})
        steps = max(1, len(self.films) // r.batch)
        for epoch in range(int(body["epoch"]) if body else 0, r.epochs):
            torch.manual_seed(r.seed * 1000 + epoch)
            generator = torch.Generator().manual_seed(r.seed * 1000 + epoch)
            order = self.films[torch.randperm(len(self.films), generator=generator).numpy()]
            reader.train()
            losses = []
            for step in range(steps):
                taken = epoch * steps + step
                done = taken / (steps * r.epochs)
                factor = min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * max(0.0, (done - 0.05) / 0.95)))
                for group, base in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = base * factor
                loss = self._loss(order[step * r.batch : (step + 1) * r.batch], generator, taken)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimizer.step()
                _follow(self.average, reader, min(r.ema, (2 + taken) / (11 + taken)))
                losses.append(loss.detach())
                self.progress(epoch, step + 1, steps)
            write_state(self.run, modules, optimizer, {"epoch": epoch + 1, "recipe": recipe})
            mean = float(torch.stack(losses).double().mean())
            yield Epoch(epoch, mean, {"image": self._validate()}, True)

    def finish(self) -> StudyModel:
        """The model with the averaged layers, folded, as its trunk. Their normalisation is taken anew from the training
        films as they are: an average of weights has other means than the average of means."""
        average, generator = self.average, torch.Generator().manual_seed(self.recipe.seed)
        order = self.films[torch.randperm(len(self.films), generator=generator).numpy()]
        parts = [order[start : start + self.recipe.batch] for start in range(0, len(order), self.recipe.batch)]
        batches = (
            torch.cat([self._read(self.data.films, part), *self._read_others(self._draw(generator))])
            for part in parts
            if len(part) > 1
        )
        update_bn(batches, _Pooled(average))
        average.eval().cpu().trunk.fold_into(self.model.image_encoder)
        return self.model

    @torch.no_grad()
    def reading(self) -> FilmRegression:
        """How the averaged trunk is read: linear, once the means over the film are taken."""
        average = self.average.eval().cpu()
        weight, bias = average.read_by(average.head, slice(self.labels))
        state, state_bias = (part * self.scale for part in average.read_by(average.state))
        return FilmRegression(weight, bias, state, state_bias, average.spread)

    def _loss(self, films: Array, generator: torch.Generator, taken: int) -> Tensor:
        """Of own films, each blended with another, and of films of other sources beside them."""
        r, owner = self.recipe, torch.from_numpy(self.data.owner[films])
        targets, states = self.targets[owner].to(self.device), self.states[owner].to(self.device)
        same = (self.keys[owner][:, None] == self.report_keys).float().to(self.device)
        same = same / same.sum(1, keepdim=True).clamp(min=1)
        known, states = states.isfinite().all(1).float(), states.nan_to_num(0.0)
        pixels, views = self._changed(self.data.films, films, generator), self.views[films].to(self.device)
        share = _share_of_two(r.mix, (r.seed, taken))
        if share < 1:
            pixels, targets, states, same = (_blend(t, share) for t in (pixels, targets, states, same))
            known = known * known.flip(0)
        drawn = self._draw(generator)
        others = [
            self._changed(films_of_source, part, generator)
            for films_of_source, part in zip(self.others.films, drawn, strict=True)
        ]
        frontal = views.new_full((sum(len(part) for part in drawn),), VIEWS.index("frontal"))
        hidden = self.reader(torch.cat([pixels, *others]), torch.cat([views, frontal]))
        own, theirs = hidden[: len(films)], hidden[len(films) :]
        logits, guess = self.reader.head(own), self.reader.state(own)
        loss = self._label_loss(logits, targets)
        loss = loss + r.states * ((guess - states).square().mean(1) * known).sum() / known.sum().clamp(min=1)
        everyone = torch.ones_like(same, dtype=torch.bool)
        bank = self.report_states.to(guess)
        aligned = contrastive(F.normalize(guess, dim=1), bank, guess.new_tensor(_SCALE), same, everyone)
        total: Tensor = loss + r.align * aligned
        return total + self._loss_of_others(theirs, drawn) if drawn else total

    def _loss_of_others(self, hidden: Tensor, drawn: list[Array]) -> Tensor:
        """By each source's own labels, and by what the averaged weights say of the films unchanged."""
        losses = [
            focal_bce(head(shown), torch.from_numpy(targets[part]).to(self.device))
            for head, shown, targets, part in zip(
                self.reader.others,
                torch.split(hidden, [len(part) for part in drawn]),
                self.others.targets,
                drawn,
                strict=True,
            )
            if targets.shape[1]
        ]
        with torch.no_grad():
            frontal = torch.full((len(hidden),), VIEWS.index("frontal"), device=self.device)
            said = self.average.head(self.average(torch.cat(self._read_others(drawn)), frontal)).sigmoid()
        same = F.binary_cross_entropy_with_logits(self.reader.head(hidden), said)
        told = torch.stack(losses).mean() if losses else same.new_zeros(())
        return self.recipe.others_labels * told + self.recipe.others_same * same

    def _label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Labels and terms counting alike."""
        n = self.labels
        return focal_bce(logits[:, :n], targets[:, :n]) + focal_bce(logits[:, n:], targets[:, n:])

    @torch.no_grad()
    def _validate(self) -> float:
        """Macro AUROC of the averaged weights on the validation studies, the mean over each study's films."""
        answers = []
        for start in range(0, len(self.held_out), _GROUP):
            films = self.held_out[start : start + _GROUP]
            hidden = self.average(self._read(self.data.films, films), self.views[films].to(self.device))
            answers.append(self.average.head(hidden)[:, : self.labels].cpu().numpy())
        logits, owner = np.concatenate(answers), self.data.owner[self.held_out]
        shown = self.validation[np.isin(self.validation, owner)]
        return macro_auroc(np.stack([logits[owner == row].mean(0) for row in shown]), self.data.labels[shown])

    # -- films

    def _draw(self, generator: torch.Generator) -> list[Array]:
        """Of each source some films by chance, as places among the source's films."""
        each = self.recipe.others // max(1, len(self.others.films))
        return [torch.randint(len(films), (each,), generator=generator).numpy() for films in self.others.films]

    def _read_others(self, drawn: list[Array]) -> list[Tensor]:
        return [self._read(films, part) for films, part in zip(self.others.films, drawn, strict=True)]

    def _changed(self, films: npt.NDArray[np.uint8], places: Array, generator: torch.Generator) -> Tensor:
        """Inputs (N, 1, S, S) of these films, augmented, and some of them disturbed."""
        pixels = self._display(films, places)
        pixels = augment(pixels, pixels.shape[-1], draws(len(places), generator))
        pixels = disturb(pixels, self.recipe.disturbed, generator)
        return self.model.architecture.preprocessing.normalised(pixels)

    def _read(self, films: npt.NDArray[np.uint8], places: Array) -> Tensor:
        """Inputs (N, 1, S, S) of these films as they are."""
        return self.model.architecture.preprocessing.normalised(self._display(films, places))

    def _display(self, films: npt.NDArray[np.uint8], places: Array) -> Tensor:
        return torch.from_numpy(films[places])[:, None].to(self.device).float() / 255


class _Pooled(nn.Module):
    """A reader asked for its trunk and normalisation alone, as ``update_bn`` asks."""

    def __init__(self, reader: FilmReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, pixels: Tensor) -> Tensor:
        return self.reader.means(pixels)


def _share_of_two(mix: float, seed: tuple[int, int]) -> float:
    """By how much the first of two films makes their blend: at least half; 1 without."""
    share = float(np.random.default_rng(seed).beta(mix, mix)) if mix else 1.0
    return max(share, 1 - share)


def _blend(tensor: Tensor, share: float) -> Tensor:
    """Each row with its counterpart from the end."""
    return share * tensor + (1 - share) * tensor.flip(0)


@torch.no_grad()
def _follow(average: nn.Module, reader: nn.Module, decay: float) -> None:
    for kept, now in zip(average.state_dict().values(), reader.state_dict().values(), strict=True):
        kept.lerp_(now, 1 - decay) if kept.is_floating_point() else kept.copy_(now)
