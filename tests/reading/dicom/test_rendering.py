"""Header elements to LUTs, windows and notices, through whole files."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from lingula.reading.dicom.attributes import allowed
from lingula.reading.dicom.reader import read_dicom

FULL = {"WindowCenter": 2048, "WindowWidth": 4096}


def codes(radiograph) -> list[str]:
    return [notice.code for notice in radiograph.notices]


def lut_item(descriptor: list[int], data: bytes) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", data)
    return item


@pytest.mark.parametrize("transfer_syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian])
def test_lut_sequences(write_dicom, ramp: np.ndarray, transfer_syntax: str) -> None:
    halved = np.repeat(np.arange(2048, dtype="<u2"), 2).tobytes()
    path = write_dicom(
        ramp,
        transfer_syntax=transfer_syntax,
        ModalityLUTSequence=Sequence([lut_item([4096, 0, 16], halved)]),
        VOILUTSequence=Sequence([lut_item([2048, 0, 12], (np.arange(2048, dtype="<u2") * 2).tobytes())]),
        **FULL,
    )
    radiograph = read_dicom(path)
    assert codes(radiograph) == []
    np.testing.assert_allclose(radiograph.pixels, ramp // 2 * 2 / 4095, atol=1e-6)


def test_lut_of_65536_entries_and_8_bit_data(write_dicom, ramp: np.ndarray) -> None:
    values = (np.arange(65536) >> 4).clip(0, 255).astype(np.uint8).tobytes()
    radiograph = read_dicom(write_dicom(ramp, VOILUTSequence=Sequence([lut_item([0, 0, 8], values)])))
    np.testing.assert_allclose(radiograph.pixels, (ramp >> 4) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"WindowCenter": 2048, "WindowWidth": 0}, ["bad_window"]),
        ({"WindowCenter": 2048, "WindowWidth": -4}, ["bad_window"]),
        ({"WindowCenter": 2048}, ["bad_window"]),
        ({"WindowCenter": "2048", "WindowWidth": "1e300"}, ["bad_window"]),
        ({**FULL, "VOILUTFunction": "GUESS"}, ["bad_window"]),
        ({"VOILUTSequence": Sequence([lut_item([9, 0, 12], b"\0\0")])}, ["bad_window"]),
        ({**FULL, "RescaleSlope": 0, "RescaleIntercept": 5}, ["bad_rescale"]),
        ({**FULL, "ModalityLUTSequence": Sequence([lut_item([9, 0, 12], b"\0\0")])}, ["bad_rescale"]),
        ({**FULL, "ModalityLUTSequence": Sequence([])}, []),
        ({**FULL, "BurnedInAnnotation": "YES"}, ["burned_in_annotation"]),
        ({**FULL, "SpecificCharacterSet": "ISO_IR 9999"}, ["bad_charset"]),
        ({**FULL, "BodyPartExamined": ""}, ["body_part_absent"]),
        ({"WindowCenter": [2048, 1], "WindowWidth": [4096, 1]}, []),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, while writing the damaged value
def test_notices(write_dicom, ramp: np.ndarray, elements: dict, expected: list[str]) -> None:
    radiograph = read_dicom(write_dicom(ramp, **elements))
    assert codes(radiograph) == expected
    assert radiograph.pixels.std() > 0.2


def chestlike(bits: int) -> np.ndarray:
    """(96, 80): bright middle and edges, dark lungs, over all of so many bits."""
    y, x = np.mgrid[-1:1:96j, -1:1:80j]
    lungs = np.exp(-((np.abs(x) - 0.5) ** 2 / 0.05 + y**2 / 0.4))
    return ((1 - 0.9 * lungs) * ((1 << bits) - 1)).astype(np.uint16)


@pytest.mark.parametrize(
    ("bits", "elements"),
    [
        (12, {"WindowCenter": 32768, "WindowWidth": 65536}),
        (16, {"WindowCenter": 2048, "WindowWidth": 4096}),
        (12, {"WindowCenter": -5000, "WindowWidth": 4096}),
        (14, {"WindowCenter": 128, "WindowWidth": 256}),
        (16, {"VOILUTSequence": Sequence([lut_item([4096, 0, 12], np.arange(4096, dtype="<u2").tobytes())])}),
        (12, {"VOILUTSequence": Sequence([lut_item([0, 0, 16], np.arange(65536, dtype="<u2").tobytes())])}),
    ],
)
def test_a_range_that_is_not_the_pixels(write_dicom, bits: int, elements: dict) -> None:
    stored = chestlike(bits)
    radiograph = read_dicom(write_dicom(stored, **elements))
    assert codes(radiograph) == ["bad_window"]
    assert 0.2 < radiograph.pixels.mean() < 0.9
    assert radiograph.pixels.std() > 0.15


def test_entries_of_a_lut_that_declares_more_bits(write_dicom) -> None:
    stored = chestlike(12)
    item = lut_item([4096, 0, 16], np.arange(4096, dtype="<u2").tobytes())
    radiograph = read_dicom(write_dicom(stored, VOILUTSequence=Sequence([item])))
    np.testing.assert_allclose(radiograph.pixels, stored / 4095, atol=1e-6)


def test_a_dark_film_in_a_fitting_window_stays_dark(write_dicom) -> None:
    """Two thirds of collimator and air, which the window rightly shows black."""
    stored = np.zeros((96, 80), np.uint16)
    stored[32:64, 10:70] = chestlike(12)[32:64, 10:70]
    radiograph = read_dicom(write_dicom(stored, **FULL))
    assert codes(radiograph) == []
    np.testing.assert_allclose(radiograph.pixels, stored / 4095, atol=1e-6)


def test_negative_slope_is_honoured(write_dicom, ramp: np.ndarray) -> None:
    radiograph = read_dicom(write_dicom(ramp, RescaleSlope=-1, RescaleIntercept=4095, **FULL))
    np.testing.assert_allclose(radiograph.pixels, 1 - ramp / 4095, atol=1e-6)


def test_padding_written_with_the_other_sign(write_dicom, ramp: np.ndarray) -> None:
    stored = ramp.astype(np.int16)
    stored[:8] = -2000
    path = write_dicom(stored, PixelPaddingValue=-2000, **FULL)
    pixels = read_dicom(path).pixels
    assert not pixels[:8].any()
    np.testing.assert_allclose(pixels[8:], ramp[8:] / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "shape"),
    [
        ({"PixelAspectRatio": [1, 2]}, (40, 96)),  # vertical\horizontal: pixels twice as wide as high
        ({"PixelSpacing": [0.4, 0.2]}, (80, 48)),
        ({"ImagerPixelSpacing": [0.4, 0.2]}, (80, 48)),
        ({"PixelSpacing": [0.0, 0.0]}, (40, 48)),
        ({"PixelSpacing": [0.2, 0.2002]}, (40, 48)),
    ],
)
def test_pixels_become_square(write_dicom, ramp: np.ndarray, elements: dict, shape: tuple[int, int]) -> None:
    assert read_dicom(write_dicom(ramp, **elements)).pixels.shape == shape


def test_only_allow_listed_facts_are_shown_and_made_safe(write_dicom, ramp: np.ndarray) -> None:
    path = write_dicom(ramp, PatientName="Doe^Jane", PatientID="4711", Manufacturer="a\x1b[31m<b>" + "x" * 50)
    radiograph = read_dicom(path)
    facts = dict(radiograph.attributes)
    assert "Manufacturer" not in facts  # no maker that is known
    assert facts["TransferSyntaxUID"] == "Explicit VR Little Endian"
    assert not {"Doe^Jane", "4711", "19500615"} & set(facts.values())
    assert (radiograph.birth_date, radiograph.study_date, radiograph.image_id) == ("19500615", "20200131", "1.2.3.4")
    assert "Jane" not in repr(radiograph)
    assert radiograph.view == "unknown"


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("Manufacturer", "FUJI PHOTO FILM Co., ltd.", "Fuji"),
        ("Manufacturer", "St. Elsewhere Hospital", ""),
        ("BodyPartExamined", "PORT CHEST", "PORT CHEST"),
        ("BodyPartExamined", "CHEST^DOE JANE", ""),
        ("ViewPosition", "PA", "PA"),
        ("ViewPosition", "JANE", ""),
        ("Modality", "CR", "CR"),
        ("Modality", "DOE", ""),
        ("PhotometricInterpretation", "MONOCHROME2", "MONOCHROME2"),
        ("Rows", "2048", "2048"),
        ("BitsStored", "12 DOE", ""),
        ("ImagerPixelSpacing", "0.143\\0.143", "0.143\\0.143"),
        ("PixelSpacing", "4711", ""),
    ],
)
def test_an_attribute_is_kept_where_it_says_what_it_can(keyword: str, value: str, kept: str) -> None:
    assert allowed(keyword, value) == kept
