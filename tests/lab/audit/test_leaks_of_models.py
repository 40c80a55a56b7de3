"""A library or a checkpoint that knows the test studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.library import Entry, Library
from lingula.model.checkpoint import Checkpoint
from lingula.openi.collection import StudyFiles
from lingula.openi.splits import Split
from lingula.reading.report_openi import OpeniReport
from lingula.study import Radiograph
from lingula_lab.audit.checkpoint import checkpoint_collisions, nearest_fit, report_logits
from lingula_lab.audit.films import FilmRecord
from lingula_lab.audit.library import library_collisions, model_collisions
from lingula_lab.data.make_split import label_seal, split_study
from lingula_lab.training.calibration_fit import fit_calibration

PARTS = {"S0": "train", "S1": "train", "S2": "test"}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.create(tmp_path / "gallery", model="m1", vocabulary="v1", labels=("normal",), dimension=4)


def put(library: Library, study_id: str, digest: str = "") -> None:
    study = replace(made_up.study(0), study_id=study_id)
    film = Radiograph("film", np.zeros((8, 8), np.float32), digest=digest)
    vector = np.array([1, 0, 0, 0], np.float32)
    library.add_many([Entry(replace(study, radiographs=(film,)), {"image": vector}, None)])


def test_a_gallery_that_holds_what_it_should_is_clean(library: Library) -> None:
    with library:
        for study_id in ("S0", "S1", "elsewhere"):
            put(library, study_id, digest=study_id * 8)
        assert list(library_collisions(library, "train", [_film("S2", "other")], PARTS)) == []


def test_a_gallery_with_a_query_in_it(library: Library) -> None:
    with library:
        put(library, "S0")
        put(library, "S2")
        (collision,) = library_collisions(library, "train", [], PARTS)
        assert (collision.kind, collision.study_ids) == ("gallery", ("S2",))


def test_a_gallery_with_a_query_under_another_name(library: Library) -> None:
    with library:
        put(library, "1.2.840.1", digest="f" * 64)
        (collision,) = library_collisions(library, "train", [_film("S2", "f" * 64)], PARTS)
        assert (collision.kind, collision.study_ids) == ("gallery", ("S2",))


def test_a_library_filled_by_another_model(library: Library) -> None:
    with library:
        assert list(model_collisions(library, "m1")) == []
        (collision,) = model_collisions(library, "m2")
        assert collision.kind == "other_model"


def _film(study_id: str, digest: str) -> FilmRecord:
    return FilmRecord(study_id, f"{study_id}_1", digest, np.zeros(4096, np.float32))


# -- checkpoints

STUDIES = {
    study.study_id: StudyFiles(
        study.study_id,
        OpeniReport(study.study_id, study.report, study.terms, (), (), ""),  # type: ignore[arg-type]
        (),
    )
    for study in made_up.studies(90)
}
IDS = tuple(STUDIES)
VOCABULARY = made_up.vocabulary()
SEAL = label_seal((split_study(files, VOCABULARY) for files in STUDIES.values()), VOCABULARY)
SPLIT = Split("made-up", 0, IDS[:20], IDS[20:50], IDS[50:], SEAL)


def calibrated(checkpoint: Checkpoint, ids: tuple[str, ...], **training: object) -> Checkpoint:
    """The checkpoint with the calibration fitted on the reports of these studies."""
    files = [STUDIES[study_id] for study_id in ids]
    targets = np.stack([VOCABULARY.encode(each.report.terms) for each in files])
    fitted = fit_calibration(report_logits(checkpoint, files), targets)
    told = {"split": {"name": SPLIT.name, "sha256": SPLIT.digest}, **training}
    return replace(checkpoint, calibration={**checkpoint.calibration, "text": fitted}, training=told)


def kinds(checkpoint: Checkpoint, split: Split = SPLIT) -> list[str]:
    return [collision.kind for collision in checkpoint_collisions(checkpoint, split, STUDIES)]


def test_a_checkpoint_calibrated_on_validation_is_clean(checkpoint: Checkpoint) -> None:
    assert kinds(calibrated(checkpoint, SPLIT.validation)) == []


@pytest.mark.parametrize("ids", [SPLIT.test, SPLIT.validation + SPLIT.test])
def test_thresholds_from_test(checkpoint: Checkpoint, ids: tuple[str, ...]) -> None:
    assert kinds(calibrated(checkpoint, ids)) == ["thresholds"]


def test_thresholds_that_say_so_themselves(checkpoint: Checkpoint) -> None:
    assert kinds(calibrated(checkpoint, SPLIT.validation, calibrated_on="test")) == ["thresholds"]


def test_a_checkpoint_of_another_split(checkpoint: Checkpoint) -> None:
    other = replace(SPLIT, train=IDS[:19], validation=IDS[19:50])
    assert kinds(calibrated(checkpoint, SPLIT.validation), other) == ["other_split"]


def test_a_checkpoint_of_other_labels(checkpoint: Checkpoint) -> None:
    other = replace(SPLIT, labels=replace(SEAL, sha256="0" * 64))
    assert kinds(calibrated(checkpoint, SPLIT.validation), other) == ["labels_edited"]


def test_the_nearest_fit_bears_the_noise_of_half_precision() -> None:
    random = np.random.default_rng(0)
    logits = {name: random.normal(size=(80, 3)).astype(np.float32) for name in ("validation", "test")}
    targets = {
        name: (values + random.normal(size=values.shape) > 0.5).astype(np.float32) for name, values in logits.items()
    }
    for name in logits:
        stored = fit_calibration(logits[name] + random.normal(size=(80, 3)) * 1e-3, targets[name])
        assert nearest_fit(stored, logits, targets) == name
