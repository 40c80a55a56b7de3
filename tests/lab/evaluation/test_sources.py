"""The table by source: its rows, and that it counts what was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula_lab.evaluation.tables import sources
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.fit import fit_gate


@pytest.fixture
def films() -> GateFilms:
    """60 films each of the own validation and training part and of NIH in both projections, and other pictures."""
    random = np.random.default_rng(0)
    kinds = [
        ("openi", "train", "frontal", 4, 3), ("openi", "validation", "frontal", 4, 3),
        ("openi", "validation", "lateral", 4, 3), ("openi", "train", "lateral", 4, 3),
        ("nih14", "train", "AP", 4, -3), ("nih14", "train", "PA", 4, -3),
        ("nih14", "validation", "AP", 4, -3), ("nih14", "validation", "PA", 4, -3), ("not_chest", "train", "", -4, 0),
    ]  # fmt: skip
    rows = [(kind, number) for kind in kinds for number in range(60)]
    features = np.array([kind[3:] for kind, _ in rows], np.float32)
    features = np.concatenate([features, np.array([[kind[2] == "AP", kind[2] == "lateral"] for kind, _ in rows])], 1)
    features = (features + random.normal(0, 0.3, features.shape)).astype(np.float32)
    source, part, view = (np.array([kind[place] for kind, _ in rows]) for place in range(3))
    sick = np.array([number % 2 == 0 for _, number in rows])
    codes = made_up.vocabulary().codes
    logits = random.normal(0, 1, (len(rows), len(codes))).astype(np.float32)
    logits[sick, codes.index("pleural_effusion")] += 4
    labels = np.where(source == "nih14", np.where(sick, "Effusion", "No Finding"), "")
    patient = np.array([f"{kind[0]}{number}" if kind[0] == "openi" else f"{kind[1]}{number}" for kind, number in rows])
    kind = np.where(source == "not_chest", "hand", "")
    return GateFilms(features, logits, source, kind, np.full(len(rows), ""), part, view, patient, labels)


def test_rows_by_source_and_projection(
    films: GateFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    checkpoint = made_up.checkpoint(tmp_path / "tiny")
    codes = checkpoint.vocabulary.codes
    gate = fit_gate(films, checkpoint.fingerprint, codes, {})
    monkeypatch.setattr(sources, "gate_of", lambda model: replace(gate, model=model))
    labels = {f"openi{n}": ("pleural_effusion",) if n % 2 == 0 else ("normal",) for n in range(50)}
    table = sources.sources_table(films, checkpoint, labels)
    assert [row.name for row in table.rows] == [
        "Open-i, validation, frontal", "NIH, all", "NIH, PA", "NIH, AP, mostly portable"
    ]  # fmt: skip
    assert [table.cell(row.name, "films") for row in table.rows] == [50, 120, 60, 60]  # ten studies were not coded
    assert table.figure("NIH, PA", "unlike").value > 0.9
    assert table.figure("Open-i, validation, frontal", "unlike").value < 0.1
    assert table.cell("NIH, all", "findings judged") == 1
    assert table.figure("NIH, all", "flags per normal film").value < 0.2
    assert 0.3 < table.figure("NIH, all", "flags per film").value < 0.6  # half have an effusion


def test_sets_of_the_source_cover_what_those_of_elsewhere_do_not() -> None:
    """Sources whose scores lie two apart: sets of the other source miss what is present, sets of the own hold 90 %."""
    random = np.random.default_rng(0)
    goal = (random.random((2000, 1)) < 0.3).astype(float)
    here = random.normal(2 * goal, 1)
    there = here - 2
    groups = np.arange(2000).astype(str)
    held, absent = sources.coverage(goal, there, groups, (goal, here))
    assert held.value < 0.4
    assert absent.value > 0.99
    own = sources.coverage(goal, there, groups, None)
    assert [each.value for each in own] == pytest.approx([0.9, 0.9], abs=0.03)
