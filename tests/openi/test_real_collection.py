"""The real collection: its counts, and its files through the real sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lingula.openi import Collection, Refused, load_many, scan
from lingula.reading.sandbox import Sandbox


@pytest.fixture(scope="module")
def collection(shared_data: Path) -> Collection:
    return scan(shared_data / "openi")


def test_counts(collection: Collection) -> None:
    assert len(collection.studies) == 3955
    assert len(collection.images) == 7426
    assert len(collection.missing) == 44
    assert not collection.refused
    assert not collection.unreferenced
    views = [image.view for image in collection.images]
    assert (views.count("frontal"), views.count("lateral"), views.count("unknown")) == (3794, 3632, 0)
    assert sum(image.rows is None for image in collection.images) == 1
    assert sum(study.report.report.section("findings") == "" for study in collection) == 530


def test_every_file_is_accounted_for(collection: Collection) -> None:
    on_disk = {Path(folder, name) for folder, _, names in os.walk(collection.root) for name in names}
    listed = [image.path for image in collection.images]
    listed += [*collection.duplicates, *collection.tables, *collection.others]
    assert len(listed) == len(set(listed))
    assert on_disk - set(listed) == {collection.root / "NLMCXR_reports.tgz"}  # read member by member


def test_real_studies_come_in_their_true_geometry(collection: Collection) -> None:
    """Study 1 has an odd identifier; its frontal film is wide, its lateral tall, both stored as squares."""
    refused: list[Refused] = []
    with Sandbox(workers=1) as sandbox:
        first, second = load_many(collection.studies[:2], sandbox, on_refused=refused.append)
    assert not refused
    assert [(r.image_id, r.view, r.pixels.shape) for r in first.radiographs] == [
        ("CXR1_1_IM-0001-3001", "lateral", (256, 210)),
        ("CXR1_1_IM-0001-4001", "frontal", (210, 256)),
    ]
    assert all(radiograph.digest for radiograph in first.radiographs + second.radiographs)
    assert all(radiograph.birth_date and radiograph.study_date for radiograph in first.radiographs)
    assert second.study_id == "CXR2"
    assert 0.1 < float(first.radiographs[0].pixels.mean()) < 0.9
