"""One thread: two on a busy machine are slower, and sums differ in their last digit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import made_up

from lingula.model.checkpoint import Checkpoint


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return made_up.checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound checkpoint folder to copy and damage."""
    folder = tmp_path_factory.mktemp("sound") / "tiny"
    made_up.checkpoint(folder)
    return folder
