"""What labels of another source buy: the closed-form correction (``lingula add-source``), patients left out in turn.

    python benchmarks/source_labels.py STUDY_SET FILMS BOXED CACHE

FILMS holds ``films.csv`` with the source ``nih14``, BOXED the boxed films of ChestX-ray14 for development, CACHE keeps
the trunks' pooled features. Open-i enters with its validation part: half of its studies keep the correction loyal,
the other half say what it costs. No film of a test part is read.

A set of films can tell normal from abnormal by how it was put together: those of patients with low numbers come from
another pool than the others. So each figure is also given within pools and projections, for abnormal films alone, and
beside it how well the mere size of the file tells normal films.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.openi.splits import Split
from lingula.reading.preprocess import to_input
from lingula.study import VIEWS, Radiograph
from lingula_lab.compact.add_source import FilmSource, centres_of, fit_correction
from lingula_lab.data.study_set import StudySet
from lingula_lab.gate.films import Film, boxed_films, openi_films, table_films
from lingula_lab.gate.measure import FOLDS, Measured
from lingula_lab.gate.outside import auroc, nih_targets
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.model.study_model import collate
from machine import write_result

Floats = NDArray[np.float64]
LEAST, DRAWS, POOL, CHILDREN = 20, 200, 6000, 700
"""Positives from which a label counts; bootstrap draws of patients; the patient number that parts the pools; most films
of children."""
PNEUMONIA = ("airspace_disease", "lung_opacity", "normal")
"""Labels by which films of children with pneumonia are told from normal ones."""
SETTINGS = {"loyalty 3": (3.0, False), "loyalty 1": (1.0, False), "loyalty 3, no normal films": (3.0, True)}
"""Weight of the own films' answers; whether normal films are left out where findings are learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """N films: pooled features (N, C), log-odds (N, L) as shipped, targets (N, L), and strata to compare within."""

    features: torch.Tensor
    log_odds: torch.Tensor
    targets: Floats
    patient: NDArray[np.str_]
    stratum: NDArray[np.str_]


