"""Made-up films in two dimensions: the fit parts what is parted, and leaves out what it is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lingula.labels.vocabulary import Vocabulary
from lingula.model.calibration import Calibration
from lingula_lab.gate import distort, films, measure
from lingula_lab.gate.films import GateFilms
from lingula_lab.gate.fit import fit_gate
from lingula_lab.gate.outside import auroc, nih_targets

CODES = Vocabulary.load("openi22").codes


def made_up(per: int = 120) -> GateFilms:
    """Chest films lie right (feature 0), the training collection's up (1), laterals deep (2), AP behind (3)."""
    random = np.random.default_rng(0)
    table = [
        ("openi", "", "train", "frontal", 4, 3, -3, -1), ("openi", "", "train", "lateral", 4, 3, 3, -1),
        ("openi", "", "validation", "frontal", 4, 3, -3, -1), ("nih14", "", "train", "AP", 4, -3, -3, 3),
        ("nih14", "", "train", "PA", 4, -3, -3, -3), ("nih14", "", "validation", "AP", 4, -3, -3, 3),
        ("nih14", "", "validation", "PA", 4, -3, -3, -3), ("not_chest", "hand", "train", "", -4, 0, 0, 0),
        ("not_chest", "ct", "train", "", -4, 1, 0, 0), ("phantom", "", "train", "frontal", 4, -4, -3, 0),
    ]  # fmt: skip
    rows = [(row, number) for row in table for number in range(per)]
    centre = np.array([row[4:] for row, _ in rows], np.float32)
    features = centre + random.normal(0, 0.5, centre.shape).astype(np.float32)
    labels = ["No Finding" if n % 2 else "Effusion" for _, n in rows]
    logits = random.normal(0, 1, (len(rows), len(CODES))).astype(np.float32)
    effusion = CODES.index("pleural_effusion")
    logits[:, effusion] += np.array([0.0 if label == "No Finding" else 3.0 for label in labels], np.float32)
    columns = np.array([(s, k, "", p, v) for (s, k, p, v, *_), _ in rows]).T
    patient = np.array([f"{row[2]}{n // 2}" for row, n in rows])
    return GateFilms(features, logits, *columns, patient, np.array(labels))


def test_the_fit_parts_what_is_parted_and_calls_what_is_told(tmp_path: Path) -> None:
    every = made_up()
    every.save(tmp_path / "films.npz")
    every = GateFilms.load(tmp_path / "films.npz")
    gate = fit_gate(every, "m", CODES, {})
    odds = gate.log_odds(every.features)
    chest = every.source != "not_chest"
    assert ((odds[:, 0] >= 0) == chest).all()
    assert ((odds[chest, 1] >= 0) == (every.source[chest] == "openi")).mean() > 0.98
    assert ((odds[chest, 2] >= 0) == (every.view[chest] == "lateral")).all()
    nih = every.source == "nih14"
    assert ((odds[nih, 3] >= 0) == (every.view[nih] == "AP")).all()
    assert gate.outside is not None
    assert [code for code, told in zip(CODES, gate.outside.judged, strict=True) if told] == ["pleural_effusion"]


def test_measures_leave_out_what_they_are_asked_about() -> None:
    every = made_up()
    accepted = measure.false_accepts(every)
    assert set(accepted) == {"hand", "ct", "mean"}
    assert accepted["mean"].value == accepted["mean"].high == 0
    found = measure.crossed(every, "nih14", CODES, Calibration.identity(len(CODES)))
    assert set(every.part[found.rows]) == {"validation"}
    effusion = [label == "Effusion" for label in every.labels[found.rows].tolist()]
    flags = measure.flagged(found.called, CODES, every.patient[found.rows])
    assert 0.3 < flags.low <= flags.value <= flags.high < 0.6  # effusions, and few others
    assert found.called[:, CODES.index("pleural_effusion")][effusion].mean() > 0.7
    value, each = measure.macro_auroc(every, "nih14", CODES)
    assert each["pleural_effusion"] > 0.95
    assert value.low < value.value < value.high


def test_nih_labels() -> None:
    targets = nih_targets(["No Finding", "Effusion|Mass"], CODES)
    place = CODES.index
    assert targets[:, place("normal")].tolist() == [1, 0]
    assert targets[:, place("pleural_effusion")].tolist() == [0, 1]
    assert targets[0, place("lung_opacity")] == 0
    assert np.isnan(targets[1, place("lung_opacity")])
    assert np.isnan(targets[:, place("fracture")]).all()
    assert auroc(np.array([0.0, 1, 1, 0]), np.array([1.0, 2, 1, 0])) == pytest.approx(3.5 / 4)


def test_distortions_keep_to_display_values() -> None:
    random = np.random.default_rng(1)
    film = random.random((120, 90)).astype(np.float32)
    for change in (*distort.READABLE, *distort.UNREADABLE):
        changed = change(film, random)
        assert changed.dtype == np.float32
        assert changed.ndim == 2
        assert 0 <= changed.min() <= changed.max() <= 1
    kinds = [kind for kind, values in distort.noise(16, random) if 0 <= values.min() <= values.max() <= 1]
    assert len(kinds) == 16
    assert len(set(kinds)) == 8
    assert {film.view for film in films.phantoms(1)} == {"frontal", "lateral"}
