"""Stored values to display values, held against values computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lingula.reading.dicom.pixels import Lut, Rendering, Window, display, square
from lingula.reading.dicom.reader import read_dicom

STORED = np.array([[0, 50, 100], [150, 200, 250]], dtype=np.uint16)


def shown(stored: np.ndarray, **how: object) -> np.ndarray:
    return display(stored, Rendering(**how))[0]


def test_rescale_then_linear_window() -> None:
    # values 2 x - 100: -100 0 100 200 300 400; c = 100.5, w = 201: (v - 100) / 200 + 0.5, clipped
    pixels = shown(STORED, slope=2.0, intercept=-100.0, window=Window(100.5, 201))
    np.testing.assert_allclose(pixels, [[0, 0, 0.5], [1, 1, 1]], atol=1e-7)
    pixels = shown(STORED, slope=2.0, intercept=-100.0, window=Window(150.5, 401))
    np.testing.assert_allclose(pixels, [[0, 0.125, 0.375], [0.625, 0.875, 1]], atol=1e-7)


def test_window_functions_differ_as_the_standard_says() -> None:
    # The example of PS3.3 C.11.2.1.2.1: c = 2048, w = 4096 maps 0 to 0 and 4095 to 1.
    values = np.array([0.0, 1024.0, 2048.0, 4095.0])
    np.testing.assert_allclose(Window(2048, 4096).apply(values), values / 4095, atol=1e-12)
    np.testing.assert_allclose(Window(2048, 4096, "LINEAR_EXACT").apply(values), values / 4096, atol=1e-12)
    sigmoid = Window(2048, 4096, "SIGMOID").apply(values)
    np.testing.assert_allclose(sigmoid[[1, 2]], [1 / (1 + np.e), 0.5], atol=1e-12)


def test_window_of_width_one_is_a_step() -> None:
    np.testing.assert_array_equal(Window(100, 1).apply(np.array([99.0, 99.5, 100.0])), [0, 0, 1])


def test_modality_lut_replaces_rescale_and_clamps() -> None:
    lut = Lut(first=50, entries=np.array([10.0, 20.0, 30.0]), bits=16)
    np.testing.assert_array_equal(lut.apply(np.array([0.0, 50.0, 51.0, 52.0, 99.0])), [10, 10, 20, 30, 30])
    entries = np.arange(256.0)[::-1]
    pixels = shown(STORED, modality=Lut(0, entries, 8), slope=9.0, window=Window(127.5, 255, "LINEAR_EXACT"))
    np.testing.assert_allclose(pixels, 1 - STORED / 255, atol=1e-6)


def test_voi_lut_is_scaled_by_its_bits_and_wins_over_the_window() -> None:
    voi = Lut(first=0, entries=np.arange(251.0) * 16, bits=12)
    pixels = shown(STORED, voi=voi, window=Window(1, 2))
    np.testing.assert_allclose(pixels, STORED * 16 / 4095, atol=1e-6)


def test_padding_is_black_in_both_polarities_and_not_counted() -> None:
    stored = np.full((40, 40), 1000, dtype=np.uint16)
    stored[:, 20:] = 2000
    stored[:10] = 60000
    for inverted in (False, True):
        pixels = shown(stored, padding=(60000, 60000), inverted=inverted)
        assert (pixels[:10] == 0).all()
        assert {float(pixels[20, 0]), float(pixels[20, 30])} == {0.0, 1.0}
        assert pixels[20, 30] == (0 if inverted else 1)


def test_missing_window_takes_percentiles_silently() -> None:
    stored = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    pixels, notices = display(stored, Rendering())
    assert notices == ()
    assert (pixels == 0).sum() == 51  # half a percent of the pixels, and the value they end at
    assert (pixels == 1).sum() == 51


def test_window_that_shows_nothing_is_replaced_and_named() -> None:
    stored = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    pixels, notices = display(stored, Rendering(window=Window(50_000, 100)))
    assert [notice.code for notice in notices] == ["bad_window"]
    np.testing.assert_array_equal(pixels, shown(stored))


def test_blank_picture_is_black_and_named() -> None:
    for inverted in (False, True):
        pixels, notices = display(np.full((32, 32), 7, np.uint16), Rendering(inverted=inverted))
        assert [notice.code for notice in notices] == ["blank_image"]
        assert not pixels.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_levels_of_every_container_match_the_plain_formula(dtype: type) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    stored = rng.integers(info.min, info.max, (40, 50), dtype=dtype, endpoint=True)
    stored.flat[:2] = info.min, info.max
    window = Window(float(info.min) / 2 + float(info.max) / 2 + 0.5, float(info.max) - float(info.min) + 1)
    plain = (stored.astype(float) - info.min) / (float(info.max) - info.min)
    np.testing.assert_allclose(shown(stored, window=window), plain, atol=1e-6)


def test_square_enlarges_the_coarser_axis() -> None:
    pixels = np.zeros((40, 60), dtype=np.float32)
    assert square(pixels, 2.0, most=10_000).shape == (80, 60)  # pixels twice as high as wide
    assert square(pixels, 0.5, most=10_000).shape == (40, 120)
    assert square(pixels, 2.0, most=3_000).shape == (40, 30)
    assert square(pixels, 1.005, most=10_000) is pixels
    assert square(pixels, 100.0, most=10_000) is pixels


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_monochrome1_twin_gives_the_same_picture(write_dicom, bits: int, signed: bool, windowed: bool) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    rng = np.random.default_rng(bits)
    stored = np.rint(rng.normal((low + high) / 2, (high - low) / 7, (48, 40))).clip(low, high).astype(dtype)
    twin = (low + high - stored.astype(np.int64)).astype(dtype)
    common = {"BitsStored": bits, "HighBit": bits - 1}
    center, width = (3 * low + 5 * high) / 8, (high - low) / 2
    one = {"WindowCenter": f"{center:.6f}", "WindowWidth": f"{width:.6f}"} if windowed else {}
    # LINEAR is symmetric about c - 0.5, so its mirror image is at low + high - c + 1.
    other = {**one, "WindowCenter": f"{low + high - center + 1:.6f}"} if windowed else {}
    bright = read_dicom(write_dicom(stored, **common, **one))
    mirrored = read_dicom(write_dicom(twin, PhotometricInterpretation="MONOCHROME1", **common, **other))
    inverse = read_dicom(write_dicom(twin, PresentationLUTShape="INVERSE", **common, **other))
    assert bright.notices == ()
    assert bright.pixels.std() > 0.1
    np.testing.assert_allclose(bright.pixels, mirrored.pixels, atol=1e-5)
    np.testing.assert_allclose(bright.pixels, inverse.pixels, atol=1e-5)


def test_inverse_shape_and_monochrome1_do_not_cancel_out(write_dicom, ramp: np.ndarray) -> None:
    once = read_dicom(write_dicom(ramp, PhotometricInterpretation="MONOCHROME1"))
    both = read_dicom(write_dicom(ramp, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    np.testing.assert_array_equal(once.pixels, both.pixels)


def test_false_polarity_tag_is_believed(shared_data: Path) -> None:
    real = read_dicom(next(shared_data.glob("dicom_chest/1.2.276*.dcm")))
    fake = read_dicom(shared_data / "dicom_chest" / "Fake_MONOHR1.dcm")
    np.testing.assert_allclose(real.pixels, 1 - fake.pixels, atol=1e-6)
