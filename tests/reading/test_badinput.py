"""Good, odd and hostile files get the answer that the manifest expects, through the sandbox, one child for all."""

from __future__ import annotations

import csv
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from lingula.reading.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as reader:
        yield reader


@pytest.mark.parametrize("kind", ["dicom", "image", "xml"])
def test_manifest(shared_data: Path, sandbox: Sandbox, kind: str) -> None:
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "badinput.py"))
    manifest = shared_data / "badinput" / "manifest.tsv"
    with manifest.open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["kind"] == kind]
    assert rows
    wrong = {}
    for row in rows:
        got = benchmark["answer"](manifest.parent / row["path"], kind, sandbox)
        expected = (row["expect"], row["code"] if row["expect"] == "reject" else "")
        if got != expected and not benchmark["reason_for"](row["path"], *got):
            wrong[row["path"]] = (expected, got)
    assert wrong == {}
