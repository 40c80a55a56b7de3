"""From a preset and a study set to a checkpoint: stages, then calibration on validation."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState

from lingula.cli.memory import return_freed_memory
from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.architecture import Architecture
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.tokenizer import ReportTokenizer
from lingula.openi.splits import Split
from lingula.study import MODES, Mode, Report
from lingula_lab.compact.other_films import OtherFilms, other_films
from lingula_lab.compact.trunk_trainer import TrunkRecipe, TrunkTrainer
from lingula_lab.data.study_set import StudySet
from lingula_lab.graph.places import Places
from lingula_lab.model.checkpoint import save_checkpoint, trained_checkpoint
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.average_film import average_shares
from lingula_lab.training.calibration_fit import fit_calibration
from lingula_lab.training.loop import Epoch, Recipe, Trainer, predict_set, predict_states
from lingula_lab.training.pretrained import describe, load_backbone, load_tokenizer, start_from

_LOG = logging.getLogger(__name__)
AVERAGED_FILMS = 1000
"""Training films, evenly taken from all, that make the average film."""


RENAMED = {"loudness": "scale", "voices": "word_terms"}
"""Keys of presets that were written before 0.1.0, and what they are called since."""


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    """The same under today's names."""
    for name in body.keys() & RENAMED.keys():
        _LOG.warning("a preset names %s, which is called %s now", name, RENAMED[name])
    return {RENAMED.get(name, name): value for name, value in body.items()}


def _recipe(stage: dict[str, Any]) -> Recipe | TrunkRecipe:
    """A stage of a preset, of the kind that its keys tell.

    Raises:
        InputError: ``bad_request`` for a key that it does not have.
    """
    kind = TrunkRecipe if "others" in stage else Recipe
    known = sorted(each.name for each in fields(kind))
    if unknown := sorted(stage.keys() - set(known)):
        raise InputError("bad_request", f"a stage of a preset has no {unknown[0]!r}.", f"It has {', '.join(known)}.")
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in stage.items()}
    return kind(**values)


