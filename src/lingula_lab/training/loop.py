"""The training loop: one for CPU, GPU and several of either (``accelerate``), resumable after every epoch."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file
from torch import Tensor, nn

from lingula.cli.memory import return_freed_memory, return_large_blocks
from lingula.errors import InputError
from lingula.model.architecture import Architecture
from lingula.model.tokenizer import ReportTokenizer, Tokens
from lingula.study import VIEWS, Mode, SectionName
from lingula_lab.compact.feature_cache import FeatureBank, pooled_features
from lingula_lab.data.study_set import StudySet, term_targets
from lingula_lab.measures.classification import auroc, supported
from lingula_lab.model.study_model import OutputTensors, StudyModel, TensorBatch, collate
from lingula_lab.training.augment import augment, draws
from lingula_lab.training.closed_form_image import FilmRegression, solve_image_path
from lingula_lab.training.closed_form_text import solve_word_terms, solve_wording
from lingula_lab.training.losses import contrastive, focal_bce, graph_alignment, label_overlap, side_loss
from lingula_lab.training.state import read_state, write_state, write_tensors


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; travels with the checkpoint it made.

    Attributes:
        epochs: most epochs over the training studies. patience: epochs without a better figure before stopping.
        modes: which modes are trained, and in their order their weight in the label loss.
        batch: studies a step. size: side of the films while training (the deployed size may be larger).
        rate: peak learning rate (AdamW, one-cycle cosine with 5 % warm-up). trunk_rate: of the image backbone.
        decay: weight decay. ema: decay of the averaged weights, which are the ones kept.
        terms: weight of a second multi-label loss, over MeSH headings and qualifiers (``term_targets``); its head goes.
        sides: weight of the side loss of frontal films in image mode (``side_loss``).
        mask: share of the report's words that are hidden and to be guessed (Devlin et al. 2019), from the words around
            them and, in joint mode, from the films; counts as much as the label loss.
        half: compute in bfloat16 where autocast may; weights and averages stay in single precision.
        gamma: of the focal loss; with negative and margin it is the asymmetric loss, see ``focal_bce``.
        align: weight of the contrastive losses, from each mode to each other over all training studies as they were
            last seen (cross-batch memory, Wang et al. 2020); studies with the same text are the same. soft: share of
            these losses in which studies attract by how their labels overlap instead, within a mode too.
        graph: weight of the alignment with a knowledge graph, see ``graph_alignment``.
        drop_view: chance that a study shows only one of its films. drop_section: chance that it loses a report section.
        frozen: leave the image backbone as it is and compute its features once, for ``copies`` versions of each film.
        ridge: solve the image path first, by ridge regression of this strength (``solve_image_path``) over ``copies``
            versions of each film, of which means alone are kept; for a frozen trunk. 0 leaves it to training. trust,
            recall, scale: of that solution, see there.
        word_terms: solve the word terms before that, by logistic regression of this inverse strength, and
            keep ``share`` of what the report side said (``solve_word_terms``); 0 does not. With ``epochs`` 0 solving is
            all that is done.
        wording: components of the reports' wording that are added to their states before the image path is
            solved (``solve_wording``); ``gain`` multiplies them in a film's state. 0 adds none.
        keep: other parts left as they are, by the beginnings of their parameters' names.
        monitor: the mode whose macro AUROC on validation decides.
    """

    epochs: int = 12
    patience: int = 4
    modes: tuple[Mode, ...] = ("image", "text", "joint")
    weights: tuple[float, ...] = (1.0, 0.5, 0.5)
    batch: int = 32
    size: int = 160
    rate: float = 5e-4
    trunk_rate: float = 2e-4
    decay: float = 0.05
    ema: float = 0.99
    terms: float = 0.0
    sides: float = 0.0
    mask: float = 0.0
    half: bool = False
    gamma: float = 1.0
    negative: float | None = None
    margin: float = 0.0
    align: float = 0.1
    soft: float = 0.0
    graph: float = 0.0
    drop_view: float = 0.5
    drop_section: float = 0.3
    frozen: bool = False
    copies: int = 2
    ridge: float = 0.0
    trust: float = 1.0
    recall: float = 0.0
    scale: float = 1.0
    word_terms: float = 0.0
    share: float = 1.0
    wording: int = 0
    gain: float = 1.0
    keep: tuple[str, ...] = ()
    monitor: Mode = "image"
    seed: int = 0


