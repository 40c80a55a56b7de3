"""The shipped view classifier on real films, and what it does with what it knows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests import made_up

from lingula.openi.loading import unsquash
from lingula.reading.preprocess import to_input
from lingula.reading.study_reader import read_study
from lingula.reading.view_classifier import THUMBNAIL, ViewClassifier, _reduced, with_views
from lingula.study import Radiograph, Study


def _real_film(folder: Path, row: dict[str, str]) -> Radiograph:
    """A film of the collection in its own proportions (its pictures there are squares), its view forgotten."""
    image = read_study([folder / "images" / row["file"]]).radiographs[0]
    rows, columns = (int(float(row[name])) for name in ("rows", "cols"))
    return replace(image, view="unknown", pixels=unsquash(image.pixels, rows, columns))


def test_real_films(shared_data: Path) -> None:
    """Ten frontal and ten lateral films of the collection: at least 19 right, none named wrongly, none suspect; of
    their negatives at least 19 are."""
    with (shared_data / "openi" / "images.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["rows"] and row["file"]]
    classifier, right, noticed = ViewClassifier.shipped(), 0, 0
    for view in ("frontal", "lateral"):
        for row in [row for row in rows if row["projection_kaggle"].lower() == view][7::300][:10]:
            film = _real_film(shared_data / "openi", row)
            named = classifier.annotate(film)
            assert named.view in (view, "unknown")
            assert not {"polarity_suspect", "out_of_distribution"} & {notice.code for notice in named.notices}
            negative = classifier.annotate(replace(film, pixels=1 - film.pixels))
            noticed += "polarity_suspect" in {notice.code for notice in negative.notices}
            assert negative.view in (view, "unknown")
            right += (classifier.probabilities(to_input(film, THUMBNAIL).ravel())[0] > 0.5) == (view == "lateral")
    assert right >= 19
    assert noticed >= 19


def test_false_photometric_interpretation_is_noticed(shared_data: Path) -> None:
    study = with_views(read_study([shared_data / "dicom_chest" / "Fake_MONOHR1.dcm"]))
    assert "polarity_suspect" in {notice.code for notice in study.all_notices}
    assert study.radiographs[0].view == "frontal"


def test_a_large_film_is_told_as_a_small_one() -> None:
    """Eight pixels in place of each, with and without a wide border: nearly the same thumbnail, the same notices."""
    y, x = np.mgrid[0:300, 0:240] / 240.0
    small = (0.4 + 0.3 * np.sin(5 * x) * np.cos(4 * y) + 0.05 * np.random.default_rng(0).random(x.shape)).astype("f4")
    large = np.kron(small, np.ones((8, 8), np.float32))
    classifier = ViewClassifier.shipped()
    told = [classifier.annotate(Radiograph("x", film)) for film in (small, large, np.pad(large, ((0, 0), (400, 300))))]
    for each in told[1:]:
        assert (each.view, each.notices) == (told[0].view, told[0].notices)
    thumbnails = [to_input(_reduced(Radiograph("x", film)), THUMBNAIL) for film in (small, large)]
    assert np.abs(thumbnails[0] - thumbnails[1]).mean() < 0.01


def test_a_named_view_stays_and_doubt_is_told() -> None:
    size = np.ones(1024, np.float32) / 1024
    nothing = np.zeros((1, 1024), np.float32)
    sure = ViewClassifier(30 * size, 0.0, 0 * size, -9.0, mean=nothing[0], axes=nothing, limit=2.0)
    bright = Radiograph("x", np.tile(np.array([0.0, 1.0, 1.0, 1.0], np.float32), (64, 16)))
    assert sure.annotate(bright).view == "lateral"
    assert sure.annotate(replace(bright, pixels=1 - bright.pixels)).view == "frontal"
    kept = sure.annotate(bright.with_view("frontal"))
    assert (kept.view, kept.notices) == ("frontal", ())
    doubtful = replace(sure, lateral=0 * size).annotate(bright)
    assert (doubtful.view, [notice.code for notice in doubtful.notices]) == ("unknown", ["view_uncertain"])
    suspect = replace(sure, inverted_bias=9.0).annotate(bright)
    assert [notice.code for notice in suspect.notices] == ["polarity_suspect"]
    extreme = replace(sure, lateral_bias=-1e4, inverted_bias=1e4).probabilities(to_input(bright, THUMBNAIL).ravel())
    np.testing.assert_allclose(extreme, (0, 1), atol=1e-12)


def test_a_picture_of_something_else_is_called_strange() -> None:
    """By hand: a thumbnail that lies on an axis is explained by it, the rest is not; and a chessboard is no chest."""
    axis = np.zeros((1, 1024), np.float32)
    axis[0, 3] = 1
    classifier = replace(ViewClassifier.shipped(), mean=np.full(1024, 0.25, np.float32), axes=axis, limit=0.1)
    off = np.full((2, 1024), 0.25, np.float32)
    off[0, 3] += 5  # along the axis
    off[1, 3:5] += 8  # and as much across it: sqrt(64 / 1024)
    np.testing.assert_allclose(classifier.strangeness(off), [0, 0.25], atol=1e-6)
    board = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((30, 30))).astype(np.float32)
    assert "out_of_distribution" in {n.code for n in ViewClassifier.shipped().annotate(Radiograph("x", board)).notices}


def test_naming_views_keeps_the_rest() -> None:
    study = made_up.study(0)
    again = with_views(study)
    assert [image.image_id for image in again.radiographs] == [image.image_id for image in study.radiographs]
    assert again.report is study.report
    assert with_views(Study("empty")).radiographs == ()
