"""A real Orthanc on free ports of this machine with a storage of its own, for tests and benchmarks of the node."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")


def program() -> str | None:
    """The path of Orthanc; None where it is not installed."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


def plugin(name: str) -> Path | None:
    """The library of a plugin (``OrthancDicomWeb``, ``OrthancPython``); None where it is not installed."""
    found = [file for folder in PLUGINS for file in sorted(Path(folder).glob(f"lib{name}.so*"))]
    return found[0] if found else None


def free_port() -> int:
    """A port that nobody listens to now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """An Orthanc in ``folder``; it can be killed and started again over its storage.

    Args:
        more: further configuration.
    """

    def __init__(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        self.folder, self.http, self.dicom = folder, free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        web = plugin("OrthancDicomWeb")
        self._configuration = {
            "Name": "archive", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "Plugins": [str(web)] if web else [], "HttpPort": self.http, "DicomPort": self.dicom,
            "DicomAet": "ARCHIVE", "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, "StableAge": 1, "SaveJobs": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False}, **(more or {}),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def dicom_web(self) -> str:
        return f"{self.url}/dicom-web"

    def start(self) -> None:
        """Start, and wait until it answers."""
        (configuration := self.folder / "orthanc.json").write_text(json.dumps(self._configuration))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(program()), str(configuration)], stdout=log, stderr=log)
        for _ in range(600):
            try:
                self.get("/system")
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"Orthanc does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a loss of power would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def get(self, path: str) -> Any:
        """The JSON at a path of its REST API."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as answer:
            return json.load(answer)

    def file(self, instance: str) -> bytes:
        """The object that it holds under this identifier of its own."""
        with urllib.request.urlopen(f"{self.url}/instances/{instance}/file", timeout=60) as answer:
            return bytes(answer.read())

    def post(self, path: str, body: bytes) -> Any:
        """The JSON that it answers to a body."""
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": "application/dicom"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        request = urllib.request.Request(f"{self.url}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=60).read()

    def add(self, *files: Path) -> None:
        """Store files."""
        for file in files:
            self.post("/instances", file.read_bytes())

    def instances(self, modality: str) -> list[dict[str, Any]]:
        """Main tags of the instances of one modality."""
        found = []
        for series in self.get("/series?expand"):
            if series["MainDicomTags"].get("Modality") == modality:
                found += [self.get(f"/instances/{each}")["MainDicomTags"] for each in series["Instances"]]
        return found


@contextmanager
def running(folder: Path, more: Mapping[str, Any] | None = None) -> Iterator[Orthanc]:
    """An Orthanc that is stopped at the end, whatever happens."""
    orthanc = Orthanc(folder, more)
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.stop()