LARGE = 50_000_000
"""Parameters of a backbone from which its activations and those of the fusion are computed again where they are needed,
not kept: half the memory for a quarter more time."""

FILMS = 4
"""Films that such a backbone reads at once: of no more are a layer's activations there together."""


def halves_quickly(cpu: bool = False) -> bool:
    """Whether bfloat16 is computed by the hardware; a processor without it takes about four times as long as in single
    precision. cpu: a GPU that is there is not used."""
    if not cpu and torch.cuda.is_available():
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _spare_memory(model: StudyModel) -> None:
    """Have the large backbones of a model, where it has any, trained in less memory; to the same result."""
    trunks = model.image_encoder.trunks
    every = (*trunks, model.text_encoder.backbone)
    large = [each for each in every if sum(parameter.numel() for parameter in each.parameters()) >= LARGE]
    if not large:
        return
    return_large_blocks()
    model.fusion.recomputed = True
    if any(trunk is each for trunk in trunks for each in large):
        model.image_encoder.at_once = FILMS
    for backbone in large:
        if getattr(backbone, "_supports_sdpa", False):
            backbone.set_attn_implementation("sdpa")  # maps of its attention are never asked for
        if backbone.supports_gradient_checkpointing:
            older = backbone.gradient_checkpointing_enable  # its former name
            getattr(backbone, "activation_checkpointing_enable", older)({"use_reentrant": False})


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is reported after each epoch; ``auroc`` is macro, on validation, of the averaged weights, by mode."""

    epoch: int
    loss: float
    auroc: dict[Mode, float]
    best: bool


class Trainer:
    """Trains a model on the training rows of a study set, keeping the averaged weights that do best on validation.

    Args:
        run: folder for the state after each epoch; training that finds one there goes on from it, to the same result.
        progress: called with (epoch, step, steps) after each step.
        bank, features: grids and means over the film of the trunk's features, when the stage before left it as it is.
        prototypes: (L, E) float32, the labels' places in a knowledge graph, for recipes with ``graph``.
        reader: what the trunk was read with, where it has just been trained.

    With several processes each step's studies are shared out among them.
    """

    def __init__(
        self,
        model: StudyModel,
        tokenizer: ReportTokenizer,
        data: StudySet,
        train: np.ndarray[Any, Any],
        validation: np.ndarray[Any, Any],
        recipe: Recipe,
        run: Path,
        progress: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
        bank: FeatureBank | None = None,
        features: Tensor | None = None,
        prototypes: np.ndarray[Any, np.dtype[np.float32]] | None = None,
        reader: FilmRegression | None = None,
    ) -> None:
        if recipe.graph and prototypes is None:
            raise InputError(
                "bad_request", "The recipe aligns with a knowledge graph, and none is given.", "Give --graph."
            )
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a stage may train one mode only
        self.accelerator = Accelerator(kwargs_handlers=[unused])
        self.recipe, self.data, self.run, self.progress = recipe, data, run, progress
        self.train_rows, self.validation_rows, self.tokenizer = train, validation, tokenizer
        self.tokens: list[Tokens | None] = [tokenizer(r) if r and not r.is_empty else None for r in data.reports]
        self.keys = torch.from_numpy(data.text_keys())
        self.places = torch.full((len(data.ids),), -1)  # of each study among those trained on
        self.places[torch.from_numpy(train)] = torch.arange(len(train))
        trunk = [p for backbone in model.image_encoder.trunks for p in backbone.parameters()]
        kept = (*recipe.keep, *(["image_encoder.backbone.", "image_encoder.beside."] if recipe.frozen else []))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(kept))
        _spare_memory(model)
        if self.accelerator.device.type == "cpu":
            model.image_encoder.channels_last()
        self.bank: FeatureBank | None = None
        self.features = features if recipe.frozen else None
        if recipe.word_terms:
            solve_word_terms(
                model, [self.tokens[row] for row in train], data.labels[train], recipe.word_terms, recipe.share
            )
        if recipe.frozen and recipe.epochs:
            copies = 1 if recipe.ridge else recipe.copies
            self.bank = bank or FeatureBank(model, data, train, validation, copies=copies, seed=recipe.seed)
        if recipe.frozen and recipe.ridge:
            self._solve(model, reader)
        rest = [p for p in model.parameters() if all(p is not t for t in trunk)]
        self.objective = _Objective(
            model.architecture,
            term_targets(data, train) if recipe.terms else None,
            words=tokenizer.vocabulary_size if recipe.mask else 0,
            prototypes=torch.from_numpy(prototypes) if prototypes is not None and recipe.graph else None,
            memories=(len(recipe.modes), len(train)) if recipe.align and len(recipe.modes) > 1 else (0, 0),
        )
        self.objective.to(self.accelerator.device)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": trunk, "lr": recipe.trunk_rate},
                {"params": rest, "lr": recipe.rate},
                {"params": list(self.objective.parameters()), "lr": recipe.rate, "weight_decay": 0.0},
            ],
            weight_decay=recipe.decay,
        )
        self.model = self.accelerator.prepare(model)
        self.average = copy.deepcopy(self._bare).eval()
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.best = -math.inf

    @property
    def _bare(self) -> StudyModel:
        bare: StudyModel = self.accelerator.unwrap_model(self.model)
        return bare

    def fit(self) -> Iterator[Epoch]:
        """Train, yielding after each epoch. The best averaged weights are in ``run/best.safetensors``.

        Raises:
            InputError: ``bad_request`` when the run was begun with another recipe.
        """
        start, waited, steps = self._resume()
        per_epoch = max(1, len(self.train_rows) // self.recipe.batch)
        for epoch in range(start, self.recipe.epochs):
            if waited >= self.recipe.patience:
                return
            set_seed(self.recipe.seed * 1000 + epoch)
            generator = torch.Generator().manual_seed(self.recipe.seed * 1000 + epoch)
            order = self._order(generator)
            self.model.train()
            losses = []
            for step in range(per_epoch):
                rows = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
                self._set_rate(steps / (per_epoch * self.recipe.epochs))
                losses.append(self._step(rows, generator))
                steps += 1
                self.progress(epoch, step + 1, per_epoch)
            self.optimizer.zero_grad()  # validation needs the memory
            found = {mode: self.validate(mode) for mode in self.recipe.modes}
            better = found[self.recipe.monitor] > self.best
            waited = 0 if better else waited + 1
            if better:
                self.best = found[self.recipe.monitor]
            if self.accelerator.is_main_process:
                self._save(epoch + 1, waited, steps, better)
            self.accelerator.wait_for_everyone()
            yield Epoch(epoch, float(np.mean(losses)), found, better)

    def _order(self, generator: torch.Generator) -> np.ndarray[Any, Any]:
        """The training rows by chance. Where reports alone are read, batches are of like length, which halves the
        padding: of every sixteen batches the rows are sorted by length, then the batches shuffled."""
        order: np.ndarray[Any, Any] = self.train_rows[torch.randperm(len(self.train_rows), generator=generator).numpy()]
        if self.recipe.modes != ("text",):
            return order
        batch = self.recipe.batch
        groups = [order[start : start + 16 * batch] for start in range(0, len(order), 16 * batch)]
        lengths = [len(tokens.ids) if tokens else 0 for tokens in self.tokens]
        alike = np.concatenate([sorted(group, key=lambda row: lengths[row]) for group in groups])
        whole = alike[: len(alike) // batch * batch].reshape(-1, batch)
        mixed = whole[torch.randperm(len(whole), generator=generator).numpy()].reshape(-1)
        return np.concatenate([mixed, alike[mixed.size :]])

    def best_model(self) -> StudyModel:
        """The averaged weights that did best on validation, in place of the last ones; ends this training."""
        self.optimizer.state.clear()
        return_freed_memory()
        if self.recipe.epochs:
            self.average.load_state_dict(load_file(self.run / "best.safetensors"))
        return self.average

    def _solve(self, model: StudyModel, reader: FilmRegression | None) -> None:
        """The image path in closed form, over all films of training studies with a report, in ``copies`` versions."""
        rows = np.array([row for row in self.train_rows if self.tokens[row]])
        states = predict_states(model.eval(), self.data, rows, self.tokens, self.tokenizer.pad)
        wording: Tensor | None = None
        if self.recipe.wording:
            wording = solve_wording(model, [self.tokens[row] for row in rows], states, self.recipe.wording)
            states = predict_states(model, self.data, rows, self.tokens, self.tokenizer.pad)
        films = [(int(film), place) for place, row in enumerate(rows) for film in self.data.films_of(row)]
        shown, copies = [film for film, _ in films], self.recipe.copies
        if self.features is None or len(self.features) != copies:
            self.features = self._pooled(model, shown)
        views = torch.tensor([VIEWS.index(self.data.views[film]) for film in shown])
        states = states[[place for _, place in films]]
        solve_image_path(
            model,
            self.features.flatten(0, 1),
            views.repeat(copies),
            states.repeat(copies, 1),
            self.recipe.ridge,
            reader,
            trust=self.recipe.trust,
            recall=self.recipe.recall,
            scale=self.recipe.scale,
            wording=wording,
            gain=self.recipe.gain,
        )

    def _pooled(self, model: StudyModel, films: list[int]) -> Tensor:
        """Means of the frozen trunk's features over each version of the films, kept in the run."""
        copies, seed = self.recipe.copies, self.recipe.seed
        asked = hashlib.sha256(repr((copies, seed, films)).encode())
        for trunk in model.image_encoder.trunks:
            for parameter in trunk.parameters():
                asked.update(parameter.detach().cpu().numpy().tobytes())
        kept = self.run / f"features-{asked.hexdigest()[:16]}.safetensors"
        if not kept.exists():
            found = pooled_features(model, self.data, films, copies=copies, seed=seed)
            self.run.mkdir(parents=True, exist_ok=True)
            write_tensors(kept, {"features": found})
        features: Tensor = load_file(kept)["features"]
        return features

    def _set_rate(self, done: float) -> None:
        factor = min(done / 0.05, 0.5 * (1 + math.cos(math.pi * done))) + 1e-3
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor

    def _step(self, together: np.ndarray[Any, Any], generator: torch.Generator) -> float:
        """One step over the studies of all processes ``together``, of which this one computes its share."""
        rows = together[self.accelerator.process_index :: self.accelerator.num_processes]
        recipe = self.recipe
        batch, grids = self._batch(rows, generator)
        batch, hidden = self._hide_words(batch, generator)
        batch = batch.to(self.accelerator.device)
        targets = torch.from_numpy(self.data.labels[rows]).to(self.accelerator.device)
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=recipe.half):
            outputs = self.model(batch, recipe.modes, grids)
        loss = torch.zeros((), device=self.accelerator.device)
        for mode, weight in zip(recipe.modes, recipe.weights, strict=True):
            loss = loss + weight * self._label_loss(outputs[mode].logits.float(), targets)
            if self.objective.terms is not None:
                loss = loss + weight * recipe.terms * self.objective.terms_loss(outputs[mode].state.float(), rows)
            if recipe.mask and mode != "image":
                loss = loss + weight * self.objective.words_loss(outputs[mode].fused.text.float(), hidden)
        if recipe.graph:
            aligned = [self.objective.graph_loss(output.state.float(), targets) for output in outputs.values()]
            loss = loss + recipe.graph * torch.stack(aligned).mean()
        if recipe.sides and "image" in outputs:
            loss = loss + recipe.sides * self._side_loss(outputs["image"], batch, rows)
        if recipe.align and len(recipe.modes) > 1:
            loss = loss + recipe.align * self._alignment(outputs, rows, together)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        for parameter in self.objective.parameters():  # not the model's, so nobody else shares it
            if parameter.grad is not None:
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        self.optimizer.step()
        with torch.no_grad():
            for kept, now in zip(self.average.state_dict().values(), self._bare.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(now, 1 - recipe.ema)
        return float(loss.detach())

    def _side_loss(self, output: OutputTensors, batch: TensorBatch, rows: np.ndarray[Any, Any]) -> Tensor:
        """The side loss over every frontal film and label whose side is coded; 0 when there is none."""
        model, sides = self._bare, torch.from_numpy(self.data.sides[rows]).long().to(batch.views.device)
        frontal = batch.place[batch.views == VIEWS.index("frontal")]  # (F, 2)
        film, label = sides[frontal[:, 0]].nonzero().unbind(1)  # M of them
        if not len(film):
            return torch.zeros((), device=batch.views.device)
        shares = model.contributions(output.fused)[:, 1 : 1 + batch.slots * model.patches].float()
        shares = shares.reshape(len(batch), batch.slots, model.patches, -1)[frontal[film, 0], frontal[film, 1]]
        maps = torch.einsum("mpd,md->mp", shares, model.head.weight[label])  # (M, P)
        side = model.architecture.grid
        return side_loss(maps.reshape(-1, side, side), sides[frontal[film, 0], label])

    def _label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        recipe = self.recipe
        return focal_bce(logits, targets, gamma=recipe.gamma, negative=recipe.negative, margin=recipe.margin)

    def _alignment(
        self, outputs: dict[Mode, OutputTensors], rows: np.ndarray[Any, Any], together: np.ndarray[Any, Any]
    ) -> Tensor:
        """The contrastive losses of these rows, from each mode to what is remembered of each, on average."""
        objective, recipe, device = self.objective, self.recipe, self.accelerator.device
        self._remember(outputs, together)
        own, theirs = torch.from_numpy(rows), torch.from_numpy(self.train_rows)
        labels = torch.from_numpy(self.data.labels)
        same = (self.keys[own][:, None] == self.keys[theirs]).float().to(device)
        alike = label_overlap(labels[own], labels[theirs]).to(device)
        known = objective.remembered.expand(len(rows), -1)
        others = known & (theirs != own[:, None]).to(device)
        scale, terms = objective.scale.exp().clamp(max=100), []
        for mode, output in enumerate(outputs.values()):
            embedding = output.embedding.float()
            for other, memory in enumerate(objective.memories):
                if mode != other:
                    terms.append((1 - recipe.soft) * contrastive(embedding, memory, scale, same, known))
                if recipe.soft:
                    terms.append(recipe.soft * contrastive(embedding, memory, scale, alike, others))
        return torch.stack(terms).mean()

    @torch.no_grad()
    def _remember(self, outputs: dict[Mode, OutputTensors], together: np.ndarray[Any, Any]) -> None:
        """Keep the embeddings of all processes in their studies' places."""
        places = self.places[torch.from_numpy(together)]
        for memory, output in zip(self.objective.memories, outputs.values(), strict=True):
            new = memory.new_zeros(len(together), memory.shape[1])
            new[self.accelerator.process_index :: self.accelerator.num_processes] = output.embedding.float()
            memory[places] = self.accelerator.reduce(new, "sum")
        self.objective.remembered[places] = True

    def _batch(self, rows: np.ndarray[Any, Any], generator: torch.Generator) -> tuple[TensorBatch, Tensor | None]:
        """A training batch: some studies show one film only, some lose a report section, films are augmented.

        With a frozen trunk the films' features come with it and the pixels are not looked at.
        """
        films, tokens, shown = [], [], []
        for row in rows:
            own = self.data.films_of(row) if self.recipe.modes != ("text",) else self.data.films_of(-1)
            if len(own) > 1 and torch.rand((), generator=generator) < self.recipe.drop_view:
                own = own[torch.randint(len(own), (1,), generator=generator).numpy()]
            shown += own[:3].tolist()
            films.append([(self.data.films[film], self.data.views[film]) for film in own[:3]])
            tokens.append(self._some_sections(row, generator) if self.recipe.modes != ("image",) else None)
        bare = self._bare.architecture.preprocessing
        batch = collate(films, tokens, size=bare.size, pad=self.tokenizer.pad)
        if self.bank is not None and shown:
            return batch, self.bank.draw(shown, generator).to(self.accelerator.device)
        drawn = draws(len(batch.pixels), generator)
        pixels = augment(batch.pixels.float() / 255, self.recipe.size, drawn) if len(batch.pixels) else batch.pixels
        return replace(batch, pixels=bare.normalised(pixels)), None

    def _hide_words(self, batch: TensorBatch, generator: torch.Generator) -> tuple[TensorBatch, Tensor]:
        """The batch with some words hidden, and what they were: (B, T) int64, -100 where nothing was hidden."""
        chosen = (torch.rand(batch.ids.shape, generator=generator) < self.recipe.mask) & batch.word_mask
        return replace(batch, ids=batch.ids.masked_fill(chosen, self.tokenizer.mask)), batch.ids.where(chosen, -100)

    def _some_sections(self, row: int, generator: torch.Generator) -> Tokens | None:
        report = self.data.reports[row]
        if report is None or torch.rand((), generator=generator) >= self.recipe.drop_section:
            return self.tokens[row]
        subsets: tuple[tuple[SectionName, ...], ...] = (
            ("findings", "impression"),
            ("impression",),
            ("findings",),
            ("indication",),
        )
        chosen = report.only(*subsets[int(torch.randint(len(subsets), (), generator=generator))])
        return self.tokens[row] if chosen.is_empty else self.tokenizer(chosen)

    @torch.no_grad()
    def validate(self, mode: Mode) -> float:
        """``macro_auroc`` of the averaged weights on the validation rows."""
        rows, pad = self.validation_rows, self.tokenizer.pad
        logits = predict_set(self.average, self.data, rows, self.tokens, pad, mode, self.bank)
        return macro_auroc(logits, self.data.labels[rows])

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self._bare, "average": self.average, "objective": self.objective}

    def _save(self, epoch: int, waited: int, steps: int, better: bool) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        if better:
            write_tensors(self.run / "best.safetensors", self.average.state_dict())
        body = {"epoch": epoch, "waited": waited, "steps": steps, "best": self.best, "recipe": asdict(self.recipe)}
        write_state(self.run, self._modules, self.optimizer, body)

    def _resume(self) -> tuple[int, int, int]:
        body = read_state(self.run, self._modules, self.optimizer, asdict(self.recipe), asdict(Recipe()))
        if body is None:
            return 0, 0, 0
        self.best = body["best"]
        return body["epoch"], body["waited"], body["steps"]


