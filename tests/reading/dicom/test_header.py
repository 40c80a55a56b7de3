"""What the header may not say, one cause each; and the envelope around it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lingula.errors import InputError
from lingula.reading.dicom import read_dicom, read_dicom_file
from lingula.reading.limits import Limits

SMALL = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)


def refusal(path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as refused:
        read_dicom(path, limits)
    assert "Doe" not in str(refused.value)
    return refused.value.code


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Modality": "CT"}, "unsupported_modality"),
        ({"Modality": ""}, "unsupported_modality"),
        ({"BodyPartExamined": "KNEE"}, "wrong_body_part"),
        ({"BodyPartExamined": "TSPINE"}, "wrong_body_part"),
        ({"BodyPartExamined": "", "StudyDescription": "Dental"}, "wrong_body_part"),
        ({"BodyPartExamined": "THORAX", "PatientSpeciesDescription": "Canis lupus"}, "wrong_body_part"),
        ({"SOPInstanceUID": ""}, "missing_uid"),
        ({"StudyInstanceUID": "1.2.x"}, "invalid_uid"),
        ({"SOPInstanceUID": "1." + "2" * 63}, "invalid_uid"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_photometric"),
        ({"PhotometricInterpretation": "RGB"}, "bad_header"),
        ({"SamplesPerPixel": 2}, "bad_header"),
        ({"BitsStored": 17}, "bad_header"),
        ({"BitsStored": 12, "HighBit": 3}, "bad_header"),
        ({"BitsAllocated": 12}, "bad_header"),
        ({"NumberOfFrames": 3}, "pixel_mismatch"),
        ({"NumberOfFrames": 2, "PixelData": SMALL.tobytes() * 2}, "multiframe"),
        ({"Rows": 31, "PixelData": SMALL[:31].tobytes()}, "image_too_small"),
        ({"Rows": 33}, "pixel_mismatch"),
        ({"Rows": 31}, "pixel_mismatch"),
        ({"Rows": 65535, "Columns": 65535}, "pixel_mismatch"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, while writing the damaged value
def test_refused(write_dicom, elements: dict, code: str) -> None:
    assert refusal(write_dicom(SMALL, PatientName="Doe", **elements)) == code


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"BodyPartExamined": "PORTABLE CHEST"},
        {"BodyPartExamined": "", "StudyDescription": "Chest and abdomen"},
        {"BodyPartExamined": "THORAX"},
        {"StudyInstanceUID": "1.2.03"},
        {"PixelData": SMALL.tobytes() + b"\0\0"},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accepted(write_dicom, elements: dict) -> None:
    assert read_dicom(write_dicom(SMALL, **elements)).pixels.shape == (32, 32)


@pytest.mark.parametrize(
    ("keyword", "code"),
    [("Rows", "bad_header"), ("PixelData", "not_an_image"), ("SOPInstanceUID", "missing_uid"),
     ("Modality", "unsupported_modality"), ("PixelRepresentation", "bad_header")],
)  # fmt: skip
def test_missing(write_dicom, keyword: str, code: str) -> None:
    path = write_dicom(SMALL)
    from pydicom import dcmread

    dataset = dcmread(path)
    delattr(dataset, keyword)
    dataset.save_as(path)
    assert refusal(path) == code


def test_study_uid_travels_beside_the_radiograph(write_dicom) -> None:
    assert read_dicom_file(write_dicom(SMALL)).study_uid == "1.2.3"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.5, 0.999])
def test_no_prefix_of_a_file_is_accepted(write_dicom, tmp_path: Path, share: float) -> None:
    data = write_dicom(SMALL).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * share)])
    assert refusal(path) in ("truncated", "not_dicom")


def test_what_follows_the_pixels_does_not_matter(write_dicom) -> None:
    path = write_dicom(SMALL)
    path.write_bytes(path.read_bytes() + b"rubbish")
    assert read_dicom(path).notices == ()


def test_bare_data_set_and_polyglot_are_named(write_dicom, tmp_path: Path) -> None:
    data = write_dicom(SMALL).read_bytes()
    bare, polyglot = tmp_path / "bare", tmp_path / "polyglot"
    bare.write_bytes(data[132:])
    polyglot.write_bytes(b"MZ" + data[2:])
    assert [notice.code for notice in read_dicom(bare).notices] == ["no_part10_header"]
    assert [notice.code for notice in read_dicom(polyglot).notices] == ["polyglot_preamble"]


@pytest.mark.parametrize("known_length", [False, True])
def test_nesting(write_dicom, known_length: bool) -> None:
    def nested(depth: int) -> Dataset:
        dataset = Dataset()
        dataset.CodeMeaning = "x"
        for _ in range(depth):
            outer = Dataset()
            outer.RequestAttributesSequence = Sequence([dataset])
            outer["RequestAttributesSequence"].is_undefined_length = not known_length
            dataset = outer
        return dataset

    elements = {"RequestAttributesSequence": nested(60).RequestAttributesSequence}
    assert read_dicom(write_dicom(SMALL, **elements)).pixels.any()
    assert refusal(write_dicom(SMALL, **elements), Limits(sequence_depth=20)) == "nesting_too_deep"


def test_deflated_bomb_and_cut(write_dicom, tmp_path: Path) -> None:
    data = write_dicom(SMALL, transfer_syntax="1.2.840.10008.1.2.1.99").read_bytes()
    head_length = 144 + struct.unpack_from("<I", data, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb, cut = tmp_path / "bomb", tmp_path / "cut"
    bomb.write_bytes(data[:head_length] + deflater.compress(bytes(1 << 22)) + deflater.flush())
    assert refusal(bomb, Limits(inflated_bytes=1 << 20)) == "decompression_bomb"
    cut.write_bytes(data[:-20])
    assert refusal(cut) == "truncated"


def test_file_limits(write_dicom, tmp_path: Path) -> None:
    path = write_dicom(SMALL)
    assert refusal(path, Limits(file_bytes=100)) == "too_large"
    assert refusal(tmp_path / "none") == "not_found"
    assert refusal(tmp_path) == "not_found"
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty") == "empty_file"


def test_damaged_bytes_are_refused_or_read_but_never_crash(write_dicom, tmp_path: Path) -> None:
    data = write_dicom(SMALL).read_bytes()
    rng = np.random.default_rng(11)
    path = tmp_path / "damaged"
    for _ in range(400):
        damaged = bytearray(data)
        for at in rng.integers(128, 800, rng.integers(1, 6)):
            damaged[at] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
        path.write_bytes(damaged)
        try:
            pixels = read_dicom(path).pixels
        except InputError:
            continue
        assert pixels.min() >= 0
        assert pixels.max() <= 1


@pytest.mark.parametrize(
    ("name", "code"),
    [("966.dcm", "decode_failed"), ("fodicom_CR-ModalitySequenceLUT_dental.dcm", "wrong_body_part"),
     ("highdicom_dx_image_veterinary.dcm", "wrong_body_part")],
)  # fmt: skip
def test_real_files_refused(shared_data: Path, name: str, code: str) -> None:
    assert refusal(shared_data / "dicom_chest" / name) == code


@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "RG1_JLSN.dcm", "gdcm-CR-MONO1-10-chest.dcm"])
def test_real_files_read(shared_data: Path, name: str) -> None:
    radiograph = read_dicom(shared_data / "dicom_chest" / name)
    assert radiograph.notices == ()
    lungs_and_middle = radiograph.pixels[radiograph.pixels.shape[0] // 3]
    assert lungs_and_middle.std() > 0.05