@dataclass(frozen=True, slots=True)
class Preset:
    """A model and how to train it, as data: ``presets/<name>.json`` or a file of the same form.

    Attributes:
        start: published backbones to start from, ``image`` and ``text``, by name or local folder; their configuration,
            and the text's tokenizer, go before those of the architecture.
    """

    name: str
    architecture: dict[str, Any]
    stages: tuple[Recipe | TrunkRecipe, ...]
    start: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, source: str | Path) -> Preset:
        """Read a shipped preset by its name, or one of one's own; names of before 0.1.0 are read as today's.

        Raises:
            InputError: ``not_found``; ``bad_request`` for a key that no stage has.
        """
        packaged = resources.files("lingula_lab.training").joinpath(f"presets/{source}.json")
        path = packaged if packaged.is_file() else Path(source)
        if not path.is_file():
            folder = resources.files("lingula_lab.training").joinpath("presets")
            shipped = sorted(file.name.removesuffix(".json") for file in folder.iterdir())
            raise InputError("not_found", f"No preset {source}.", f"Shipped: {', '.join(shipped)}.")
        body = _renamed(json.loads(path.read_text()))
        recipes = tuple(_recipe(_renamed(stage)) for stage in body["stages"])
        return cls(Path(str(source)).stem, body["architecture"], recipes, body.get("start", {}))

    def starting(self, image: str | None = None, text: str | None = None) -> Preset:
        """The preset with other backbones to start from, by name or folder."""
        chosen = {side: source for side, source in (("image", image), ("text", text)) if source}
        return replace(self, start={**self.start, **chosen})

    def adjusted(
        self,
        *,
        batch: int | None = None,
        epochs: int | None = None,
        rate: float | None = None,
        half: bool | None = None,
    ) -> Preset:
        """The preset with other studies a step, epochs, peak learning rate and precision (bfloat16 where ``half``), in
        each stage that trains and knows them; None leaves one as it is.

        Raises:
            InputError: ``bad_request`` for less than 1 of batch or epochs, or a rate that is not above 0.
        """
        given = {"batch": batch, "epochs": epochs, "rate": rate, "half": half}
        if (batch is not None and batch < 1) or (epochs is not None and epochs < 1) or (rate is not None and rate <= 0):
            raise InputError("bad_request", "batch and epochs are at least 1, and rate is above 0.")
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        stages = tuple(
            replace(stage, **{name: value for name, value in changes.items() if hasattr(stage, name)})
            if stage.epochs
            else stage
            for stage in self.stages
        )
        return replace(self, stages=stages)


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where training stands: after a step (``epoch_done`` None) or after an epoch."""

    stage: int
    stages: int
    epoch: int
    step: int
    steps: int
    epoch_done: Epoch | None = None


def train_checkpoint(
    preset: Preset,
    data: StudySet,
    split: Split,
    out: Path,
    *,
    vocabulary: Vocabulary,
    run: Path,
    trunk: Path | None = None,
    films: Path | None = None,
    graph: Places | None = None,
    seed: int = 0,
    note: str = "",
    progress: Callable[[TrainingProgress], None] = lambda progress: None,
) -> Checkpoint:
    """Train a preset on the training split, calibrate on validation, save the checkpoint.

    Args:
        run: folder for resumable state; calling again with the same one goes on where training stopped.
        graph: places of the labels in a knowledge graph, for stages that align with it.
        trunk: weights to start from instead of the preset's image backbone, see ``models.pretrained.start_from``.
        films: folder with films of other sources and ``films.csv``, among which a trunk is trained (``other_films``);
            without it the own films alone train it.
        note: on the data, for the record; by default what the study set says of its collection.

    Raises:
        InputError: ``bad_request`` when the study set does not fit the preset, the vocabulary, the split or the run,
            ``not_found`` when a backbone to start from is not at hand.
        ModelError: when weights to start from do not fit.
    """
    train, validation = data.rows(split.train), data.rows(split.validation)
    if not len(train) or not len(validation):
        raise InputError(
            "bad_request", f"The study set has {len(train)} training and {len(validation)} validation studies."
        )
    trunks = [number for number, recipe in enumerate(preset.stages) if isinstance(recipe, TrunkRecipe)]
    if trunks and trunk is None:
        raise InputError("bad_request", f"Stage {trunks[0]} trains a published trunk.", "Give --trunk.")
    if films and not trunks:
        raise InputError("bad_request", f"{preset.name} trains no trunk among other films.", "Leave --films out.")
    torch.manual_seed(seed)
    start = {side: source for side, source in preset.start.items() if side == "text" or not trunk}
    backbones = {side: describe(source, preset.architecture[side]["model_type"]) for side, source in start.items()}
    architecture = Architecture.from_json({**preset.architecture, **backbones, "labels": len(vocabulary.codes)})
    data.require(architecture.preprocessing, preset.name)
    if data.labels.shape[1] != architecture.labels:
        raise InputError(
            "bad_request",
            f"The study set has {data.labels.shape[1]} labels, not {architecture.labels}.",
            "Prepare it again.",
        )
    tokenizer = _tokenizer(architecture, [data.reports[row] for row in train], start.get("text"))
    model = StudyModel(architecture)
    for name, encoder in (("image", model.image_encoder), ("text", model.text_encoder)):
        if name in start:
            encoder.backbone = load_backbone(getattr(architecture, name), start[name])
    if trunk:
        start_from(model, trunk)
    prototypes = graph.of(vocabulary.codes) if graph else None
    best: dict[str, float] = {}
    bank, features, reader = None, None, None
    others: OtherFilms | None = None
    for number, recipe in enumerate(preset.stages):

        def report_step(epoch: int, step: int, steps: int, number: int = number) -> None:
            progress(TrainingProgress(number, len(preset.stages), epoch, step, steps))

        folder = run / f"stage{number}"
        recipe = replace(recipe, seed=seed)
        if isinstance(recipe, TrunkRecipe):
            assert trunk is not None  # asked for above
            if films and others is None:
                others = other_films(films, architecture.preprocessing)
            states = report_states(model, data, tokenizer)
            anew = TrunkTrainer(model, data, train, validation, states, recipe, trunk, folder, others, report_step)
            for done in anew.fit():
                progress(TrainingProgress(number, len(preset.stages), done.epoch, 0, 0, done))
                best[f"stage{number}"] = done.auroc["image"]
            model, bank, features, reader = anew.finish(), None, None, anew.reading()
            del anew
            return_freed_memory()
            continue
        trainer = Trainer(
            model.train(), tokenizer, data, train, validation, recipe, folder, report_step, bank, features,
            prototypes, reader,
        )  # fmt: skip
        for done in trainer.fit():
            progress(TrainingProgress(number, len(preset.stages), done.epoch, 0, 0, done))
        if recipe.epochs:
            best[f"stage{number}"] = trainer.best
        model, bank, features = trainer.best_model(), trainer.bank, trainer.features
        del trainer  # its weights and moments, before the next stage makes its own
        return_freed_memory()
    calibration = calibrate(model, data, validation, tokenizer)
    training = {
        "preset": preset.name,
        "stages": [asdict(replace(recipe, seed=seed)) for recipe in preset.stages],
        "validation_auroc": best,
        "started_from": {**start, **({"trunk": trunk.name} if trunk else {})},
        "other_films": dict(zip(others.names, map(len, others.targets), strict=True)) if others else None,
        "graph": {"model": graph.model, "triples": graph.triples, "split": graph.split} if graph else None,
        "split": {"name": split.name, "sha256": split.digest},
        "studies": {"train": len(train), "validation": len(validation)},
        "calibrated_on": "validation",
        "data": note or data.provenance.note,
        "collection": {"name": data.provenance.name, "licence": data.provenance.licence},
        "versions": {name: version(name) for name in ("lingula", "torch", "transformers")},
    }
    if PartialState().is_main_process:
        average_film = average_film_of(model, data, train)
        save_checkpoint(
            trained_checkpoint(model.cpu(), tokenizer, vocabulary, calibration, training, average_film), out
        )
    PartialState().wait_for_everyone()
    return load_checkpoint(out)


def _tokenizer(architecture: Architecture, reports: Sequence[Report | None], source: str | None) -> ReportTokenizer:
    """The tokenisation of the backbone to start from; without one, learnt from the training reports."""
    if source:
        return ReportTokenizer(load_tokenizer(source), architecture.sections, architecture.tokens)
    return ReportTokenizer.train(
        (report.text for report in reports if report),
        sections=architecture.sections,
        length=architecture.tokens,
        vocabulary=architecture.text["vocab_size"],
        markers=architecture.markers,
    )


def average_film_of(model: StudyModel, data: StudySet, rows: Any) -> npt.NDArray[np.float32]:
    """Mean contribution of films of these rows to each logit (``Checkpoint.average_film``)."""
    films = np.flatnonzero(np.isin(data.owner, rows))
    films = films[:: max(1, -(-len(films) // AVERAGED_FILMS))]
    return average_shares(model.eval().cpu(), data.films[films], [data.views[film] for film in films])


def report_states(model: StudyModel, data: StudySet, tokenizer: ReportTokenizer) -> torch.Tensor:
    """(B, D) states of all the set's reports in text mode; NaN where a study has none."""
    tokens = [tokenizer(report) if report and not report.is_empty else None for report in data.reports]
    states = predict_states(model.eval(), data, np.arange(len(data.ids)), tokens, tokenizer.pad)
    states[[row for row, read in enumerate(tokens) if read is None]] = torch.nan
    return states


def calibrate(model: StudyModel, data: StudySet, rows: Any, tokenizer: ReportTokenizer) -> dict[Mode, Calibration]:
    """Probabilities, thresholds and abstention for each mode, from the validation rows."""
    tokens = [tokenizer(report) if report and not report.is_empty else None for report in data.reports]
    fitted: dict[Mode, Calibration] = {}
    for mode in MODES:
        logits = predict_set(model.eval(), data, rows, tokens, tokenizer.pad, mode)
        fitted[mode] = fit_calibration(logits, data.labels[rows])
    return fitted
