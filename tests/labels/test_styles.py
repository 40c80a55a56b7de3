"""Generated reports in many styles and generated questions: what is read is what was written."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_reports_mean_the_same_in_every_style(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    result = runpy.run_path(str(BENCHMARKS / "styles.py"))["measure"](reports=25, seed=11)
    findings, errors, missed, extra = (
        sum(count.get(name, 0) for count in result["styles"].values())
        for name in ("findings", "errors", "missed", "extra")
    )
    assert findings > 3000
    assert errors + missed + extra <= 0.01 * findings, result["examples"]
    assert result["agreeing"] >= 24


def test_questions_are_read_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    result = runpy.run_path(str(BENCHMARKS / "questions.py"))["measure"](questions=200, seed=11)
    assert (result["roundtrip_errors"], result["polarity_errors"]) == (0, 0), result["examples"]
