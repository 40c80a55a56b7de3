"""Films with a radiologist's boxes (NIH ChestX-ray14, Wang et al. 2017): a map's strongest place against the box."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula_lab.evaluation.explanation.faithfulness import Map, raster

NIH_LABELS: Mapping[str, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural_effusion",
    "Infiltrate": "airspace_disease",
    "Mass": "nodule_mass",
    "Nodule": "nodule_mass",
    "Pneumonia": "airspace_disease",
    "Pneumothorax": "pneumothorax",
}
"""The eight boxed findings and the nearest label of ``openi22``."""
TOP = 0.1
"""Share of the film that counts as marked, for IoU."""
_FINE = 64


@dataclass(frozen=True, slots=True)
class Boxed:
    """One finding on one film: its boxes as (x, y, width, height) in the film's pixels."""

    path: Path
    finding: str
    boxes: tuple[tuple[float, float, float, float], ...]


def read_boxes(folder: Path) -> tuple[Boxed, ...]:
    """``bbox.csv`` (image, finding, x, y, w, h) and ``images/``; boxes of one finding on one film together.

    Raises:
        InputError: ``not_found`` without the table, ``bad_request`` when it is not one.
    """
    table = folder / "bbox.csv"
    if not table.is_file():
        raise InputError("not_found", f"{table} is missing.", "A folder with bbox.csv and images/ is needed.")
    found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = defaultdict(list)
    try:
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                x, y, w, h = (float(row[name]) for name in ("x", "y", "w", "h"))
                found[row["image"], row["finding"]].append((x, y, w, h))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("bad_request", f"{table} is not a table of boxes: {error!r}.") from error
    return tuple(
        Boxed(folder / "images" / image, finding, tuple(boxes)) for (image, finding), boxes in sorted(found.items())
    )


def points_inside(values: Map, boxed: Boxed) -> bool:
    """The pointing game (Zhang et al. 2018): whether the strongest place of a map lies in a box.

    The place is the middle of the strongest cell of the ``raster``; no tolerance is given.
    """
    return _hit(raster(values), values.shape, boxed)


def centre_inside(shape: tuple[int, int], boxed: Boxed) -> bool:
    """The same for the middle of the film, the baseline that looks at no pixel."""
    (rows, columns) = shape
    return any(x <= columns / 2 <= x + w and y <= rows / 2 <= y + h for x, y, w, h in boxed.boxes)


def _hit(cells: Map, shape: tuple[int, ...], boxed: Boxed) -> bool:
    side = len(cells)
    row, column = divmod(int(cells.argmax()), side)
    px, py = (column + 0.5) * shape[1] / side, (row + 0.5) * shape[0] / side
    return any(x <= px <= x + w and y <= py <= y + h for x, y, w, h in boxed.boxes)


def overlap(values: Map, boxed: Boxed) -> tuple[float, float]:
    """IoU of the strongest ``TOP`` of the film with the boxes, and the area under precision-recall, cell by cell."""
    from sklearn.metrics import average_precision_score

    marked, truth = raster(values, _FINE), box_mask(boxed, values.shape)
    chosen = np.zeros(marked.size, bool)  # just so many cells: a map that is flat elsewhere marks no more
    chosen[np.argsort(-marked, axis=None, kind="stable")[: round(TOP * marked.size)]] = True
    strongest = chosen.reshape(marked.shape)
    union = int((strongest | truth).sum())
    return float((strongest & truth).sum()) / max(union, 1), float(
        average_precision_score(truth.ravel(), marked.ravel())
    )


def box_mask(boxed: Boxed, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(64, 64), True where the middle of a cell is in a box; at least one cell."""
    rows, columns = shape
    y, x = ((np.arange(_FINE) + 0.5) * side / _FINE for side in (rows, columns))
    mask = np.zeros((_FINE, _FINE), bool)
    for bx, by, w, h in boxed.boxes:
        mask |= ((y >= by) & (y <= by + h))[:, None] & ((x >= bx) & (x <= bx + w))[None]
        row, column = (
            min(int(at / side * _FINE), _FINE - 1) for at, side in ((by + h / 2, rows), (bx + w / 2, columns))
        )
        mask[max(row, 0), max(column, 0)] = True
    return mask
