from __future__ import annotations

from pathlib import Path

import pytest
from tests import made_up

from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet


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
