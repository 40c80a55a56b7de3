"""A small library of made-up studies."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lingula.library import Entry, Library

IMPORTER = runpy.run_path(str(Path(__file__).with_name("importer.py")))


@pytest.fixture(scope="session")
def specimen() -> Callable[[int], Entry]:
    made: Callable[[int], Entry] = IMPORTER["specimen"]
    return made


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library for embeddings of 16 dimensions, at ``tmp_path/gallery``."""
    with Library.create(
        tmp_path / "gallery", model="m1", vocabulary="v1", labels=IMPORTER["LABELS"], dimension=IMPORTER["DIMENSION"]
    ) as made:
        yield made
