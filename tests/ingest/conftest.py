"""A tiny model, reading processes, and an empty library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lingula.ingest.batches import create_library
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2) as reader:
        yield reader


@pytest.fixture
def library(checkpoint: Checkpoint, tmp_path: Path) -> Iterator[Library]:
    with create_library(checkpoint, tmp_path / "library.sqlite") as made:
        yield made
