"""Shared fixtures. Tests that need the real collection or the real files skip with a reason where there are none."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lingula.model.checkpoint import Checkpoint
from lingula.model.onnx_engine import OnnxEngine

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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """One thread for torch: two on a busy machine are slower, and sums differ in their last digit."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The tiny model, saved and loaded."""
    from tests import made_up

    return made_up.checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def checkpoint_folder(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder once more, to copy and damage."""
    assert isinstance(checkpoint.model.engine, OnnxEngine)
    return Path(shutil.copytree(checkpoint.model.engine.folder, tmp_path_factory.mktemp("sound") / "tiny"))


@pytest.fixture(autouse=True, scope="session")
def _graphs_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each graph of the test models is exported by one of the processes that run the tests, and read by the others."""
    export = sys.modules.get("lingula_lab.model.onnx_export")
    with pytest.MonkeyPatch.context() as patch:
        if export and "PYTEST_XDIST_WORKER" in os.environ:
            folder = tmp_path_factory.getbasetemp().parent / "graphs"
            folder.mkdir(exist_ok=True)
            patch.setattr(export, "_graph", _once(export, folder))
        yield


def _once(export: Any, folder: Path) -> Any:
    """``onnx_export._graph``, its results kept in a folder."""
    graph = export._graph

    def kept(model: Any, part: Any) -> Any:
        import onnx
        import onnx_ir

        file = folder / hashlib.sha256(export.key_of(model.architecture, part).encode()).hexdigest()
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                onnx.save(onnx_ir.to_proto(graph(model, part)), file)
            return onnx_ir.from_proto(onnx.load(file))

    return kept