class _Objective(nn.Module):
    """What training learns and does not keep: the contrastive temperature, heads for finer targets and hidden words.

    Args:
        targets: (B, K) of ``term_targets``, or None without them.
        words: size of the token vocabulary, 0 when no words are hidden.
        prototypes: (L, E), the labels' places in a knowledge graph, or None without one.
        memories: of how many modes the last embedding is remembered, and of how many studies.
    """

    memories: Tensor
    remembered: Tensor

    def __init__(
        self,
        architecture: Architecture,
        targets: np.ndarray[Any, np.dtype[np.float32]] | None,
        words: int,
        prototypes: Tensor | None = None,
        memories: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.targets = targets
        columns = 0 if targets is None else targets.shape[1]
        self.terms = nn.Linear(architecture.dimension, columns) if columns else None
        self.words = nn.Linear(architecture.width, words) if words else None
        self.graph = nn.Linear(architecture.dimension, prototypes.shape[1]) if prototypes is not None else None
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("memories", torch.zeros(*memories, architecture.dimension))
        self.register_buffer("remembered", torch.zeros(memories[1], dtype=torch.bool))

    def terms_loss(self, state: Tensor, rows: np.ndarray[Any, Any]) -> Tensor:
        """Mean BCE over the known targets of a (B, D) state."""
        assert self.targets is not None
        assert self.terms is not None
        return focal_bce(self.terms(state), torch.from_numpy(self.targets[rows]).to(state.device))

    def graph_loss(self, state: Tensor, labels: Tensor) -> Tensor:
        """The alignment of a (B, D) state with the graph, by the temperature of the contrastive losses."""
        assert self.graph is not None
        assert isinstance(self.prototypes, Tensor)
        return graph_alignment(self.graph(state), labels, self.prototypes, self.scale.exp().clamp(max=100))

    def words_loss(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Mean cross-entropy of the hidden words, from fused text tokens (B, 1 + T, W)."""
        assert self.words is not None
        where = hidden >= 0
        hidden, guessed = hidden[where], self.words(tokens[:, 1:][where.to(tokens.device)])
        return F.cross_entropy(guessed, hidden.to(tokens.device), reduction="sum") / max(1, len(hidden))


def macro_auroc(logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> float:
    """Macro AUROC over the labels with 5 positives; where there are too few studies for that, over all that can be
    measured; 0.5 where none can."""
    values = auroc(logits, targets)
    for some in (values[supported(targets, 5)], values):
        if np.isfinite(some).any():
            return float(np.nanmean(some))
    return 0.5


@torch.no_grad()
def predict_set(
    model: StudyModel,
    data: StudySet,
    rows: np.ndarray[Any, Any],
    tokens: list[Tokens | None],
    pad: int,
    mode: Mode,
    bank: FeatureBank | None = None,
    batch: int = 32,
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Logits (len(rows), L) of prepared studies, all their films, without augmentation."""
    answers = _answers(model, data, rows, tokens, pad, mode, bank, batch)
    return np.concatenate([answer.logits.cpu().numpy() for answer in answers])


@torch.no_grad()
def predict_states(
    model: StudyModel,
    data: StudySet,
    rows: np.ndarray[Any, Any],
    tokens: list[Tokens | None],
    pad: int,
    mode: Mode = "text",
    batch: int = 32,
) -> Tensor:
    """States (len(rows), D) of these studies; by default of their reports."""
    answers = _answers(model, data, rows, tokens, pad, mode, batch=batch)
    return torch.cat([answer.state.cpu() for answer in answers])


def _answers(
    model: StudyModel,
    data: StudySet,
    rows: np.ndarray[Any, Any],
    tokens: list[Tokens | None],
    pad: int,
    mode: Mode,
    bank: FeatureBank | None = None,
    batch: int = 32,
) -> Iterator[OutputTensors]:
    preprocessing = model.architecture.preprocessing
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        films = [[(data.films[f], data.views[f]) for f in data.films_of(r)] if mode != "text" else [] for r in part]
        texts = [tokens[r] if mode != "image" else None for r in part]
        made = collate(films, texts, size=preprocessing.size, pad=pad)
        made = replace(made, pixels=preprocessing.normalised(made.pixels.float() / 255))
        device = next(model.parameters()).device
        shown = [int(film) for r in part for film in data.films_of(r)]
        grids = bank.plain(shown).to(device) if bank is not None and mode != "text" and shown else None
        yield model(made.to(device), (mode,), grids)[mode]
