"""The shipped view classifier on real films, and what it does with what it knows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from lingula.models.view import ViewClassifier, with_views
from lingula.read import read_study
from lingula.study import Radiograph, Study
from tests import made_up


def test_real_films(shared_data: Path) -> None:
    """Ten frontal and ten lateral films, spread over the collection: at least 19 named right, none of them inverted.

    Turned to their negative, at least 19 are suspect.
    """
    with (shared_data / "openi" / "indiana_projections.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    chosen = [row for name in ("Frontal", "Lateral") for row in [r for r in rows if r["projection"] == name][5::330][:10]]
    classifier, right, upright, turned = ViewClassifier.shipped(), 0, 0, 0
    for row in chosen:
        path = shared_data / "openi" / "images" / row["filename"].replace(".dcm.png", ".jpg")
        image = replace(read_study([path]).radiographs[0], view="unknown")
        named = classifier.annotate(image)
        right += named.view == row["projection"].lower()
        upright += "polarity_suspect" not in {notice.code for notice in named.notices}
        negative = classifier.annotate(replace(image, pixels=1 - image.pixels))
        turned += "polarity_suspect" in {notice.code for notice in negative.notices}
    assert len(chosen) == 20
    assert right >= 19
    assert upright >= 19
    assert turned >= 19


def test_false_photometric_interpretation_is_noticed(shared_data: Path) -> None:
    study = with_views(read_study([shared_data / "dicom_chest" / "Fake_MONOHR1.dcm"]))
    assert "polarity_suspect" in {notice.code for notice in study.all_notices}


def test_a_named_view_stays_and_doubt_is_told() -> None:
    size = np.ones(1024, np.float32) / 1024
    sure = ViewClassifier(lateral=30 * size, lateral_bias=0.0, inverted=0 * size, inverted_bias=-9.0)
    bright = Radiograph("x", np.tile(np.array([0.0, 1.0, 1.0, 1.0], np.float32), (64, 16)))
    assert sure.annotate(bright).view == "lateral"
    assert sure.annotate(replace(bright, pixels=1 - bright.pixels)).view == "frontal"
    kept = sure.annotate(bright.with_view("frontal"))
    assert (kept.view, kept.notices) == ("frontal", ())
    doubtful = replace(sure, lateral=0 * size).annotate(bright)
    assert (doubtful.view, [notice.code for notice in doubtful.notices]) == ("unknown", ["view_uncertain"])
    suspect = replace(sure, inverted_bias=9.0).annotate(bright)
    assert [notice.code for notice in suspect.notices] == ["polarity_suspect"]
    extreme = replace(sure, lateral_bias=-1e4, inverted_bias=1e4).probabilities(bright)
    np.testing.assert_allclose(extreme, (0, 1), atol=1e-12)


def test_naming_views_keeps_the_rest() -> None:
    study = made_up.study(0)
    again = with_views(study)
    assert [image.image_id for image in again.radiographs] == [image.image_id for image in study.radiographs]
    assert again.report is study.report
    assert with_views(Study("empty")).radiographs == ()
