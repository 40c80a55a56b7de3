from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula_lab.data.study_set import StudySet


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudySet:
    """Thirty-two made-up studies."""
    folder = tmp_path_factory.mktemp("studies")
    preprocessing = made_up.architecture().preprocessing
    return StudySet.build(made_up.studies(32), folder, made_up.vocabulary(), preprocessing)


@pytest.fixture(scope="session")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published weights for ``made_up.folded_mobilenet``."""
    return made_up.published_trunk(made_up.MOBILE, tmp_path_factory.mktemp("trunk") / "trunk.safetensors")
