"""What is planted in headers and names is nowhere afterwards; ``benchmarks/canaries.py`` does the same for real."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.server.conftest import running

import canaries
from lingula.ingest.batches import create_library
from lingula.ingest.files import import_files
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.server import Settings
from own_films import CANARY


def test_nothing_planted_is_left(
    checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = canaries.plant(tmp_path / "films")
    assert canaries.left({"films": b"".join(data for _, data in canaries.films())})["films"] > 1000
    caplog.set_level(logging.DEBUG)
    with create_library(checkpoint, tmp_path / "library.sqlite") as library:
        result = import_files(library, checkpoint, root, sandbox)
        assert result.added >= 5
        assert len(result.refused) >= len(canaries.GATES) + 1  # an odd Modality gives way to the SOP class
        assert any(CANARY in str(each.path) for each in result.refused)  # its owner is told which file
        with running(checkpoint, library, root, Settings()) as server:
            said = canaries.answers(
                lambda method, path, body, kind: server.ask(method, path, body, Content_Type=kind).body, root
            )
        assert canaries.left(canaries.kept(tmp_path / "library.sqlite", tmp_path / "out")) == {}
    assert canaries.left(said) == {}
    log = "".join(one.getMessage() for one in caplog.records if one.name.startswith(("lingula", "uvicorn")))
    assert canaries.left({"log": log.encode()}) == {}


def test_a_library_can_be_read_by_its_owner_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    import os

    before = os.umask(0)
    try:
        with create_library(checkpoint, tmp_path / "a" / "library.sqlite") as library:
            library.refuse("file-0123456789ab", "truncated", "The file ends inside an element.")
            files = sorted((tmp_path / "a").iterdir())
            assert {path.suffix for path in files} >= {".sqlite", ".sqlite-wal"}
            assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
            library.backup(tmp_path / "copy.sqlite")
    finally:
        os.umask(before)
    assert (tmp_path / "copy.sqlite").stat().st_mode & 0o777 == 0o600
    with Library.open(tmp_path / "copy.sqlite") as copy:
        assert copy.refusals()[0].source == "file-0123456789ab"
