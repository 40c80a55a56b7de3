"""A library that holds what was measured, and one that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.library import Entry, Library
from lingula_lab.evaluation.deployed import library_table
from lingula_lab.evaluation.encode import EncodedPart
from lingula_lab.measures.table import Table


def part(ids: tuple[str, ...], vectors: np.ndarray) -> EncodedPart:
    readings = dict.fromkeys(("image", "report", "image_report"), vectors)
    return EncodedPart(ids, np.arange(len(ids)), readings, {})  # type: ignore[arg-type]


def held_against(folder: Path, stored: np.ndarray, measured: np.ndarray) -> Table:
    """Twenty test and ten train studies; the library lacks one and knows image vectors only."""
    ids = [f"S{number}" for number in range(30)]
    options = {"vocabulary": "v", "labels": ("normal",), "dimension": stored.shape[1]}
    with Library.create(folder / "library", model="m", **options) as library:
        library.add_many([Entry(made_up.study(n), {"image": stored[n]}, None) for n in range(1, 30)])
        encoded = {"test": part(tuple(ids[:20]), measured[:20]), "train": part(tuple(ids[20:]), measured[20:])}
        return library_table(library, encoded)  # type: ignore[arg-type]


@pytest.fixture
def vectors(rng: np.random.Generator) -> np.ndarray:
    made = rng.normal(size=(30, 8)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_a_library_of_the_same_vectors(tmp_path: Path, vectors: np.ndarray) -> None:
    made = held_against(tmp_path, vectors, vectors)
    assert [row.name for row in made.rows] == ["image"]
    assert made.cell("image", "studies in both") == 29
    assert made.figure("image", "least cosine").value == pytest.approx(1, abs=1e-6)
    assert made.figure("image", "shared of the first 10").value == 1


def test_one_vector_that_differs_is_seen(tmp_path: Path, vectors: np.ndarray) -> None:
    other = vectors.copy()
    other[5] = -other[5]
    made = held_against(tmp_path, other, vectors)
    assert made.figure("image", "least cosine").value == pytest.approx(-1, abs=1e-6)
    assert made.figure("image", "median cosine").value == pytest.approx(1, abs=1e-6)
    assert made.figure("image", "shared of the first 10").value < 1
