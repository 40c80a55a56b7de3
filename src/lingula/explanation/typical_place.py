"""Where a finding usually lies on a frontal film: the mean of radiologists' boxes on other films, no film looked at.

``typical_places.json`` next to this module holds, for each label that has boxes, their number of films and a raster of
shares (``benchmarks/boxes.py``). It is a map of its own, asked for by name, and never mixed with what a method says of
a film.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.errors import InputError
from lingula.study import Explanation, Study

TYPICAL_PLACE = "typical_place"


@dataclass(frozen=True, slots=True, eq=False)
class TypicalPlace:
    """Of one label: share of the films whose box covers each place, (side, side) over the whole film, [0, 1]."""

    films: int
    shares: npt.NDArray[np.float32]


def typical_place(study: Study, label: str) -> Explanation:
    """The map of a label's typical place on each frontal film of a study, in the film's pixels; 0 on other films.

    Raises:
        InputError: ``bad_request`` for a label whose typical place is not known.
    """
    known = typical_places()
    if label not in known:
        message = f"Where {label} usually lies is not known: no film with boxes of it was at hand."
        raise InputError("bad_request", message, f"It is known of {', '.join(known)}.")
    maps = tuple(
        _enlarged(known[label].shares, film.pixels.shape)
        if film.view == "frontal"
        else np.zeros(film.pixels.shape, np.float32)
        for film in study.radiographs
    )
    return Explanation(TYPICAL_PLACE, label, maps)


@cache
def typical_places() -> dict[str, TypicalPlace]:
    """By label."""
    body = json.loads(resources.files(__package__).joinpath("typical_places.json").read_text("utf-8"))
    return {
        label: TypicalPlace(row["films"], np.array(row["percent"], np.float32) / np.float32(100))
        for label, row in body["labels"].items()
    }


def _enlarged(shares: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    rows, columns = shape
    return np.asarray(Image.fromarray(shares).resize((columns, rows), Image.Resampling.BILINEAR), np.float32)
