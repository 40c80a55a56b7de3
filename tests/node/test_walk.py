"""The five minutes of docs/node.md, done as they stand there: each command, and what it is to show."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from tests.node_films import peer, write_film

import orthanc
from orthanc import free_port

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "node.md"


def test_the_first_five_minutes(tmp_path: Path) -> None:
    if orthanc.program() is None or orthanc.plugin("OrthancDicomWeb") is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    chapter = DOCUMENT.read_text().split("## Five minutes")[1].split("\n## ")[0]
    configuration, commands = re.findall(r"```(?:toml|sh)\n(.*?)```", chapter, re.S)[1:3]
    run, archived, store, status = commands.strip().splitlines()
    listens = free_port()
    write_film(tmp_path / "chest.dcm")
    with orthanc.running(tmp_path / "orthanc") as archive:
        told = configuration.replace(":8042", f":{archive.http}").replace("11112", str(listens))
        (tmp_path / "node.toml").write_text(told)
        lingula = [sys.executable, "-m", "lingula"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        with (tmp_path / "log").open("w") as log:
            node = subprocess.Popen(
                [*lingula, *shlex.split(run)[1:]], cwd=tmp_path, env=environment, stderr=log, stdout=log
            )  # fmt: skip
        try:
            program, *words = shlex.split(archived.replace("4242", str(archive.dicom)))
            assert subprocess.run([peer(program), *words], cwd=tmp_path, capture_output=True).returncode == 0
            program, *words = shlex.split(store.replace("11112", str(listens)))
            for _ in range(300):
                if subprocess.run([peer(program), *words], cwd=tmp_path, capture_output=True).returncode == 0:
                    break
                assert node.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            shown: dict[str, dict[str, int]] = {}
            for _ in range(300):
                command = [*lingula, *shlex.split(status)[1:], "--json"]
                said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
                shown = json.loads(said.stdout)["counts"]
                if shown["outbox"].get("stored", 0) == 3:
                    break
                time.sleep(0.5)
            assert shown == {"inbox": {"answered": 1}, "outbox": {"stored": 3}}
        finally:
            node.send_signal(signal.SIGINT)
            assert node.wait(60) == 0
        (study,) = archive.get("/studies?expand")
        series = [archive.get(f"/series/{each}")["MainDicomTags"] for each in study["Series"]]
        assert sorted(each["Modality"] for each in series) == ["CR", "OT", "PR", "SR"]
        for each in series:
            if each["Modality"] != "CR":
                assert each["SeriesDescription"].startswith("lingula"), each
