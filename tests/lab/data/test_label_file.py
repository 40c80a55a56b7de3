"""Published labels: sealed with the split, complete, without a word of a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.openi.splits import SPLITS, Split
from lingula_lab.data.label_file import LabelFile, label_path
from lingula_lab.data.make_split import SplitStudy, sealed

VOCABULARY = Vocabulary.load("openi22")
STUDIES = [
    SplitStudy("S2", "", "", ("normal",)),
    SplitStudy("S10", "", "", ("cardiomegaly", "hernia")),
    SplitStudy("S3", "", "", ()),
    SplitStudy("S4", "", "", ("unknown",)),
    SplitStudy("elsewhere", "", "", ("normal",)),
]
SPLIT = sealed(Split("by-hand", 0, ("S2", "S4"), ("S3",), ("S10",)), STUDIES, VOCABULARY)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    SPLIT.save(tmp_path / "by-hand.json")
    LabelFile.of(SPLIT, STUDIES, VOCABULARY).save(label_path(tmp_path / "by-hand.json"), SPLIT)
    return tmp_path / "by-hand.json"


def test_what_is_written_is_read_and_fits_the_seal(saved: Path) -> None:
    found = LabelFile.load(saved).checked(Split.load(saved))
    assert list(found.codes) == ["S10", "S2", "S3", "S4"]
    targets = found.targets(["S10", "S3", "S4"], VOCABULARY)
    assert [code for code, yes in zip(VOCABULARY.codes, targets[0], strict=True) if yes] == ["cardiomegaly", "hernia"]
    assert not targets[1].any()
    assert np.isnan(targets[2]).all()


def test_an_edited_label_breaks_the_seal(saved: Path) -> None:
    path = label_path(saved)
    path.write_text(path.read_text().replace('["normal"]', '["scar"]'))
    with pytest.raises(InputError, match="not those it was sealed with"):
        LabelFile.load(saved).checked(Split.load(saved))


def test_a_file_that_is_none_is_refused(saved: Path) -> None:
    label_path(saved).write_text('{"labels": 3}')
    with pytest.raises(InputError, match="not a label file"):
        LabelFile.load(saved)
    label_path(saved).unlink()
    with pytest.raises(InputError, match="No labels lie beside"):
        LabelFile.load(saved)


def test_the_shipped_labels_are_those_of_the_shipped_split() -> None:
    split = Split.load("openi-v1")
    labels = LabelFile.load("openi-v1").checked(split)
    assert set(labels.codes) == {study_id for part in SPLITS for study_id in split.ids(part)}
    assert {code for codes in labels.codes.values() for code in codes} <= {*VOCABULARY.codes, "unknown"}
    body = json.loads(label_path("openi-v1").read_text())
    assert "MeSH coding of the report decides" in body["about"]
    assert body["sha256"] == labels.seal.sha256
