"""Films of other sources that a trunk learns from: each source by its own labels, and some patients not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import Radiograph
from lingula_lab.gate.films import is_held_out, table_films

LEAST = 20
"""Films that must have a label, and as many that must not, before it is learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class OtherFilms:
    """N films of S sources.

    Attributes:
        films: (N, S, S) uint8 display values, letterboxed. source: (N,) int64 into ``names``.
        targets: of each source (N_s, L_s) float32 in {0, 1}, in the order of its films; L_s may be 0.
    """

    names: tuple[str, ...]
    films: npt.NDArray[np.uint8]
    source: npt.NDArray[np.int64]
    targets: tuple[npt.NDArray[np.float32], ...]


def other_films(
    folder: Path, preprocessing: Preprocessing, progress: Callable[[int], None] = lambda done: None
) -> OtherFilms:
    """All films of a folder with ``films.csv`` (see ``table_films``) but those of patients held out.

    Args:
        preprocessing: of the model that is trained.

    Raises:
        InputError: ``not_found`` without the table.
    """
    films: dict[str, list[npt.NDArray[np.uint8]]] = {}
    labels: dict[str, list[str]] = {}
    for done, film in enumerate(table_films(folder, sample=None, keep=lambda row: not _row_held_out(row))):
        display = to_input(Radiograph("film", film.pixels), preprocessing) * preprocessing.std + preprocessing.mean
        films.setdefault(film.source, []).append(np.rint(display * 255).clip(0, 255).astype(np.uint8))
        labels.setdefault(film.source, []).append(film.labels)
        progress(done + 1)
    names, size = tuple(sorted(films)), preprocessing.size
    counts = [len(films[name]) for name in names]
    together = np.stack([film for name in names for film in films[name]]) if names else np.empty((0, size, size))
    targets = tuple(_targets(labels[name]) for name in names)
    return OtherFilms(names, together.astype(np.uint8, copy=False), np.repeat(np.arange(len(names)), counts), targets)


def _row_held_out(row: dict[str, str]) -> bool:
    return is_held_out(row["source"], row["patient_id"] or row["path"])


def _targets(labels: list[str]) -> npt.NDArray[np.float32]:
    """(N, L) of labels written ``A|B``, those that enough films have and enough have not."""
    named = [set(each.split("|")) - {""} for each in labels]
    every = sorted(set().union(*named))
    told = [[float(label in own) for label in every] for own in named]
    found = np.array(told, np.float32).reshape(len(named), len(every))
    count = found.sum(0)
    return found[:, (count >= LEAST) & (len(named) - count >= LEAST)]
