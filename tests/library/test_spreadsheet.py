"""A table is data, whatever a cell begins with."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lingula.library import Library
from lingula.library.export import export
from lingula.library.spreadsheet import cell
from lingula.study import Report, Study


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1 Heart", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["Heart - normal", "", -1, 0.5, None])
def test_other_values_pass(value: object) -> None:
    assert cell(value) is value


def test_an_exported_report_is_no_formula(in_a_file: Library, tmp_path: Path) -> None:
    in_a_file.add(Study("=cmd", report=Report.from_sections(findings="=HYPERLINK(1)")), {}, None)
    with export(in_a_file, tmp_path / "out", "csv")[0].open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert (row["study_id"], row["findings"]) == ("'=cmd", "'=HYPERLINK(1)")
