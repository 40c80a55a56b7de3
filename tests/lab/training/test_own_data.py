"""Own data by documented commands alone: a table of 200 films becomes a study set, a model, a library and answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import made_up
from typer.testing import CliRunner

from lingula.cli.main import app
from lingula.library import Library
from lingula.model.checkpoint import load_checkpoint
from lingula.openi import scan
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.training.adapt import ridge_head
from lingula_phantom import generate


def run(*words: str) -> Any:
    told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 invented studies of two films each: paths, reports, MeSH coding, patients."""
    folder = generate(tmp_path_factory.mktemp("own"), studies=100, seed=5, long_side=128)
    collection = scan(folder)
    path = folder / "cases.csv"
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, ["path", "study", "patient", "view", "report", "mesh"])
        rows.writeheader()
        for files in collection:
            report = files.report.report
            for image in files.images:
                rows.writerow(
                    {
                        "path": str(image.path.relative_to(folder)),
                        "study": files.study_id.replace("CXR", "own-"),
                        "patient": f"p{files.study_id}",
                        "view": image.view if image.view != "unknown" else "",
                        "report": report.text,
                        "mesh": ";".join(files.report.terms or ()),
                    }
                )
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    made_up.checkpoint(folder)
    return folder


def test_a_table_is_adapted_to_and_served(table: Path, base: Path, tmp_path: Path) -> None:
    with table.open() as file:
        films = len(list(csv.DictReader(file)))
    model, library = tmp_path / "mine", tmp_path / "mine.sqlite"
    told = run("adapt", str(base), str(table), str(model), "--library", str(library))
    studies = StudySet.load(Path(told["studies"]))
    assert films >= 150
    assert (len(studies.ids), len(studies.films)) == (100, films)
    assert set(told["validation_auroc"]) == {"image", "text", "joint"}
    split = Split.load(Path(told["studies"]) / "split.json")
    assert len(split.train) + len(split.validation) + len(split.test) == 100
    assert abs(len(split.train) - 70) < 5
    status = run("library", "status", "--library", str(library))
    assert (status["model"], status["studies"], status["radiographs"]) == (told["fingerprint"], 100, films)
    with table.open() as file:
        film = table.parent / next(csv.DictReader(file))["path"]
    answer = run("analyze", str(film), "--model", str(model), "--library", str(library), "-k", "3")
    assert len(answer["predictions"]) == len(studies.labels[0])
    assert len(answer["neighbours"]) == 3
    found = run("search", "effusion", "--model", str(model), "--library", str(library))
    assert found["searched"] == 100


def test_a_library_is_encoded_anew_for_another_model(table: Path, base: Path, tmp_path: Path) -> None:
    """Records stay, vectors become the other model's: what it says of the kept previews and reports."""
    other = tmp_path / "other"
    made_up.checkpoint(other, seed=1)
    old, new = str(tmp_path / "old.sqlite"), str(tmp_path / "new.sqlite")
    run("import", "table", str(table), "--model", str(base), "--library", old)
    told = run("library", "reencode", new, "--model", str(other), "--library", old)
    assert (told["added"], told["present"]) == (100, 0)
    assert run("library", "reencode", new, "--model", str(other), "--library", old)["present"] == 100
    assert run("library", "verify", "--library", new) == {"problems": []}
    checkpoint = load_checkpoint(other)
    with Library.open(old) as before, Library.open(new, model=checkpoint.fingerprint) as after:
        assert after.ids() == before.ids()
        study_id = before.ids()[0]
        one, two = before.get(study_id), after.get(study_id)
        assert (one.report, one.terms, one.labels, one.age) == (two.report, two.terms, two.labels, two.age)
        assert one.radiographs[0].png == two.radiographs[0].png
        (vector,) = after.vectors([study_id], "joint").values()
        np.testing.assert_allclose(vector, checkpoint.embed(before[study_id], "joint")[0], atol=1e-5)


def test_another_backbone_is_placed_by_the_reports(table: Path, base: Path, tmp_path: Path) -> None:
    """Any that transformers reads; here one with made-up weights."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14, num_channels=3
    )
    Dinov2Model(config).save_pretrained(tmp_path / "backbone")
    told = run("adapt", str(tmp_path / "backbone"), str(table), str(tmp_path / "mine"), "--base", str(base))
    assert set(told["validation_auroc"]) == {"image", "text", "joint"}
    with table.open() as file:
        film = table.parent / next(csv.DictReader(file))["path"]
    answer = run("predict", str(film), "--model", str(tmp_path / "mine"))
    assert answer["mode"] == "image"
    assert len(answer["predictions"]) == 22


def test_split_and_prepare_read_the_same_table(table: Path, tmp_path: Path) -> None:
    own = tmp_path / "dealt.csv"
    with table.open() as file, own.open("w", newline="") as copy:
        lines = list(csv.DictReader(file))
        rows = csv.DictWriter(copy, [*lines[0], "split"])
        rows.writeheader()
        order = sorted({line["study"] for line in lines})
        part = {study: ("train", "val", "test")[min(place // 70, 2)] for place, study in enumerate(order)}
        for line in lines:
            path = str((table.parent / line["path"]).resolve())
            rows.writerow({**line, "path": path, "split": part[line["study"]]})
    told = run("split", str(own), str(tmp_path / "mine.json"))
    assert (told["train"], told["validation"], told["test"]) == (70, 30, 0)
    assert Split.load(tmp_path / "mine.json").train == tuple(order[:70])
    assert run("prepare", str(own), str(tmp_path / "set"), "--preset", "tiny")["studies"] == 100


def test_the_head_is_ridge_regression_on_the_known_labels() -> None:
    """Against scikit-learn; a label that a study does not know leaves it out."""
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    states = generator.normal(size=(60, 5))
    goals = (states @ generator.normal(size=(5, 2)) > 0).astype(np.float32)
    goals[:20, 1] = np.nan
    head = ridge_head(torch.tensor(states), torch.tensor(goals), 0.01)
    centred = states - states.mean(0)
    penalty = 0.01 * (centred**2).sum() / 5
    for label, known in enumerate((slice(None), slice(20, None))):
        own = centred[known]
        sign = 2 * goals[known, label] - 1
        fitted = Ridge(alpha=penalty, fit_intercept=False).fit(own, sign - sign.mean())
        np.testing.assert_allclose(head.weight[label].numpy(), 2 * fitted.coef_, rtol=1e-4, atol=1e-5)
        wanted = 2 * (sign.mean() + (states - states.mean(0)) @ fitted.coef_)
        np.testing.assert_allclose(head(torch.tensor(states).float())[:, label].numpy(), wanted, rtol=1e-3, atol=1e-4)
