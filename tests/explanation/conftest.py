from __future__ import annotations

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