@torch.inference_mode()
def read(checkpoint: Checkpoint, films: Iterable[Film], kept: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pooled features and logits of films, from the cache where they are there."""
    if not kept.is_file():
        model, preprocessing = trained_model(checkpoint), checkpoint.model.architecture.preprocessing
        features, logits = [], []
        for film in films:
            pixels = to_input(Radiograph("film", film.pixels), preprocessing)
            view = "lateral" if film.view == "lateral" else "frontal"
            batch = collate([[(pixels, view)]], [None], size=preprocessing.size, pad=0)  # type: ignore[list-item]
            grids = model.image_encoder.features(batch.pixels)
            features.append(grids.mean((2, 3))[0].numpy())
            logits.append(model(batch, ("image",), grids)["image"].logits[0].numpy())
        np.savez(kept, features=np.stack(features), logits=np.stack(logits))
    with np.load(kept) as file:
        return file["features"], file["logits"]


def macro(targets: Floats, scores: Floats, stratum: NDArray[np.str_], labels: list[int], rows: NDArray[Any]) -> float:
    """Mean over labels of the share of pairs in order, pairs within a stratum only."""
    found = []
    for label in labels:
        right = pairs = 0.0
        for name in np.unique(stratum[rows]):
            own = rows[(stratum[rows] == name) & ~np.isnan(targets[rows, label])]
            goal = targets[own, label]
            weight = float(goal.sum() * (len(goal) - goal.sum()))
            if weight:
                right, pairs = right + weight * auroc(goal, scores[own, label]), pairs + weight
        found.append(right / pairs if pairs else np.nan)
    return float(np.nanmean(found))


def measured(films: Films, scores: Floats, labels: list[int], rows: NDArray[Any], within: bool) -> dict[str, Any]:
    """``macro`` of some rows with its interval over patients."""
    stratum = films.stratum if within else np.full(len(films.patient), "")
    names, place = np.unique(films.patient[rows], return_inverse=True)
    members = [rows[place == number] for number in range(len(names))]
    random = np.random.default_rng(0)
    drawn = [
        macro(films.targets, scores, stratum, labels, np.concatenate([members[n] for n in pick]))
        for pick in random.integers(0, len(names), (DRAWS, len(names)))
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Measured(macro(films.targets, scores, stratum, labels, rows), low, high, len(rows)).to_json()


def crossed(films: Films, own: torch.Tensor, views: torch.Tensor, loyalty: float, spare: bool, normal: int) -> Floats:
    """Log-odds (N, L) of each film, corrected without its patient."""
    names, place = np.unique(films.patient, return_inverse=True)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(names))[place]
    scores = films.log_odds.clone()
    for number in range(FOLDS):
        inside = torch.from_numpy(fold == number)
        source = learnt(films, ~inside, spare, normal)
        correction = fit_correction(own, views, source, loyalty=loyalty)
        scores[inside] += (films.features[inside] - source.features.mean(0)) @ correction
    return scores.double().numpy()


def learnt(films: Films, rows: torch.Tensor, spare: bool, normal: int) -> FilmSource:
    targets = torch.from_numpy(films.targets.astype(np.float32))[rows]
    if spare:
        others = [label for label in range(targets.shape[1]) if label != normal]
        for label in others:
            targets[targets[:, normal] == 1, label] = torch.nan
    views = torch.full((int(rows.sum()),), VIEWS.index("frontal"))
    return FilmSource(films.features[rows], views, films.log_odds[rows], targets)


def source_films(checkpoint: Checkpoint, films: list[Film], kept: Path) -> Films:
    features, logits = read(checkpoint, films, kept)
    calibration = checkpoint.calibration["image"]
    odds = torch.from_numpy((logits * calibration.scale + calibration.shift).astype(np.float32))
    targets = nih_targets([film.labels for film in films], checkpoint.vocabulary.codes)
    pool = ["low" if int(film.patient) < POOL else "high" for film in films]
    stratum = np.array([f"{film.view} {name}" for film, name in zip(films, pool, strict=True)])
    patient = np.array([film.patient for film in films])
    return Films(torch.from_numpy(features), odds, targets, patient, stratum)


def openi_cost(labels: Floats, scores: Floats, studies: NDArray[Any], counted: list[int]) -> float:
    """Macro AUROC of the mean over each study's films."""
    ids = np.unique(studies)
    mean = np.stack([scores[studies == one].mean(0) for one in ids])
    goal = np.stack([labels[studies == one][0] for one in ids])
    return macro(goal, mean, np.full(len(ids), ""), counted, np.arange(len(ids)))


def counted(targets: Floats, least: int, leave: int) -> list[int]:
    return [label for label in np.flatnonzero((targets == 1).sum(0) >= least).tolist() if label != leave]


def file_sizes(folder: Path) -> Floats:
    """Bytes of each film of ``nih14``, in the table's order."""
    with (folder / "films.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "nih14"]
    return np.array([(folder / row["path"]).stat().st_size for row in rows], np.float64)


def main() -> None:
    study_set, folder, boxes, cache = map(Path, sys.argv[1:5])
    torch.set_num_threads(1)
    checkpoint, split, data = load_checkpoint("compact"), Split.load("openi-v1"), StudySet.load(study_set)
    normal = checkpoint.vocabulary.codes.index("normal")
    listed = [film for film in table_films(folder, 10**6) if film.source == "nih14"]
    nih = source_films(checkpoint, listed, cache / "nih14.npz")
    box = source_films(checkpoint, list(boxed_films(boxes)), cache / "nih_bbox.npz")
    young = [film for film in table_films(folder, CHILDREN) if film.source == "kermany_paediatric"]
    children, child_logits = read(checkpoint, young, cache / "children.npz")
    ill = np.array(["Normal" not in film.labels for film in young], np.float64)
    films = list(openi_films(data, split, 0))
    features, logits = read(checkpoint, films, cache / "openi_validation.npz")
    own, views = torch.from_numpy(features), torch.tensor([int(film.view == "lateral") for film in films])
    studies, place = np.unique([film.patient for film in films], return_inverse=True)
    labels = data.labels[data.rows(studies.tolist())][place].astype(np.float64)
    half, calibration = torch.from_numpy(place % 2 == 0), checkpoint.calibration["image"]
    odds = logits * calibration.scale + calibration.shift
    findings, all_labels = counted(nih.targets, LEAST, normal), counted(nih.targets, LEAST, -1)
    boxed_labels, held = counted(box.targets, 5, normal), ~half.numpy()
    openi_labels = counted(labels[held], 5, -1)  # with five positive films
    every, abnormal = np.arange(len(listed)), np.flatnonzero(nih.targets[:, normal] != 1)
    centres = centres_of(own[half], views[half])

    def pneumonia(change: Floats) -> dict[str, float]:
        """How well each of some labels tells ill children, its log-odds changed by so much."""
        scores = child_logits * calibration.scale + calibration.shift + change
        found = {}
        for code in PNEUMONIA:
            place = checkpoint.vocabulary.codes.index(code)
            found[code] = round(auroc(1 - ill if code == "normal" else ill, scores[:, place]), 4)
        return found

    def row(scores: Floats, boxed: Floats, openi: Floats, child: Floats) -> dict[str, Any]:
        return {
            "all films, normal ones as negatives": measured(nih, scores, all_labels, every, False),
            "all films, within pool and projection": measured(nih, scores, all_labels, every, True),
            "abnormal films, within pool and projection": measured(nih, scores, findings, abnormal, True),
            "normal, within pool and projection": measured(nih, scores, [normal], every, True),
            "boxed films": measured(box, boxed, boxed_labels, np.arange(len(box.patient)), False),
            "children, pneumonia": pneumonia(child),
            "Open-i, held half of validation, all films": round(
                openi_cost(labels[held], openi[held], place[held], openi_labels), 4
            ),
        }

    table = {"as shipped": row(nih.log_odds.double().numpy(), box.log_odds.double().numpy(), odds, np.zeros(1))}
    for name, (loyalty, spare) in SETTINGS.items():
        scores = crossed(nih, own[half], views[half], loyalty, spare, normal)
        source = learnt(nih, torch.ones(len(listed), dtype=torch.bool), spare, normal)
        correction = fit_correction(own[half], views[half], source, loyalty=loyalty)
        boxed = (box.log_odds + (box.features - nih.features.mean(0)) @ correction).double().numpy()
        openi = odds + ((own - centres[views]) @ correction).numpy()
        child = ((torch.from_numpy(children) - nih.features.mean(0)) @ correction).numpy()
        table[name] = row(scores, boxed, openi, child)
        print(name, table[name], flush=True)
    sizes, is_normal = file_sizes(folder), nih.targets[:, normal]
    size_tells = {
        name: round(auroc(1 - is_normal[nih.stratum == name], sizes[nih.stratum == name]), 4)
        for name in sorted(set(nih.stratum.tolist()))
    }
    body = {
        "model": checkpoint.fingerprint, "macro_auroc": table, "abnormal_told_by_file_size_auroc": size_tells,
        "children": {"films": len(young), "with pneumonia": int(ill.sum())},
        "labels": [checkpoint.vocabulary.codes[label] for label in findings], "least_positives": LEAST,
        "intervals": f"95 %, {DRAWS} draws of patients, seed 0", "folds": FOLDS,
    }  # fmt: skip
    write_result("source_labels", body)


if __name__ == "__main__":
    main()
