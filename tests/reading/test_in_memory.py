"""A film is the same film as a file, as bytes, open, as an array, a tensor, a picture or a dataset."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from lingula.errors import InputError
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula_phantom import generate

GREY = (np.add.outer(np.arange(96), np.arange(80)) % 256).astype(np.uint8)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = generate(tmp_path_factory.mktemp("in memory"), studies=1, long_side=256)
    return min((folder / "NLMCXR_dcm").rglob("*.dcm"))


def test_a_dicom_file_its_bytes_and_its_dataset_are_one_film(film: Path) -> None:
    told = read_study(film)
    with film.open("rb") as opened, Sandbox() as sandbox:
        others = [
            read_study(film.read_bytes()),
            read_study([opened]),
            read_study(pydicom.dcmread(film)),
            read_study(bytearray(film.read_bytes()), sandbox=sandbox),
        ]
    for other in others:
        assert other.study_id == told.study_id
        assert other.radiographs[0].image_id == told.radiographs[0].image_id
        assert np.array_equal(other.radiographs[0].pixels, told.radiographs[0].pixels)
    unnamed = pydicom.Dataset()
    unnamed.update(pydicom.dcmread(film))  # as a dataset built by hand, without a transfer syntax
    assert np.array_equal(read_study(unnamed).radiographs[0].pixels, told.radiographs[0].pixels)


def test_a_picture_and_its_array_have_the_same_pixels() -> None:
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "PNG")
    known = read_study(stream.getvalue()).radiographs[0].pixels
    assert known[0, 10] == np.float32(10 / 255)
    given = [
        Image.fromarray(GREY),
        GREY,
        GREY[None],
        GREY[..., None],
        np.repeat(GREY[..., None], 3, 2),
        GREY.astype(np.uint16) * 257,
        GREY.astype(np.float64) / 255,
    ]
    for each in given:
        film = read_study(each).radiographs[0]
        assert film.pixels.dtype == np.float32
        np.testing.assert_allclose(film.pixels, known, atol=2e-3)
    assert read_study(GREY).study_id == read_study(GREY.copy()).study_id
    assert len(read_study([GREY, 255 - GREY], same_study=True).radiographs) == 2


def test_a_tensor_needs_no_import_of_torch_here() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(GREY.astype(np.float32) / 255)[None].requires_grad_()
    np.testing.assert_allclose(read_study(tensor).radiographs[0].pixels, GREY.astype(np.float32) / 255)


@pytest.mark.parametrize(
    "given",
    [
        GREY.astype(np.int32),
        GREY.astype(np.float32),
        GREY.astype(np.float32) / 255 * np.nan,
        GREY > 7,
        GREY[0],
        np.zeros((2, 96, 80), np.uint8),
        object(),
    ],
    ids=["int32", "beyond 1", "nan", "bool", "one row", "two films", "object"],
)
def test_what_does_not_say_its_range_or_shape_is_refused_with_what_to_do(given: object) -> None:
    with pytest.raises(InputError) as refused:
        read_study(given)  # type: ignore[arg-type]
    assert refused.value.code == "bad_request"
    assert refused.value.hint


def test_views_are_the_owners_where_they_are_given() -> None:
    assert read_study(GREY, view="lateral").radiographs[0].view == "lateral"
    both = read_study([GREY, 255 - GREY], view=["lateral", "frontal"], same_study=True)
    assert [film.view for film in both.radiographs] == ["lateral", "frontal"]
    with pytest.raises(InputError, match="views"):
        read_study([GREY, 255 - GREY], view="frontal", same_study=True)


def test_a_report_is_told_from_a_film_by_its_content_in_memory_too() -> None:
    study = read_study([GREY, b"FINDINGS: Small left pleural effusion."])
    assert study.report
    assert study.report.section("findings") == "Small left pleural effusion."
    assert len(study.radiographs) == 1
