"""The films a gate is fitted and measured on: their source, kind and features, kept in one file."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.errors import InputError
from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint
from lingula.model.gate import film_features
from lingula.openi.splits import Split
from lingula.reading.preprocess import to_input
from lingula.study import Radiograph, View
from lingula_lab.data.study_set import StudySet
from lingula_lab.gate.distort import READABLE, UNREADABLE, noise

HELD_OUT = {"nih14": 0.34, "kermany_paediatric": 0.12, "rsna_normal": 0.05}
"""Share of a source's patients that teach a trunk nothing, so that it is measured on them."""
ELSEWHERE = 0.1
"""The same of a source that is not named there."""
Array = npt.NDArray[np.float32]
Names = npt.NDArray[np.str_]
DISTORTED = 100
"""Films of each source that each distortion is tried on."""
SAMPLE = 1500
"""Most films of a source, and of the training part of the own collection."""
_TOGETHER = 16


@dataclass(frozen=True, slots=True, eq=False)
class GateFilms:
    """N films.

    Attributes:
        features: (N, F), see ``film_features``. logits: (N, L) of each film alone, in image mode.
        source: "openi", "noise", "phantom", or as a table names it; "not_chest" of what is no chest film.
        kind: what a film of "not_chest" or "noise" shows; empty of a chest film.
        change: the distortion, empty where there is none. part: "train" or "validation".
        view: "PA", "AP", "frontal", "lateral" or empty. patient: to keep folds apart; labels: as the table gives them.
    """

    features: Array
    logits: Array
    source: Names
    kind: Names
    change: Names
    part: Names
    view: Names
    patient: Names
    labels: Names

    def __len__(self) -> int:
        return len(self.features)

    def save(self, path: Path) -> None:
        np.savez(path, **{each.name: getattr(self, each.name) for each in fields(self)})

    def untaught(self, source: str) -> npt.NDArray[np.int64]:
        """Rows of a source's films, as they are, whose patients taught the model nothing: all of them, where it did not
        learn from the source."""
        own = (self.source == source) & (self.change == "")
        held_out = own & (self.part == "validation")
        return np.flatnonzero(held_out if held_out.any() else own)

    @classmethod
    def load(cls, path: Path) -> GateFilms:
        with np.load(path, allow_pickle=False) as file:
            return cls(**{each.name: file[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """One picture and what is known of it; see ``GateFilms``."""

    pixels: Array
    source: str
    kind: str = ""
    change: str = ""
    part: str = "train"
    view: str = ""
    patient: str = ""
    labels: str = ""


def openi_films(data: StudySet, split: Split, sample: int = SAMPLE) -> Iterator[Film]:
    """Films of the validation part and at most ``sample`` of the training part, as the study set keeps them."""
    for part in ("train", "validation"):
        own = [(int(film), row) for row in data.rows(sorted(split.ids(part))) for film in data.films_of(row)]
        for place in _sample(len(own), sample if part == "train" else len(own)):
            film, row = own[place]
            pixels = np.asarray(data.films[film], np.float32) / np.float32(255)
            yield Film(_unpadded(pixels), "openi", part=part, view=data.views[film], patient=data.ids[row])


def table_films(
    folder: Path,
    sample: int | None = SAMPLE,
    keep: Callable[[dict[str, str]], bool] = lambda row: True,
    taught: Collection[str] = (),
) -> Iterator[Film]:
    """Films of a folder with ``films.csv`` (path, source, view, patient_id, labels), at most ``sample`` of a source, of
    those whose row is to be kept. Of the sources that the model learnt from, ``taught``, patients held out
    (``is_held_out``) are of the part "validation".

    Raises:
        InputError: ``not_found`` without the table.
    """
    rows = _rows(folder / "films.csv")
    for source in sorted({row["source"] for row in rows}):
        own = [row for row in rows if row["source"] == source and keep(row)]
        for row in (own[place] for place in _sample(len(own), len(own) if sample is None else sample)):
            patient = patient_of(row)
            part = "validation" if source in taught and is_held_out(source, patient) else "train"
            yield Film(_grey(folder / row["path"]), source, "", "", part, row["view"], patient, row["labels"])


def patient_of(row: dict[str, str]) -> str:
    """The patient of a row of ``films.csv``; a film without one is a patient of its own."""
    return row["patient_id"] or row["path"]


def is_held_out(source: str, patient: str) -> bool:
    """Whether this patient of the source teaches nothing; by a hash, so that it is the same everywhere."""
    digest = hashlib.sha256(f"{source}/{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT.get(source, ELSEWHERE) * 2**32


def _sample(count: int, most: int) -> list[int]:
    """At most so many places of so many, in their order, the same each time."""
    return sorted(np.random.default_rng(0).permutation(count)[:most].tolist())


def boxed_films(folder: Path) -> Iterator[Film]:
    """Films of ChestX-ray14 with boxes: a folder with ``labels.csv`` as it is published and ``images``."""
    for row in _rows(folder / "labels.csv"):
        name, patient = row["Image Index"], f"{int(row['Patient ID']):08d}"
        if (path := folder / "images" / name).is_file():
            labels, view = row["Finding Labels"], row["View Position"]
            yield Film(_grey(path), "nih_bbox_dev", part="validation", view=view, patient=patient, labels=labels)


def other_pictures(folder: Path) -> Iterator[Film]:
    """Pictures of a folder with ``not_chest.csv`` (path, kind): no chest films."""
    for row in _rows(folder / "not_chest.csv"):
        yield Film(_grey(folder / row["path"]), "not_chest", row["kind"])


def distorted(films: list[Film], seed: int) -> Iterator[Film]:
    """Some of the films of each source, each distortion tried on ``DISTORTED`` of them."""
    random = np.random.default_rng(seed)
    for source in sorted({film.source for film in films}):
        own = [film for film in films if film.source == source]
        for change in (*READABLE, *UNREADABLE):
            for place in random.permutation(len(own))[:DISTORTED]:
                film = own[place]
                yield Film(
                    change(film.pixels, random), source, film.kind, change.__name__, film.part, film.view, film.patient
                )  # fmt: skip


def nothing(count: int, seed: int) -> Iterator[Film]:
    for kind, pixels in noise(count, np.random.default_rng(seed)):
        yield Film(pixels, "noise", kind)


def phantoms(count: int) -> Iterator[Film]:
    """Drawn films: chest films unlike any that were taken."""
    from lingula_phantom.case import draw_frontal, draw_lateral
    from lingula_phantom.write import make_case

    for number in range(1, count + 1):
        case, random = make_case(number, 7)
        for view, draw in (("frontal", draw_frontal), ("lateral", draw_lateral)):
            yield Film(np.asarray(draw(case, random, 384), np.float32), "phantom", view=view)


def read_features(
    checkpoint: Checkpoint, films: Iterator[Film], progress: Callable[[int, int], None] = lambda done, of: None
) -> GateFilms:
    """Every film through the model, alone."""
    model, preprocessing = checkpoint.model, checkpoint.model.architecture.preprocessing
    features, logits, told = [], [], []
    while group := list(islice(films, _TOGETHER)):
        views: list[View] = ["lateral" if film.view == "lateral" else "frontal" for film in group]
        pixels = [to_input(Radiograph("film", film.pixels), preprocessing) for film in group]
        pairs = [[pair] for pair in zip(pixels, views, strict=True)]
        batch = collate(pairs, [None] * len(group), size=preprocessing.size, pad=0)
        encoded = model.encode(batch)
        logits.append(model.fuse(encoded.only("image")).logits)
        features.append(film_features(model, encoded, batch))
        told += [[film.source, film.kind, film.change, film.part, film.view, film.patient, film.labels]
                 for film in group]  # fmt: skip
        progress(len(told), 0)
    columns: Any = np.array(told, np.str_).T
    return GateFilms(np.concatenate(features), np.concatenate(logits), *columns)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError("not_found", f"{path} is missing.", "A folder with the table and its pictures is needed.")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _grey(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32) / np.float32(255)


def _unpadded(film: Array) -> Array:
    """Without the black border that brought it to a square."""
    rows, columns = (np.flatnonzero(film.any(axis)) for axis in (1, 0))
    return film[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else film
