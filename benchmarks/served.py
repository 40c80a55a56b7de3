"""A server of its own for a benchmark: the command line's, on a made-up collection, with the shipped model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Served:
    """Where it is, which process it is, and the seconds from its start to its first answer."""

    address: str
    pid: int
    ready_seconds: float

    def connect(self) -> HTTPConnection:
        return HTTPConnection(urlsplit(self.address).netloc, timeout=60)


def made_up(folder: Path, studies: int) -> Path:
    """A library of phantom studies in a folder, made once."""
    library = folder / "library.sqlite"
    if not library.exists():
        command = [sys.executable, "-m", "lingula", "demo", str(folder), "--studies", str(studies), "--queries", "1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return library


@contextmanager
def served(library: Path | None, *options: str, tree: Path | None = None) -> Iterator[Served]:
    """``lingula serve`` on a free port and a copy of a library (what is asked may change it), ended afterwards.

    Without a library, the package serves what ships with it.

    Args:
        tree: a checkout of another version, whose code serves.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = ("--library", shutil.copy(library, folder)) if library is not None else ()
        yield from _served(Path(folder), tree, *chosen, *options)


def _served(folder: Path, tree: Path | None, *options: str) -> Iterator[Served]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "lingula", "serve", "--port", "0", "--json", *options]
    code = {"PYTHONPATH": str(tree / "src")} if tree is not None else {}
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **code}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        address = json.loads(process.stdout.readline())["address"]
        connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.request("GET", "/api/health")
        assert connection.getresponse().status == 200
        connection.close()
        yield Served(address, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
