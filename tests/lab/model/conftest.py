from __future__ import annotations

from pathlib import Path

import pytest
from tests import made_up


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "tiny"
    made_up.checkpoint(folder)
    return folder
