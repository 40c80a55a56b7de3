"""Imports over the page: every upload, each once, and nothing of what it was called."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.server.conftest import Server, Stock, running

from canaries import multipart
from lingula.ingest.batches import create_library
from lingula.server import Settings
from own_films import dicom, own_folder, picture


def follow(server: Server, started: bytes) -> Any:
    job = json.loads(started)
    until = time.monotonic() + 300
    while job["state"] in ("waiting", "running") and time.monotonic() < until:
        time.sleep(0.05)
        job = server.ask("GET", f"/api/jobs/{job['job_id']}").json
    assert job["state"] == "done", job
    return job


def send(server: Server, *files: tuple[str, bytes]) -> Any:
    body, kind = multipart(list(files))
    return follow(server, server.ask("POST", "/api/imports", body, Content_Type=kind).body)


def test_uploads_of_one_name_all_come_in(stock: Stock, tmp_path: Path) -> None:
    with (
        create_library(stock.checkpoint, tmp_path / "library.sqlite") as library,
        running(stock.checkpoint, library, stock.collection, Settings()) as server,
    ):
        first = send(server, ("image.png", picture(1)), ("image.png", picture(2)))
        second = send(server, ("image.png", picture(3)))
        again = send(server, ("other.png", picture(3)), ("image.png", b"no picture"))
        assert [(job["added"], job["present"]) for job in (first, second, again)] == [(2, 0), (1, 0), (0, 1)]
        assert [(row["name"], row["code"]) for row in again["refused"]] == [("00002", "unsupported_format")]
        with_report = send(server, ("case.dcm", dicom(9)), ("case.txt", b"FINDINGS: Clear lungs."))
        assert with_report["added"] == 1
        assert sum(library.get(study).report is not None for study in library.ids()) == 1


def test_three_hundred_bad_files_by_upload_and_by_folder(stock: Stock, tmp_path: Path) -> None:
    root = own_folder(tmp_path / "own")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    is_bad = ["[" in str(path.relative_to(root)) for path in files]
    with (
        create_library(stock.checkpoint, tmp_path / "library.sqlite") as library,
        running(stock.checkpoint, library, stock.collection, Settings()) as server,
    ):
        job = send(server, *((str(path.relative_to(root)).replace("\x1b", ""), path.read_bytes()) for path in files))
        assert (job["added"], job["present"], len(job["refused"])) == (20, 0, 300)
        assert {row["name"] for row in job["refused"]} == {f"{at:05}" for at, bad in enumerate(is_bad, 1) if bad}
        job = follow(server, server.post("/api/imports/folder", {"folder": str(root)}).body)
        assert (job["added"], job["present"], len(job["refused"])) == (0, 20, 300)
        assert len({row["name"] for row in job["refused"]}) == 300
        told = json.dumps(job["refused"])
        assert ".dcm" not in told
        assert "exam" not in told
        shown = server.ask("GET", "/library", Accept="text/html").body.decode()
        assert "IM0" not in shown
        assert ".dcm" not in shown
