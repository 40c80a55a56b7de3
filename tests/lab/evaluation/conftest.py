from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import made_up

from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return made_up.checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study set of 100 made-up studies, on disk."""
    folder = tmp_path_factory.mktemp("studies")
    StudySet.build(made_up.studies(100), folder, made_up.vocabulary(), made_up.architecture().preprocessing)
    return folder


@pytest.fixture(scope="session")
def data(prepared: Path) -> StudySet:
    return StudySet.load(prepared)


@pytest.fixture(scope="session")
def split() -> Split:
    ids = [f"S{number}" for number in range(100)]
    return Split("made-up", 0, tuple(ids[:45]), tuple(ids[45:65]), tuple(ids[65:]))
