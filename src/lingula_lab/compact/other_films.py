"""Films of other sources that a trunk learns from: each source by its own labels, and some patients not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.reading.preprocess import Preprocessing
from lingula.study import Radiograph
from lingula_lab.data.study_set import kept_display
from lingula_lab.gate.films import is_held_out, patient_of, table_films

LEAST = 20
"""Films that must have a label, and as many that must not, before it is learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class OtherFilms:
    """Films of other sources; without any, none.

    Attributes:
        names: of the sources. films: of each source (N, S, S) uint8 display values, letterboxed.
        targets: of each source (N, L) float32 in {0, 1}; L may be 0.
    """

    names: tuple[str, ...] = ()
    films: tuple[npt.NDArray[np.uint8], ...] = ()
    targets: tuple[npt.NDArray[np.float32], ...] = ()


def other_films(folder: Path, preprocessing: Preprocessing) -> OtherFilms:
    """All films of a folder with ``films.csv`` (see ``table_films``) but those of patients held out.

    Args:
        preprocessing: of the model that is trained.

    Raises:
        InputError: ``not_found`` without the table.
    """
    films: dict[str, list[npt.NDArray[np.uint8]]] = {}
    labels: dict[str, list[str]] = {}
    for film in table_films(folder, sample=None, keep=lambda row: not is_held_out(row["source"], patient_of(row))):
        films.setdefault(film.source, []).append(kept_display(Radiograph("film", film.pixels), preprocessing))
        labels.setdefault(film.source, []).append(film.labels)
    names = tuple(sorted(films))
    return OtherFilms(
        names, tuple(np.stack(films.pop(name)) for name in names), tuple(_targets(labels[name]) for name in names)
    )


def _targets(labels: list[str]) -> npt.NDArray[np.float32]:
    """(N, L) of labels written ``A|B``, those that enough films have and enough have not."""
    named = [set(each.split("|")) - {""} for each in labels]
    every = sorted(set().union(*named))
    told = [[float(label in own) for label in every] for own in named]
    found = np.array(told, np.float32).reshape(len(named), len(every))
    count = found.sum(0)
    return found[:, (count >= LEAST) & (len(named) - count >= LEAST)]
