"""Looks at a test part are counted before they are taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula_lab.cli import evaluate as command
from lingula_lab.evaluation.ledger import append_look, ledger_of, looks


def test_a_model_measured_twice_on_one_day_is_one_look(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path / "mine.json")
    assert ledger == tmp_path / "mine.looks.jsonl"
    for today, model in (("2026-01-01", "a"), ("2026-01-01", "a"), ("2026-01-01", "b"), ("2026-01-02", "a")):
        append_look(ledger, split="s", model=model, what="tables", reason="why", today=today)
    assert [(look.date, look.model) for look in looks(ledger)] == [
        ("2026-01-01", "a"), ("2026-01-01", "b"), ("2026-01-02", "a")
    ]  # fmt: skip


def test_the_shipped_split_says_who_has_looked() -> None:
    ledger = ledger_of("openi-v1")
    assert {look.split for look in looks(ledger)} == {Split.load("openi-v1").digest}


def test_a_look_that_cannot_be_written_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.looks.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        append_look(ledger_of(tmp_path / "mine.json"), split="s", model="a", what="tables", reason="")
    (tmp_path / "other.looks.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="no ledger"):
        looks(ledger_of(tmp_path / "other.json"))


def test_evaluate_writes_its_look(checkpoint: Checkpoint, prepared: Path, split: Split, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model")
    split.save(tmp_path / "split.json")
    app = Typer()
    app.command()(command.evaluate)
    said = [str(tmp_path / "model"), "--data", str(prepared), "--split", str(tmp_path / "split.json")]
    said += ["--out", str(tmp_path / "out"), "--resamples", "100", "--reason", "to see", "--json"]
    ran = CliRunner().invoke(app, said)
    assert ran.exit_code == 0, ran.output
    (look,) = looks(tmp_path / "split.looks.jsonl")
    assert (look.model, look.what, look.reason) == (checkpoint.fingerprint, "tables", "to see")
