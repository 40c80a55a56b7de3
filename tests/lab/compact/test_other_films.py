"""Films of other sources: some patients teach nothing; a label is learnt where enough films have it and lack it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import made_up

from lingula.errors import InputError
from lingula_lab.compact import other_films as module
from lingula_lab.compact.other_films import other_films
from lingula_lab.gate.films import is_held_out, table_films


def _folder(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Films of one grey value a row, (source, patient, labels)."""
    with (folder / "films.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "source", "view", "patient_id", "labels"])
        for number, (source, patient, labels) in enumerate(rows):
            picture = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1)) // 2 + number
            Image.fromarray(picture).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", source, "PA", patient, labels])
    return folder


def test_patients_are_held_out_whole_and_labels_are_of_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST", 3)
    rows = [("nih14", f"{patient:03d}", "Mass|Edema" if patient % 2 else "Edema") for patient in range(40)] * 2
    rows += [("normals", "", "Normal")] * 30
    made = other_films(_folder(tmp_path, rows), made_up.architecture().preprocessing)
    taught = [row for row in rows[:80] if not is_held_out("nih14", row[1])]
    assert 40 <= len(taught) < 80
    assert made.names == ("nih14", "normals")
    assert len(made.films[0]) == len(taught)
    assert 20 <= len(made.films[1]) < 30  # without a patient, each film by itself
    for films in made.films:
        assert films.dtype == np.uint8
        assert films.shape[1:] == (64, 64)
    # "Edema" has every film, so it tells nothing
    expected = [[float("Mass" in labels)] for _, _, labels in taught]
    np.testing.assert_array_equal(made.targets[0], expected)
    assert made.targets[1].shape == (len(made.films[1]), 0)


def test_held_out_patients_are_the_gates_validation(tmp_path: Path) -> None:
    folder = _folder(tmp_path, [("nih14", f"{patient}", "Mass") for patient in range(40)])
    assert {film.part for film in table_films(folder, taught={"rsna_normal"})} == {"train"}
    films = list(table_films(folder, taught={"nih14"}))
    assert {film.part for film in films} == {"train", "validation"}
    assert all((film.part == "validation") == is_held_out("nih14", film.patient) for film in films)


def test_a_third_of_the_patients_of_nih_is_held_out() -> None:
    assert np.mean([is_held_out("nih14", str(patient)) for patient in range(5000)]) == pytest.approx(0.34, abs=0.02)


def test_without_a_table_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        other_films(tmp_path, made_up.architecture().preprocessing)
    assert refused.value.code == "not_found"
