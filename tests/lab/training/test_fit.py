"""From studies to a checkpoint: repeatable, resumable, on one process or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.architecture import Architecture
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.training.fit import Preset, TrainingProgress, train_checkpoint
from lingula_lab.training.loop import Recipe

IDS = tuple(f"S{number}" for number in range(32))
SPLIT = Split("made up", 0, IDS[:20], IDS[20:30], IDS[30:])


def _train(data: StudySet, folder: Path, **options: object) -> Checkpoint:
    run = folder / "run"
    return train_checkpoint(
        made_up.preset(),
        data,
        SPLIT,
        folder / "model",
        vocabulary=made_up.vocabulary(),
        run=run,
        note="Made up.",
        **options,
    )


@pytest.mark.parametrize("name", ["compact", "tiny"])
def test_shipped_presets_are_whole(name: str) -> None:
    preset = Preset.load(name)
    architecture = Architecture.from_json({**preset.architecture, "labels": 22})
    assert architecture.dimension % architecture.heads == 0
    assert architecture.tokens <= architecture.text["max_position_embeddings"]
    assert preset.stages
    for recipe in preset.stages:
        if not isinstance(recipe, Recipe):
            continue
        assert recipe.monitor in recipe.modes
        assert len(recipe.weights) == len(recipe.modes)
        assert recipe.size <= architecture.preprocessing.size


def test_unknown_preset() -> None:
    with pytest.raises(InputError) as refused:
        Preset.load("enormous")
    assert refused.value.code == "not_found"


class _Killed(Exception):
    pass


def test_checkpoint_is_the_same_however_it_was_reached(data: StudySet, tmp_path: Path) -> None:
    told: list[TrainingProgress] = []
    whole = _train(data, tmp_path / "whole", progress=told.append)
    assert [(p.stage, p.epoch_done.epoch) for p in told if p.epoch_done] == [(0, 0), (0, 1), (1, 0), (1, 1)]

    def kill(at: TrainingProgress) -> None:
        if (at.stage, at.epoch, at.step) == (1, 1, 1):
            raise _Killed

    with pytest.raises(_Killed):
        _train(data, tmp_path / "parts", progress=kill)
    resumed = _train(data, tmp_path / "parts")
    assert resumed.fingerprint == whole.fingerprint
    assert load_checkpoint(tmp_path / "parts" / "model", check_golden=True).fingerprint == whole.fingerprint
    assert whole.training["studies"] == {"train": 20, "validation": 10}
    assert whole.training["split"] == {"name": "made up", "sha256": SPLIT.digest}
    assert whole.training["data"] == "Made up."
    assert set(whole.training["validation_auroc"]) == {"stage0", "stage1"}
    assert np.isfinite(whole.calibration["joint"].threshold).all()


def test_a_study_set_that_does_not_fit_is_refused(data: StudySet, tmp_path: Path) -> None:
    large = replace(made_up.architecture().preprocessing, size=96)
    with pytest.raises(InputError, match="96 px"):
        _train(StudySet.build(made_up.studies(32), tmp_path / "large", made_up.vocabulary(), large), tmp_path)
    other = Vocabulary.from_json(
        {**made_up.vocabulary().to_json(), "labels": made_up.vocabulary().to_json()["labels"][:3]}
    )
    with pytest.raises(InputError, match="3 labels"):
        _train(
            StudySet.build(made_up.studies(32), tmp_path / "few", other, made_up.architecture().preprocessing), tmp_path
        )
    with pytest.raises(InputError, match="training"):
        train_checkpoint(
            made_up.preset(),
            data,
            Split("other", 0, ("X1",), ("X2",), ("X3",)),
            tmp_path / "model",
            vocabulary=made_up.vocabulary(),
            run=tmp_path / "run",
        )


def test_two_processes_make_one_checkpoint(data: StudySet, tmp_path: Path) -> None:
    """As documented, both stages, the text-only one too, over gloo on the CPU: one sound checkpoint, told of once."""
    ids = data.ids
    Split("made up", 0, ids[:16], ids[16:22], ids[22:]).save(tmp_path / "split.json")
    body = json.loads(resources.files("lingula_lab.training").joinpath("presets/tiny.json").read_text())
    body["stages"] = [{**stage, "epochs": 1} for stage in body["stages"]]
    (tmp_path / "once.json").write_text(json.dumps(body))
    films = Path(str(data.films.filename)).parent
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "lingula", "train"]
    options = ["--preset", tmp_path / "once.json", "--split", tmp_path / "split.json", "--threads", "1", "--json"]
    told = subprocess.run(
        [sys.executable, *launch, films, tmp_path / "model", *options],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    fingerprint = load_checkpoint(tmp_path / "model", check_golden=True).fingerprint
    assert json.loads(told.stdout)["fingerprint"] == fingerprint
    assert told.stderr.count("stage 2/2 epoch 1") == 1
