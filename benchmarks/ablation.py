"""What each loss term buys: one change at a time, on frozen features of the image, over several seeds.

    python benchmarks/ablation.py STUDIES ONTOLOGIES [--limit N] [--epochs N] [--seeds N]

The trunk of ``compact`` gives each frontal film's features once, on a 7 x 7 grid; everything above it (a BERT of one
layer, fusion, projectors, head) is trained from nothing by ``training.loop``, with every recipe alike but for the
change named. Figures are on the validation studies, which choose nothing here: the averaged weights after the last
epoch count. Differences from ``base`` are paired by study and by seed, their means over the seeds given with 95 %
bootstrap intervals over studies, and beside them the least and greatest difference of one seed. The model is far
smaller than ``compact`` and trained far shorter: the table tells which way a term pulls, not what ``compact`` scores.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from lingula.cli.memory import keep_freed_memory
from lingula.model.checkpoint import load_checkpoint
from lingula.model.tokenizer import ReportTokenizer
from lingula.openi.splits import Split
from lingula.study import MODES
from lingula_lab.compact.feature_cache import FeatureBank
from lingula_lab.data.study_set import StudySet
from lingula_lab.graph import build_triples, place_labels
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.classification import supported, weighted_auroc
from lingula_lab.measures.relevance import rules
from lingula_lab.measures.retrieval import MEASURES, measure, pair_recall, rank
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.model.study_model import StudyModel, collate
from lingula_lab.training.loop import Recipe, Trainer
from machine import write_result

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Found = dict[str, tuple[Doubles, Doubles]]
TEXT = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128}
SMALL = {"width": 64, "dimension": 64, "layers": 1, "heads": 4, "hidden": 128, "adapter": 16, "tokens": 72, "grid": 7}
BASE = Recipe(
    epochs=3, patience=9, weights=(1.0, 1.0, 0.7), batch=32, rate=3e-3, frozen=True, copies=1, drop_view=0.0, ema=0.97,
    terms=1.0, mask=0.15, sides=0.1, align=0.2,
)  # fmt: skip
LEAST = 5
"""Positives in validation that a label needs to count."""


@dataclass(frozen=True)
class Change:
    """One difference from the base: of the recipe, of the architecture, or that duplicates count as strangers."""

    recipe: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=dict)
    strangers: bool = False


CHANGES = {
    "base": Change(),
    "BCE in place of focal": Change({"gamma": 0.0}),
    "asymmetric in place of focal": Change({"gamma": 0.0, "negative": 4.0, "margin": 0.05}),
    "without the contrastive loss": Change({"align": 0.0}),
    "same texts count as strangers": Change(strangers=True),
    "same labels attract, half of the contrastive loss": Change({"soft": 0.5}),
    "aligned with the knowledge graph": Change({"graph": 0.1}),
    "without finer targets from MeSH": Change({"terms": 0.0}),
    "without hidden words": Change({"mask": 0.0}),
    "without the side loss": Change({"sides": 0.0}),
    "without fusion layers": Change(shape={"layers": 0}),
}


@dataclass(frozen=True)
class Bench:
    """What every run shares."""

    data: StudySet
    tokenizer: ReportTokenizer
    bank: FeatureBank
    train: Rows
    validation: Rows
    trunk: StudyModel
    places: np.ndarray[Any, Any]


def run(shared: Bench, change: Change, epochs: int, seed: int) -> Found:
    """Train, and answer for the validation studies: by mode embeddings (N, D) and logits (N, L)."""
    recipe = replace(BASE, epochs=epochs, seed=seed, **change.recipe)
    torch.manual_seed(seed)
    model = StudyModel(replace(shared.trunk.architecture, **change.shape))
    model.image_encoder.backbone = nn.Identity()  # the bank has its features
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model, shared.tokenizer, shared.data, shared.train, shared.validation[:16], recipe, Path(folder),
            bank=shared.bank, prototypes=shared.places,
        )  # fmt: skip
        if change.strangers:
            trainer.keys = torch.arange(len(shared.data.ids))
        list(trainer.fit())
        return answers(shared, trainer.average.eval())


@torch.inference_mode()
def answers(shared: Bench, model: StudyModel) -> Found:
    found: dict[str, list[tuple[Any, Any]]] = {mode: [] for mode in MODES}
    data, size = shared.data, model.architecture.preprocessing.size
    for start in range(0, len(shared.validation), 32):
        rows = shared.validation[start : start + 32]
        films = [[(data.films[f], data.views[f]) for f in data.films_of(row)] for row in rows]
        reports = [data.reports[row] for row in rows]
        tokens = [shared.tokenizer(report) if report and not report.is_empty else None for report in reports]
        batch = collate(films, tokens, size=size, pad=shared.tokenizer.pad)
        grids = shared.bank.plain([int(film) for row in rows for film in data.films_of(row)])
        for mode, output in model(batch, MODES, grids).items():
            found[mode].append((output.embedding.double().numpy(), output.logits.double().numpy()))
    return {mode: tuple(np.concatenate(part) for part in zip(*pairs, strict=True)) for mode, pairs in found.items()}


def figures(found: Found, targets: Doubles, rule: Any, keys: Any, draws: Resamples) -> dict[str, Doubles]:
    """Each measure in the sample and its resamples, (1 + B,)."""
    made = {}
    for mode in MODES:
        labels = np.flatnonzero(supported(targets, LEAST))
        areas = [weighted_auroc(found[mode][1][:, label], targets[:, label], draws.counts) for label in labels]
        made[f"{mode} AUROC"] = np.nanmean(areas, 0)
    image, text = found["image"][0], found["text"][0]
    grades = rule.grades(targets, targets)
    np.fill_diagonal(grades, 0)
    asks = np.flatnonzero((grades > 0).any(1))
    near = measure(grades[asks], rank((image @ image.T)[asks], asks))
    for name in ("P@5", "nDCG@10"):
        made[f"image to image {name}"] = draws.of(asks).mean(near[:, MEASURES.index(name)])
    made["image to report R@10"] = draws.mean(pair_recall(rank(image @ text.T), keys, keys)[:, 2])
    return made


def share(options: argparse.Namespace, started: float) -> tuple[Bench, Any, str]:
    """Features of the trunk, small shapes, places of the labels; the vocabulary and the checkpoint's fingerprint."""
    checkpoint, split = load_checkpoint("compact"), Split.load("openi-v1")
    data = StudySet.load(options.studies)
    frontal = np.flatnonzero([view == "frontal" for view in data.views])
    _, first = np.unique(data.owner[frontal], return_index=True)
    keep = frontal[first]
    data = replace(data, films=data.films[keep], owner=data.owner[keep], views=tuple(data.views[f] for f in keep))
    coded = ~np.isnan(data.labels).any(1)
    train, validation = (
        np.array([row for row in data.rows(sorted(split.ids(part))) if coded[row] and len(data.films_of(row))])
        for part in ("train", "validation")
    )
    train = train[: options.limit]
    data, train, validation = _only(data, train, validation)
    trunk, a = copy.deepcopy(trained_model(checkpoint)), checkpoint.model.architecture
    trunk.architecture = replace(a, text={**a.text, **TEXT}, text_levels=(), **SMALL)
    trunk.image_encoder.grid = SMALL["grid"]
    bank = FeatureBank(trunk, data, train, validation, copies=1, seed=0)
    tokenizer = ReportTokenizer(checkpoint.tokenizer._tokenizer, a.sections, SMALL["tokens"])
    triples = build_triples(checkpoint.vocabulary, (data.terms[row] for row in train), options.ontologies)
    places = place_labels(triples, checkpoint.vocabulary.codes, split=split.digest).vectors
    _tell(f"features and graph: {time.perf_counter() - started:.0f} s")
    return Bench(data, tokenizer, bank, train, validation, trunk, places), checkpoint.vocabulary, checkpoint.fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, metavar="STUDIES")
    parser.add_argument("ontologies", type=Path, metavar="ONTOLOGIES")
    parser.add_argument("--limit", type=int, default=1000, help="Most training studies.")
    parser.add_argument("--epochs", type=int, default=BASE.epochs)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    started = time.perf_counter()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shared, vocabulary, fingerprint = share(options, started)
    targets = shared.data.labels[shared.validation].astype(np.float64)
    rule = next(r for r in rules(vocabulary, shared.data.labels[shared.train]) if r.name == "jaccard")
    draws, keys = Resamples.draw(len(targets)), shared.data.text_keys()[shared.validation]
    rows: dict[str, Any] = {}
    base: list[dict[str, Doubles]] = []
    for name, change in CHANGES.items():
        begun = time.perf_counter()
        found = [run(shared, change, options.epochs, seed) for seed in range(options.seeds)]
        made = [figures(one, targets, rule, keys, draws) for one in found]
        base = base or made
        rows[name] = {}
        for measured in made[0]:
            apart = [one[measured] - other[measured] for one, other in zip(made, base, strict=True)]
            each = [float(values[0]) for values in apart]
            rows[name][measured] = {
                "value": round(float(np.mean([one[measured][0] for one in made])), 4),
                "difference": figure(np.mean(apart, 0), len(targets)).to_json(),
                "seeds": [round(min(each), 4), round(max(each), 4)],
            }
        _tell(f"{name}: {time.perf_counter() - begun:.0f} s")
        _tell("  " + ", ".join(f"{m} {r['value']:.3f} {r['difference']}" for m, r in rows[name].items()))
    body = {
        "n": len(targets), "seeds": options.seeds, "model": fingerprint, "part": "validation",
        "recipe": asdict(replace(BASE, epochs=options.epochs)), "shape": SMALL | TEXT,
        "studies": {"train": len(shared.train), "validation": len(shared.validation)},
        "labels": int(supported(targets, LEAST).sum()),
        "changes": {name: asdict(change) for name, change in CHANGES.items()}, "rows": rows,
        "minutes": round((time.perf_counter() - started) / 60, 1),
    }  # fmt: skip
    write_result("ablation", body)


def _only(data: StudySet, train: Rows, validation: Rows) -> tuple[StudySet, Rows, Rows]:
    """The study set without all other studies, and the same studies' rows in it."""
    rows = np.r_[train, validation]
    films = np.concatenate([data.films_of(row) for row in rows])
    small = replace(
        data,
        ids=tuple(data.ids[row] for row in rows),
        reports=tuple(data.reports[row] for row in rows),
        labels=data.labels[rows],
        terms=tuple(data.terms[row] for row in rows),
        sides=data.sides[rows],
        films=data.films[films],
        owner=np.repeat(np.arange(len(rows)), [len(data.films_of(row)) for row in rows]),
        views=tuple(data.views[film] for film in films),
    )
    return small, np.arange(len(train)), np.arange(len(train), len(rows))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
