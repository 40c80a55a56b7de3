"""What each part of the model and of its training buys: one change at a time, on frozen features of the image.

    python benchmarks/ablation.py STUDIES ONTOLOGIES [--limit N] [--epochs 3]

The trunk of ``compact`` gives each frontal film's features once; everything above it (a small BERT, fusion, projectors,
head) is trained from nothing by ``training.loop`` on 1,200 training studies, with every recipe alike but for the change
named. Figures are on the test split, differences from ``base`` paired over its studies, with 95 % bootstrap intervals;
they do not hold what another seed would change, which the row ``another seed`` shows. Nothing is chosen by this table.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from lingula.evaluation.bootstrap import Resamples, figure
from lingula.evaluation.classification import supported, weighted_auroc
from lingula.evaluation.relevance import rules
from lingula.evaluation.retrieval import MEASURES, measure, pair_recall, rank
from lingula.graph import build_triples, place_labels
from lingula.models.checkpoint import MODES, load_checkpoint
from lingula.models.study_model import StudyModel, collate
from lingula.models.text import ReportTokenizer
from lingula.openi.splits import Split
from lingula.training.bank import FeatureBank
from lingula.training.data import StudySet
from lingula.training.loop import Recipe, Trainer
from machine import write_result

Doubles = np.ndarray[Any, np.dtype[np.float64]]
TEXT = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 256}
SMALL = {"width": 128, "dimension": 128, "layers": 2, "heads": 8, "hidden": 256, "adapter": 16, "tokens": 96}
BASE = Recipe(epochs=3, patience=9, batch=32, rate=1e-3, frozen=True, copies=1, drop_view=0.0, ema=0.97, align=0.1)


@dataclass(frozen=True)
class Change:
    """One difference from the base: of the recipe, of the architecture, or that duplicates count as strangers."""

    recipe: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=dict)
    strangers: bool = False


CHANGES = {
    "base": Change(),
    "another seed": Change({"seed": 1}),
    "BCE, not focal": Change({"gamma": 0.0}),
    "asymmetric, not focal": Change({"gamma": 0.0, "negative": 4.0, "margin": 0.05}),
    "no contrastive loss": Change({"align": 0.0}),
    "same texts count as strangers": Change(strangers=True),
    "same labels attract softly": Change({"soft": 0.5}),
    "aligned with the graph": Change({"graph": 0.1}),
    "finer targets from MeSH": Change({"terms": 0.5}),
    "no fusion layers": Change(shape={"layers": 0}),
    "a feed-forward block a layer": Change(shape={"shared": False}),
    "no adapters": Change(shape={"adapter": 0}),
}


@dataclass(frozen=True)
class Bench:
    """What every run shares."""

    data: StudySet
    tokenizer: ReportTokenizer
    bank: FeatureBank
    train: np.ndarray[Any, Any]
    validation: np.ndarray[Any, Any]
    test: np.ndarray[Any, Any]
    trunk: StudyModel
    places: np.ndarray[Any, Any]


def run(shared: Bench, change: Change, epochs: int) -> dict[str, tuple[Doubles, Doubles]]:
    """Train, and answer for the test studies: by mode embeddings (N, D) and logits (N, L)."""
    recipe = replace(BASE, epochs=epochs, **change.recipe)
    torch.manual_seed(recipe.seed)
    model = StudyModel(replace(shared.trunk.architecture, **change.shape))
    model.image_encoder.backbone = shared.trunk.image_encoder.backbone
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model, shared.tokenizer, shared.data, shared.train, shared.validation, recipe, Path(folder),
            bank=shared.bank, prototypes=shared.places,
        )  # fmt: skip
        if change.strangers:
            trainer.keys = torch.arange(len(shared.data.ids))
        list(trainer.fit())
        return answers(shared, trainer.best_model())


@torch.inference_mode()
def answers(shared: Bench, model: StudyModel) -> dict[str, tuple[Doubles, Doubles]]:
    found: dict[str, list[tuple[Any, Any]]] = {mode: [] for mode in MODES}
    data, size = shared.data, model.architecture.preprocessing.size
    for start in range(0, len(shared.test), 32):
        rows = shared.test[start : start + 32]
        films = [[(data.films[f], data.views[f]) for f in data.films_of(row)] for row in rows]
        reports = [data.reports[row] for row in rows]
        tokens = [shared.tokenizer(report) if report and not report.is_empty else None for report in reports]
        batch = collate(films, tokens, size=size, pad=shared.tokenizer.pad)
        grids = shared.bank.plain([int(film) for row in rows for film in data.films_of(row)])
        for mode, output in model(batch, MODES, grids).items():
            found[mode].append((output.embedding.double().numpy(), output.logits.double().numpy()))
    return {mode: tuple(np.concatenate(part) for part in zip(*pairs, strict=True)) for mode, pairs in found.items()}


def figures(found: dict[str, tuple[Doubles, Doubles]], targets: Doubles, rule: Any, keys: Any, draws: Resamples) -> Any:
    """Each measure in the sample and its resamples, (1 + B,)."""
    made = {}
    for mode in MODES:
        labels = np.flatnonzero(supported(targets))
        areas = [weighted_auroc(found[mode][1][:, label], targets[:, label], draws.counts) for label in labels]
        made[f"{mode} AUROC"] = np.mean(areas, 0)
    image, text = found["image"][0], found["text"][0]
    grades = rule.grades(targets, targets)
    np.fill_diagonal(grades, 0)
    asks = np.flatnonzero((grades > 0).any(1))
    near = measure(grades[asks], rank((image @ image.T)[asks], asks))
    for name in ("P@5", "nDCG@10"):
        made[f"image to image {name}"] = draws.of(asks).mean(near[:, MEASURES.index(name)])
    made["image to report R@10"] = draws.mean(pair_recall(rank(image @ text.T), keys, keys)[:, 2])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path, metavar="STUDIES")
    parser.add_argument("ontologies", type=Path, metavar="ONTOLOGIES")
    parser.add_argument("--limit", type=int, default=1200, help="Most training studies.")
    parser.add_argument("--epochs", type=int, default=BASE.epochs)
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(0)
    checkpoint, split, data = (
        load_checkpoint("compact", fast=True),
        Split.load("openi-v1"),
        StudySet.load(options.studies),
    )
    frontal = np.flatnonzero([view == "frontal" for view in data.views])
    _, first = np.unique(data.owner[frontal], return_index=True)
    keep = frontal[first]
    data = replace(data, films=data.films[keep], owner=data.owner[keep], views=tuple(data.views[f] for f in keep))
    coded = ~np.isnan(data.labels).any(1)
    train, validation, test = (
        np.array([row for row in data.rows(sorted(split.ids(part))) if coded[row] and len(data.films_of(row))])
        for part in ("train", "validation", "test")
    )
    train = train[: options.limit]
    bank = FeatureBank(
        checkpoint.model, data, train, np.r_[validation, test], copies=1, seed=0,
        progress=lambda done, of: print(f"features {done}/{of}", flush=True) if done % 512 == 0 else None,
    )  # fmt: skip
    a = checkpoint.model.architecture
    trunk = checkpoint.model
    trunk.architecture = replace(a, text={**a.text, **TEXT}, **SMALL)
    tokenizer = checkpoint.tokenizer
    tokenizer = ReportTokenizer(tokenizer._tokenizer, a.sections, SMALL["tokens"])
    triples = build_triples(checkpoint.vocabulary, (data.terms[row] for row in train), options.ontologies)
    places = place_labels(triples, checkpoint.vocabulary.codes, split=split.digest).vectors
    shared = Bench(data, tokenizer, bank, train, validation, test, trunk, places)

    targets = data.labels[test].astype(np.float64)
    rule = next(r for r in rules(checkpoint.vocabulary, data.labels[train]) if r.name == "jaccard")
    draws, keys = Resamples.draw(len(test)), data.text_keys()[test]
    rows: dict[str, Any] = {}
    base: dict[str, Doubles] = {}
    for name, change in CHANGES.items():
        begun = time.perf_counter()
        made = figures(run(shared, change, options.epochs), targets, rule, keys, draws)
        base = base or made
        rows[name] = {
            measured: {
                "value": round(float(values[0]), 4), "difference": figure(values - base[measured], len(test)).to_json()
            }
            for measured, values in made.items()
        }  # fmt: skip
        print(name, {k: (v["value"], v["difference"]) for k, v in rows[name].items()}, flush=True)
        print(f"  {time.perf_counter() - begun:.0f} s", flush=True)
    body = {
        "model": checkpoint.fingerprint, "split": split.digest, "recipe": asdict(replace(BASE, epochs=options.epochs)),
        "studies": {"train": len(train), "validation": len(validation), "test": len(test)}, "shape": SMALL | TEXT,
        "changes": {name: asdict(change) for name, change in CHANGES.items()}, "rows": rows,
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }  # fmt: skip
    write_result("ablation", body)


if __name__ == "__main__":
    main()
