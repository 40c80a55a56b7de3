"""Encoding on a Ray cluster; ``benchmarks/cluster.py`` says what is done, here with few studies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lingula.errors import InputError, ModelError
from lingula.ingest import cluster
from lingula.library.record import LibraryDescription

ROOT = Path(__file__).resolve().parents[2]


def test_a_killed_worker_and_a_stopped_run_lose_nothing() -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'lingula[cluster]'")
    if "LINGULA_RAY" not in os.environ:
        pytest.skip("starts a Ray cluster, which takes a minute: set LINGULA_RAY=1")
    places = os.pathsep.join([str(ROOT / "src"), str(ROOT / "benchmarks")])
    environment = {**os.environ, "PYTHONPATH": places, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, str(ROOT / "benchmarks" / "cluster.py"), "49"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["same_studies"], found["problems"], found["workers_killed"]) == (True, 0, 1)
    assert found["max_difference"] <= 1e-5
    assert found["passed_over_when_resumed"] == found["stored_when_stopped"] < 49
    assert found["added_when_resumed"] == 49 - found["stored_when_stopped"]


def test_a_worker_with_another_model_refuses() -> None:
    with pytest.raises(ModelError, match="another") as refused:
        cluster.Encoder("compact", LibraryDescription("another", "v", (), 256), b"")
    assert refused.value.code == "model_mismatch"


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="ray") as refused:
        cluster.encode_openi(None, "compact", tmp_path, address="auto")  # type: ignore[arg-type]
    assert "lingula[cluster]" in refused.value.hint
