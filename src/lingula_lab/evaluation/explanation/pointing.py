"""What maps are worth on films with a radiologist's boxes: pointing, IoU and AUPRC, against maps that see none.

Two maps look at no film: the middle of the film, and the *typical place*, the mean box of the same label on the other
films. A finding may have two labels (``ALSO``); figures over all findings are of the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula.study import Pointing, Radiograph
from lingula_lab.evaluation.explanation.boxes import NIH_LABELS, Boxed, box_mask, centre_inside, overlap, points_inside
from lingula_lab.evaluation.explanation.faithfulness import Map, centre, raster
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.table import Figure

ALSO: Mapping[str, str] = {"Infiltrate": "lung_opacity", "Pneumonia": "lung_opacity"}
"""A second label of ``openi22`` that a boxed finding is, too."""
TYPICAL, CENTRE = "typical place", "centre"
LEAST = 8
"""Films from which a label's maps are judged."""
MEASURES = ("pointing", "IoU", "AUPRC")

Scores = tuple[float, float, float]
"""In the order of ``MEASURES``."""
Mapped = Callable[[Radiograph, str, str], Map]
"""A film, a label and a method to the film's map."""
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class BoxedLabel:
    """One label on one boxed film. ``first``: of the finding's labels; ``area``: share of the film in the boxes."""

    boxed: Boxed
    film: Radiograph
    label: str
    first: bool

    @property
    def area(self) -> float:
        return float(box_mask(self.boxed, self.film.pixels.shape).mean())


@dataclass(frozen=True, slots=True, eq=False)
class BoxScores:
    """What each method's maps score on each boxed label; NaN where a slow method was not asked."""

    rows: tuple[BoxedLabel, ...]
    scores: Mapping[str, npt.NDArray[np.float64]]
    resamples: int
    seed: int

    def figures(self, method: str, rows: npt.NDArray[np.bool_], against: str = "") -> tuple[Figure, ...]:
        """One figure for each of ``MEASURES`` over some rows; with ``against`` how far they lie above that method's."""
        values = self.scores[method] - (self.scores[against] if against else 0)
        known = values[rows & ~np.isnan(values).any(1)]
        if not len(known):
            return (Figure(float("nan")),) * len(MEASURES)
        means = Resamples.draw(len(known), resamples=self.resamples, seed=self.seed).mean(known)
        return tuple(figure(column, len(known)) for column in means.T)

    @property
    def first(self) -> npt.NDArray[np.bool_]:
        return np.array([row.first for row in self.rows], bool)

    def of_label(self, label: str) -> npt.NDArray[np.bool_]:
        return np.array([row.label == label for row in self.rows], bool)

    def of_finding(self, finding: str) -> npt.NDArray[np.bool_]:
        return np.array([row.first and row.boxed.finding == finding for row in self.rows], bool)

    def pointing(self, method: str) -> dict[str, Pointing]:
        """What the method's maps are worth, label by label, of those with ``LEAST`` films."""
        found = {}
        for label in sorted({row.label for row in self.rows}):
            rows = self.of_label(label) & ~np.isnan(self.scores[method]).any(1)
            if rows.sum() < LEAST:
                continue
            share, _, precision = self.figures(method, rows)
            typical, _, typical_precision = self.figures(TYPICAL, rows)
            area = float(np.mean([row.area for row, chosen in zip(self.rows, rows, strict=True) if chosen]))
            found[label] = Pointing(
                films=int(rows.sum()), share=share.value, low=share.low, high=share.high, area=area,
                typical=typical.value, precision=precision.value, typical_precision=typical_precision.value,
            )  # fmt: skip
        return found


def boxed_labels(boxes: Sequence[tuple[Boxed, Radiograph]], codes: Sequence[str]) -> tuple[BoxedLabel, ...]:
    """Every label of a vocabulary on every boxed film."""
    named = ((boxed, film, (NIH_LABELS.get(boxed.finding, ""), ALSO.get(boxed.finding, ""))) for boxed, film in boxes)
    return tuple(
        BoxedLabel(boxed, film, label, place == 0)
        for boxed, film, labels in named
        for place, label in enumerate(labels)
        if label in codes
    )


def score_boxes(
    rows: Sequence[BoxedLabel], mapped: Mapped, methods: Mapping[str, int], told: Told, *, resamples: int, seed: int
) -> BoxScores:
    """Every method's maps, the typical place and the centre, on every boxed label.

    Args:
        methods: of each how many rows it is asked of, from the first on.
    """
    scores: dict[str, list[Scores]] = defaultdict(list)
    missing = (float("nan"), float("nan"), float("nan"))
    for done, row in enumerate(rows, 1):
        told("Boxes", done, len(rows))
        for method, most in methods.items():
            asked = done <= most
            scores[method].append(scored(mapped(row.film, row.label, method), row.boxed) if asked else missing)
        shape = row.film.pixels.shape
        others = [each for each in rows if each.label == row.label and each.film.image_id != row.film.image_id]
        scores[TYPICAL].append(scored(_over(mean_box(others), shape), row.boxed) if others else missing)
        _, overlapping, precision = scored(_over(centre(), shape), row.boxed)
        scores[CENTRE].append((float(centre_inside((shape[0], shape[1]), row.boxed)), overlapping, precision))
    return BoxScores(tuple(rows), {name: np.array(values) for name, values in scores.items()}, resamples, seed)


def scored(values: Map, boxed: Boxed) -> Scores:
    return float(points_inside(values, boxed)), *overlap(values, boxed)


def mean_box(rows: Sequence[BoxedLabel]) -> Map:
    """Share of the films whose boxes cover each place, on ``raster``."""
    masks = [box_mask(row.boxed, row.film.pixels.shape).astype(np.float32) for row in rows]
    return raster(np.mean(masks, 0, dtype=np.float32))


def _over(cells: Map, shape: tuple[int, ...]) -> Map:
    """A raster over a film of this shape, each place a flat field."""
    rows, columns = (np.arange(side) * len(cells) // side for side in shape)
    return np.asarray(cells[rows[:, None], columns[None]], np.float32)
