"""What the header may not say, one cause each; and the envelope around it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lingula.errors import InputError
from lingula.reading.dicom.reader import read_dicom, read_dicom_file
from lingula.reading.limits import Limits

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
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
        ({"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "unsupported_modality"),
        ({"Modality": "MG"}, "unsupported_modality"),
        ({"Modality": "OT", "SOPClassUID": CAPTURE, "BodyPartExamined": ""}, "unsupported_modality"),
        ({"BodyPartExamined": "KNEE"}, "wrong_body_part"),
        ({"BodyPartExamined": "TSPINE"}, "wrong_body_part"),
        ({"BodyPartExamined": "", "StudyDescription": "Dental"}, "wrong_body_part"),
        ({"BodyPartExamined": "THORAX", "PatientSpeciesDescription": "Canis lupus"}, "wrong_body_part"),
        ({"BodyPartExamined": "BWS"}, "wrong_body_part"),
        ({"BodyPartExamined": "BRUSTWIRBEL"}, "wrong_body_part"),
        ({"BodyPartExamined": "ABDOMEN", "StudyDescription": "Chest and abdomen"}, "wrong_body_part"),
        ({"BodyPartExamined": "SKULL", "SeriesDescription": "Skull, chest on request"}, "wrong_body_part"),
        ({"BodyPartExamined": "?????"}, "wrong_body_part"),
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
    [("Rows", "bad_header"), ("PixelData", "not_an_image"), ("PixelRepresentation", "bad_header")],
)
def test_missing(write_dicom, keyword: str, code: str) -> None:
    path = write_dicom(SMALL)
    dataset = dcmread(path)
    delattr(dataset, keyword)
    dataset.save_as(path)
    assert refusal(path) == code


def test_study_uid_travels_beside_the_radiograph(write_dicom) -> None:
    assert read_dicom_file(write_dicom(SMALL)).study_uid == "1.2.3"


def codes(path: Path) -> list[str]:
    return [notice.code for notice in read_dicom(path).notices]


CHESTS = (  # noqa: SIM905
    "CHEST THORAX TORAX TÓRAX T?RAX THX CHST PECHO POITRINE BRUST BRUSTKORB LUNGE POUMON Cœur-poumon TORACE PEITO "
    "TORACICA KLATKA_PIERSIOWA BORSTKAS BRYST GÖĞÜS MELLKAS HRUDNÍK ГРУДНАЯ_КЛЕТКА 胸部 흉부 צילום_חזה الصدر CXR C-XR "
    "PORT_CHEST 2-_TORAX CHESTABDOMEN LUNGS RIBS"
).split()


@pytest.mark.parametrize("part", CHESTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_chest_in_other_words(write_dicom, part: str) -> None:
    """As BodyPartExamined, whatever became of its letters, and as the description of a digitised film."""
    path = write_dicom(SMALL, BodyPartExamined="")
    data = path.read_bytes()
    value = part.encode()
    value += b" " * (len(value) % 2)
    at = data.index(b"\x18\0\x15\0CS") + 6
    path.write_bytes(data[:at] + struct.pack("<H", len(value)) + value + data[at + 2 :])
    assert codes(path) == []
    captured = {"Modality": "OT", "SOPClassUID": CAPTURE, "BodyPartExamined": "", "SpecificCharacterSet": "ISO_IR 192"}
    described = write_dicom(SMALL, SeriesDescription=part, **captured)
    assert codes(described) == ["modality_assumed", "body_part_absent"]


@pytest.mark.parametrize("part", ["UP_EXM", "SKULL", "EXTREMITY", "TSPINE"])
def test_the_description_of_the_series_outranks_the_part(write_dicom, part: str) -> None:
    assert codes(write_dicom(SMALL, BodyPartExamined=part, SeriesDescription="Thorax pa")) == ["body_part_conflict"]


@pytest.mark.parametrize("modality", ["", "RG", "DR", "XR", "DX\\CR", "XRAY"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_modality_by_another_name(write_dicom, modality: str) -> None:
    expected = [] if modality == "RG" else ["modality_assumed"]
    assert codes(write_dicom(SMALL, Modality=modality, SOPClassUID="1.2.840.10008.5.1.4.1.1.1")) == expected


def test_modality_by_the_meta_header(write_dicom) -> None:
    path = write_dicom(SMALL, BodyPartExamined="")
    dataset = dcmread(path)
    del dataset.Modality, dataset.SOPClassUID
    dataset.save_as(path)
    assert codes(path) == ["modality_assumed", "body_part_absent"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_uids_that_are_none_are_replaced(write_dicom) -> None:
    """One study stays one study, no word of what stood there is kept, and the same file has the same name again."""
    odd = {"SOPInstanceUID": "Doe-17", "StudyInstanceUID": "1.2." + "3" * 64}
    paths = [write_dicom(SMALL + n, **odd) for n in (0, 1)]
    one, two = (read_dicom_file(path) for path in paths)
    assert one.study_uid == two.study_uid != ""
    assert one.radiograph.image_id != two.radiograph.image_id
    assert one.radiograph.image_id == read_dicom(paths[0]).image_id
    assert "Doe" not in repr(one)
    assert codes(paths[0]) == ["invalid_uid"] * 2
    bare = read_dicom_file(write_dicom(SMALL, StudyInstanceUID=""))
    assert (bare.study_uid, bare.radiograph.image_id) == ("", "1.2.3.4")
    assert [notice.code for notice in bare.radiograph.notices] == ["missing_uid"]
    assert read_dicom(write_dicom(SMALL, drop=("SOPInstanceUID",))).image_id == "1.2.3.4"  # of the meta header


def test_pixels_under_an_unknown_value_representation_are_refused(write_dicom) -> None:
    path = write_dicom(SMALL)
    path.write_bytes(path.read_bytes().replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0NW"))
    assert refusal(path) == "bad_header"


def test_pixels_shorter_than_they_claim(write_dicom) -> None:
    """All that the header needs is there, only the length says more; or less is there."""
    path = write_dicom(SMALL)
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\0OW\0\0") + 8
    path.write_bytes(data[:at] + struct.pack("<I", SMALL.nbytes + 8) + data[at + 4 :])
    assert codes(path) == ["encoding_repaired"]
    path.write_bytes(data[:-2])
    assert refusal(path) == "truncated"


def test_deflated_with_a_zlib_header(write_dicom) -> None:
    path = write_dicom(SMALL, transfer_syntax="1.2.840.10008.1.2.1.99")
    data = path.read_bytes()
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    inflated = zlib.decompressobj(-15).decompress(data[start:])
    for level in (1, 6, 9):
        path.write_bytes(data[:start] + zlib.compress(inflated, level))
        assert codes(path) == ["encoding_repaired"]
    path.write_bytes(data[:start] + zlib.compress(inflated)[:-30])
    assert refusal(path) == "truncated"


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
