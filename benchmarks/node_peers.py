"""A node as a process of its own next to an Orthanc, and films for both: what the benchmarks of the node share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import generate_uid

from orthanc import Orthanc, free_port
from own_films import dicom

SYSTEM = "/usr/bin:/usr/local/bin:/opt/homebrew/bin"
STORESCU, ECHOSCU = (shutil.which(name, path=SYSTEM) or name for name in ("storescu", "echoscu"))
"""DCMTK's: pynetdicom brings programs of the same names."""
AET, SENDER = "LINGULA", "MODALITY"


def film_file(folder: Path, number: int, **attributes: object) -> Path:
    """A made-up film of a study of its own as a file."""
    series = generate_uid(entropy_srcs=[f"series {number}"])
    given = {"SeriesInstanceUID": series, "PatientID": f"P{number}", "PatientName": f"Made^Up{number}", **attributes}
    (file := folder / f"{number:05}.dcm").write_bytes(dicom(number, **given))
    return file


def send(port: int, *files: Path, aec: str = AET, timeout: float = 600) -> int:
    """DCMTK's exit status after sending files in one association; 0 when all were acknowledged."""
    command = [STORESCU, "-R", "-pdu", "131072", "-aet", SENDER, "-aec", aec, "127.0.0.1", str(port)]
    return subprocess.run([*command, *map(str, files)], capture_output=True, timeout=timeout).returncode


class NodeProcess:
    """``lingula node`` in a folder, sending to an archive; it can be killed with all its children."""

    def __init__(self, folder: Path, archive: Orthanc, *, kinds: Sequence[str] = ("sr",), quiet: float = 0.2) -> None:
        self.folder, self.port = folder, free_port()
        self.library = folder / "library.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        listed = ", ".join(f'"{kind}"' for kind in kinds)
        (folder / "node.toml").write_text(f"""library = "{self.library}"
[node]
spool = "{folder / "spool"}"
kinds = [{listed}]
quiet_seconds = {quiet}
lease_seconds = 20
[node.receive]
port = {self.port}
[[node.receive.allow]]
aet = "{SENDER}"
address = "127.0.0.1"
[[node.send]]
name = "archive"
url = "{archive.dicom_web}"
""")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it listens some seconds later."""
        command = [sys.executable, "-m", "lingula", "node", str(self.folder / "node.toml")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """End it and its children at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def listens(self) -> bool:
        command = [ECHOSCU, "-q", "-to", "2", "-aet", SENDER, "-aec", AET, "127.0.0.1", str(self.port)]
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


@contextmanager
def node(folder: Path, archive: Orthanc, **given: object) -> Iterator[NodeProcess]:
    """A node that is stopped at the end, whatever happens."""
    made = NodeProcess(folder, archive, **given)  # type: ignore[arg-type]
    try:
        made.start()
        yield made
    finally:
        made.stop()
