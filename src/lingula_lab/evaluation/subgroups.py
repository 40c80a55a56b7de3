"""Groups of studies by their frontal film's row in the collection's table ``images.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.openi.tables import image_key

Flags = npt.NDArray[np.bool_]

AGES = ((0, 40), (40, 60), (60, 80), (80, 200))
TABLE = "images.csv"


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """Of a study's first frontal film: age in years (NaN unknown), Photometric Interpretation, Bits Stored."""

    age: float
    photometric: str
    bits: str


def read_facts(collection: Path) -> dict[str, FilmFacts]:
    """Facts by study id; empty where the collection has no such table.

    Raises:
        InputError: ``unsupported_format`` when it lacks its columns.
    """
    path = next((found for found in sorted(collection.rglob(TABLE))), None) if collection.is_dir() else None
    if path is None:
        return {}
    facts: dict[str, FilmFacts] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["projection_kaggle"].strip().lower() == "frontal":
                    study = "CXR" + image_key(row["image_id"]).split("_")[0]
                    age = float(row["age_from_dates"] or "nan")
                    bits = row["bits_stored"].split(".")[0]
                    facts.setdefault(study, FilmFacts(age, row["photometric"], bits))
    except (KeyError, AttributeError, ValueError, csv.Error, OSError) as error:
        raise InputError("unsupported_format", f"{path.name} is not the table of that name: {error!r}.") from error
    return facts


def groups(ids: Sequence[str], has_lateral: Flags, facts: dict[str, FilmFacts]) -> dict[str, Flags]:
    """Members of each group among the studies, (N,) flags, in the order a reader expects; empty groups left out."""
    found: dict[str, Flags] = {"frontal film only": ~has_lateral, "frontal and lateral": has_lateral}
    if facts:
        unknown = FilmFacts(float("nan"), "", "")
        known = [facts.get(study_id, unknown) for study_id in ids]
        age = np.array([each.age for each in known])
        for low, high in AGES:
            found[f"age {low}–{high - 1}" if high < 200 else f"age {low} and over"] = (age >= low) & (age < high)
        for polarity in sorted({each.photometric for each in known} - {""}):
            found[polarity] = np.array([each.photometric == polarity for each in known])
        for bits in sorted({each.bits for each in known} - {""}, key=int):
            found[f"{bits} bits stored"] = np.array([each.bits == bits for each in known])
    return {name: member for name, member in found.items() if member.any()}
