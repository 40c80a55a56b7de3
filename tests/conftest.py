"""Shared fixtures. Tests that need the real collection or the real files skip with a reason where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that holds ``openi/``, ``dicom_chest/``, ``badinput/`` and ``ontologies/``."""
    named = os.environ.get("LINGULA_OPENI")
    folder = Path(named).parent if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "openi").is_dir():
        pytest.skip(f"needs the real collection: no {folder / 'openi'} (set LINGULA_OPENI)")
    return folder
