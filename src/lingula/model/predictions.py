"""Predictions of many studies: a row a study, as array or table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.frames import table_of
from lingula.study import FilmJudgement, Mode, Prediction, least_familiar

Told = bool | Callable[[int, int | None], None]
"""True for a bar on standard error, or a function of (studies done, of how many where that is known)."""


@dataclass(frozen=True, slots=True, eq=False)
class StudyPredictions:
    """What a model says of one of many studies.

    Attributes:
        predictions: one a label; empty where no film is a chest radiograph.
        films: the gate's judgements.
    """

    study_id: str
    mode: Mode
    predictions: tuple[Prediction, ...]
    films: tuple[FilmJudgement, ...]

    def row(self) -> dict[str, Any]:
        """One row of a table: probability by label, decision by ``label decision``."""
        cells: dict[str, Any] = {
            "study_id": self.study_id,
            "mode": self.mode,
            "familiarity": least_familiar(self.films),
        }
        for each in self.predictions:
            cells[each.label] = round(each.probability, 6)
            cells[f"{each.label} decision"] = each.decision
        return cells


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions of many studies, in the order in which they were given.

    Attributes:
        labels: codes of the vocabulary, L of them, in its order.
    """

    studies: tuple[StudyPredictions, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.studies)

    def __iter__(self) -> Iterator[StudyPredictions]:
        return iter(self.studies)

    def __getitem__(self, row: int) -> StudyPredictions:
        return self.studies[row]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each.study_id for each in self.studies)

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """(N, L) float32 in [0, 1]; NaN for a study of which nothing is said."""
        values = np.full((len(self.studies), len(self.labels)), np.nan, np.float32)
        for row, each in enumerate(self.studies):
            if each.predictions:
                values[row] = [prediction.probability for prediction in each.predictions]
        return values

    def to_frame(self) -> Any:
        """A pandas table, a row a study: probability by label, decision by ``label decision``.

        Raises:
            InputError: ``bad_request`` where pandas is not installed.
        """
        return table_of(each.row() for each in self.studies)
