"""Every transfer syntax gives the stored values of its uncompressed twin; half an image gives an error."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import JPEGLSLosslessEncoder, RLELosslessEncoder
from tests.reading.dicom.conftest import with_syntax

from lingula.errors import InputError
from lingula.reading.dicom.codestream import read_jpeg, read_jpeg2000, read_jpegxl
from lingula.reading.dicom.reader import read_dicom

FULL = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
ENCODERS = {"1.2.840.10008.1.2.5": RLELosslessEncoder, "1.2.840.10008.1.2.4.80": JPEGLSLosslessEncoder}


def lossless(uid: str) -> Callable[[np.ndarray], bytes]:
    return lambda stored: ENCODERS[uid].encode(
        stored,
        rows=stored.shape[0],
        columns=stored.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
    )


def baseline(stored: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((stored >> 4).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def lossless_jpeg(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=16, predictor=1))


def jpeg_ls(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegls_encode(stored))


def jpeg2000(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", bitspersample=12, reversible=True))


def high_throughput(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.htj2k_encode(stored))


def jpeg_xl(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(stored, lossless=True, bitspersample=12))


def deflated(stored: np.ndarray) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(stored.tobytes()) + deflater.flush()


def extended(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, level=100, bitspersample=12))


SMOOTH = (np.add.outer(np.arange(96) * 20, np.arange(80) * 24) % 4096).astype(np.uint16)
CODED = [
    ("1.2.840.10008.1.2.4.51", extended, 40 / 4095, "imagecodecs"),
    ("1.2.840.10008.1.2.4.57", lossless_jpeg, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.70", lossless_jpeg, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.80", jpeg_ls, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.90", jpeg2000, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.201", high_throughput, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.202", high_throughput, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.110", jpeg_xl, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.4.112", jpeg_xl, 1e-6, "imagecodecs"),
    ("1.2.840.10008.1.2.8.1", deflated, 1e-6, "numpy"),
    ("1.2.840.10008.1.2.1.98", lambda stored: stored.tobytes(), 1e-6, "numpy"),
    ("1.2.840.10008.1.2.5", lossless("1.2.840.10008.1.2.5"), 1e-6, "pylibjpeg-rle"),
]


@pytest.mark.parametrize(("uid", "encode", "tolerance", "decoder"), CODED)
def test_compressed_twin(write_dicom, uid: str, encode: Callable, tolerance: float, decoder: str) -> None:
    path = write_dicom(SMOOTH, value=encapsulate([encode(SMOOTH)]), transfer_syntax=uid, **FULL)
    radiograph = read_dicom(path)
    assert radiograph.decoder.startswith(decoder)
    assert np.median(np.abs(radiograph.pixels - SMOOTH / 4095)) <= tolerance
    if tolerance < 1e-3:
        np.testing.assert_allclose(radiograph.pixels, SMOOTH / 4095, atol=tolerance)


def test_jpeg_2000_is_the_same_on_one_core_and_on_several(write_dicom, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (600, 500), np.uint16)  # 10 x 8 code blocks
    coded = imagecodecs.jpeg2k_encode(noise, level=40, codecformat="j2k", bitspersample=12, reversible=False)
    path = write_dicom(noise, value=encapsulate([bytes(coded)]), transfer_syntax="1.2.840.10008.1.2.4.91", **FULL)
    films = []
    for threads in ("1", "4"):
        monkeypatch.setenv("OPJ_NUM_THREADS", threads)
        films.append(read_dicom(path).pixels)
    np.testing.assert_array_equal(*films)
    assert 0 < np.abs(films[0] - noise / 4095).max() < 0.2


def test_jpeg_baseline(write_dicom) -> None:
    eight = (SMOOTH >> 4).astype(np.uint8)
    value = encapsulate([baseline(SMOOTH)])
    path = write_dicom(eight, value=value, transfer_syntax="1.2.840.10008.1.2.4.50", WindowCenter=128, WindowWidth=256)
    assert np.median(np.abs(read_dicom(path).pixels - eight / 255)) < 3 / 255


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"])
def test_uncompressed_twins(write_dicom, uid: str) -> None:
    stored = SMOOTH.astype(">u2") if uid.endswith("1.2.2") else SMOOTH
    radiograph = read_dicom(write_dicom(stored, transfer_syntax=uid, **FULL))
    np.testing.assert_allclose(radiograph.pixels, SMOOTH / 4095, atol=1e-6)


def test_fragments_are_joined(write_dicom) -> None:
    coded = jpeg2000(SMOOTH)
    value = encapsulate([coded], fragments_per_frame=5)
    path = write_dicom(SMOOTH, value=value, transfer_syntax="1.2.840.10008.1.2.4.90", **FULL)
    np.testing.assert_allclose(read_dicom(path).pixels, SMOOTH / 4095, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high_bit", [11, 15])
def test_unused_bits_are_masked_wherever_they_are(write_dicom, high_bit: int, signed: bool) -> None:
    value = SMOOTH.astype(np.int32) - (2048 if signed else 0)
    shift = high_bit - 11
    rubbish = 0xF000 if high_bit == 11 else 0x000F  # an overlay in the bits that are not pixels
    containers = ((value & 0xFFF) << shift | rubbish).astype(np.uint16)
    window = {"WindowCenter": 0 if signed else 2048, "WindowWidth": 4096}
    path = write_dicom(containers, BitsStored=12, HighBit=high_bit, PixelRepresentation=int(signed), **window)
    np.testing.assert_allclose(read_dicom(path).pixels, SMOOTH / 4095, atol=1e-6)


@pytest.mark.parametrize("planar", [0, 1])
def test_grey_in_three_channels_is_converted_and_colour_refused(write_dicom, planar: int) -> None:
    eight = (SMOOTH >> 4).astype(np.uint8)
    rgb = np.stack([eight] * 3, axis=-1)
    value = np.moveaxis(rgb, -1, 0).tobytes() if planar else rgb.tobytes()
    how = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": planar, "WindowCenter": 128, "WindowWidth": 256}
    radiograph = read_dicom(write_dicom(rgb, value=value, **how))
    assert [notice.code for notice in radiograph.notices] == ["rgb_converted"]
    np.testing.assert_allclose(radiograph.pixels, eight / 255, atol=1e-6)
    rgb[5:9, 5:9, 1] ^= 0x40  # a coloured mark
    marked = read_dicom(write_dicom(rgb, value=rgb.tobytes(), **(how | {"PlanarConfiguration": 0})))
    assert [notice.code for notice in marked.notices] == ["colour_ignored"]
    assert (np.abs(marked.pixels - eight / 255) > 1e-3).sum() <= 16
    rgb[..., 0] = rgb[::-1, :, 0]
    with pytest.raises(InputError) as refused:
        read_dicom(write_dicom(rgb, value=rgb.tobytes(), **(how | {"PlanarConfiguration": 0})))
    assert refused.value.code == "unsupported_photometric"


JPEGS = [entry for entry in CODED if entry[0].startswith("1.2.840.10008.1.2.4")]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["cut", "cut-and-closed"])
@pytest.mark.parametrize(("uid", "encode"), [(entry[0], entry[1]) for entry in CODED])
def test_half_an_image_is_refused(write_dicom, uid: str, encode: Callable, end: bytes, share: float) -> None:
    rng = np.random.default_rng(0)
    stored = (SMOOTH // 2 + rng.integers(0, 2000, SMOOTH.shape)).astype(np.uint16)
    coded = encode(stored)
    coded = coded[: int(len(coded) * share)] + end
    path = write_dicom(stored, value=encapsulate([coded]), transfer_syntax=uid, **FULL)
    with pytest.raises(InputError) as refused:
        read_dicom(path)
    assert refused.value.code in ("decode_failed", "pixel_mismatch")


@pytest.mark.parametrize(("uid", "encode"), [(entry[0], entry[1]) for entry in JPEGS])
def test_codestream_of_another_size_is_refused(write_dicom, uid: str, encode: Callable) -> None:
    path = write_dicom(SMOOTH[:64, :64], value=encapsulate([encode(SMOOTH)]), transfer_syntax=uid, **FULL)
    with pytest.raises(InputError) as refused:
        read_dicom(path)
    assert refused.value.code == "pixel_mismatch"


def test_sizes_in_codestreams() -> None:
    jpeg = read_jpeg(extended(SMOOTH))
    assert (jpeg.rows, jpeg.columns, jpeg.samples, jpeg.precision) == (96, 80, 1, 12)
    j2k = read_jpeg2000(jpeg2000(SMOOTH))
    assert (j2k.rows, j2k.columns, j2k.samples, j2k.precision) == (96, 80, 1, 12)


@pytest.mark.parametrize("uid", [uid for uid, *_ in JPEGS if uid[-3:] not in ("110", "112")])
@pytest.mark.parametrize("lost", [1, 2])
def test_an_end_marker_alone_may_be_missing(write_dicom, uid: str, lost: int) -> None:
    (encode,) = (encode for coded, encode, *_ in CODED if coded == uid)
    coded = encode(SMOOTH)
    whole = read_dicom(write_dicom(SMOOTH, value=encapsulate([coded]), transfer_syntax=uid, **FULL))
    open_ended = read_dicom(write_dicom(SMOOTH, value=encapsulate([coded[:-lost]]), transfer_syntax=uid, **FULL))
    np.testing.assert_array_equal(open_ended.pixels, whole.pixels)
    assert [notice.code for notice in open_ended.notices] == ["encoding_repaired"]


def test_a_progressive_stream_needs_its_end() -> None:
    buffer = io.BytesIO()
    Image.fromarray((SMOOTH >> 4).astype(np.uint8)).save(buffer, "JPEG", progressive=True)
    assert read_jpeg(buffer.getvalue()).end == len(buffer.getvalue())
    with pytest.raises(InputError, match="end marker"):
        read_jpeg(buffer.getvalue()[:-2])


def test_a_lost_tile_is_told_although_the_end_is_there() -> None:
    coded = bytearray(jpeg2000(SMOOTH))
    assert read_jpeg2000(bytes(coded)).end == len(coded)
    struct.pack_into(">I", coded, 24, 48)  # XTsiz: two tiles across, of which the stream holds one
    with pytest.raises(InputError, match="cut"):
        read_jpeg2000(bytes(coded))


@pytest.mark.parametrize("shape", [(96, 80), (256, 256), (100, 200), (257, 1031), (120, 100), (64, 3000)])
@pytest.mark.parametrize("container", [False, True])
def test_size_in_a_jpeg_xl_header(shape: tuple[int, int], container: bool) -> None:
    coded = imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), lossless=True, usecontainer=container)
    stream = read_jpegxl(bytes(coded))
    assert (stream.rows, stream.columns) == shape


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.70"])
@pytest.mark.parametrize("table", [False, True])
def test_frames_that_are_packed_otherwise(write_dicom, syntax: str, table: bool) -> None:
    """A codestream without items, or without the table before it; and under the name of another compression."""
    value = encapsulate([jpeg2000(SMOOTH)], has_bot=False)
    path = write_dicom(SMOOTH, value=value if table else value[8:], transfer_syntax=syntax, **FULL)
    if table:
        path.write_bytes(as_explicit(path.read_bytes()))
    radiograph = read_dicom(path)
    np.testing.assert_allclose(radiograph.pixels, SMOOTH / 4095, atol=1e-6)
    assert [notice.code for notice in radiograph.notices] == ["encoding_repaired"]


def as_explicit(data: bytes) -> bytes:
    """The file with one bare frame as Pixel Data, of the length it has, in place of table, item and delimiter."""
    at = data.index(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff") + 8
    value = data[at + 20 :].removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")
    return data[:at] + struct.pack("<I", len(value)) + value


@pytest.mark.parametrize(
    ("uid", "encode"),
    [(uid, encode) for uid, encode, *_ in CODED if uid not in ("1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.1.98")],
)
def test_a_missing_transfer_syntax_is_told_by_the_pixels(write_dicom, uid: str, encode: Callable) -> None:
    path = write_dicom(SMOOTH, value=encapsulate([encode(SMOOTH)]), transfer_syntax=uid, **FULL)
    named = read_dicom(path)
    path.write_bytes(with_syntax(path.read_bytes(), ""))
    nameless = read_dicom(path)
    np.testing.assert_array_equal(nameless.pixels, named.pixels)
    assert [notice.code for notice in nameless.notices] == ["encoding_repaired"]


def test_a_file_that_ends_before_the_delimiter(write_dicom) -> None:
    path = write_dicom(SMOOTH, value=encapsulate([jpeg2000(SMOOTH)]), transfer_syntax="1.2.840.10008.1.2.4.90", **FULL)
    data = path.read_bytes()
    for lost, code in ((8, "encoding_repaired"), (3, "encoding_repaired"), (40, "truncated")):
        path.write_bytes(data[:-lost])
        if code == "truncated":
            with pytest.raises(InputError) as refused:
                read_dicom(path)
            assert refused.value.code == code
        else:
            assert [notice.code for notice in read_dicom(path).notices] == [code]


def test_native_pixels_under_a_compression_and_the_other_way_round(write_dicom) -> None:
    path = write_dicom(
        SMOOTH, transfer_syntax="1.2.840.10008.1.2.4.90", value=encapsulate([SMOOTH.tobytes()], has_bot=False), **FULL
    )
    path.write_bytes(as_explicit(path.read_bytes()))
    np.testing.assert_allclose(read_dicom(path).pixels, SMOOTH / 4095, atol=1e-6)
    path = write_dicom(SMOOTH, value=encapsulate([SMOOTH.tobytes()]), **FULL)
    with pytest.raises(InputError) as refused:
        read_dicom(path)
    assert refused.value.code == "pixel_mismatch"


@pytest.mark.parametrize("bits", [13, 14, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_values_wider_than_bits_stored_are_kept(write_dicom, bits: int, signed: bool) -> None:
    wide = np.add.outer(np.arange(96), np.arange(80)).astype(np.float64)
    stored = (wide / wide.max() * ((1 << bits) - 1)).astype(np.int64) - signed * (1 << (bits - 1))
    containers = stored.astype(np.int16 if signed else np.uint16)
    radiograph = read_dicom(write_dicom(containers, BitsStored=12, HighBit=11, PixelRepresentation=int(signed)))
    assert [notice.code for notice in radiograph.notices] == ["bad_header"]
    assert (np.diff(radiograph.pixels, axis=1) >= 0).all()


@pytest.mark.parametrize("declared", [0, 1])
def test_the_wrong_sign_is_found(write_dicom, declared: int) -> None:
    wide = np.add.outer(np.arange(96), np.arange(80)).astype(np.float64)
    stored = (wide / wide.max() * 65000).astype(np.int64) - (1 - declared) * 32500
    path = write_dicom(stored.astype(np.int64).astype(np.uint16), PixelRepresentation=declared)
    radiograph = read_dicom(path)
    assert [notice.code for notice in radiograph.notices] == ["bad_header"]
    assert (np.diff(radiograph.pixels, axis=1) >= 0).all()


@pytest.mark.parametrize("extra", [b"\0", bytes(2000), b"\xff" * 4096])
def test_padding_behind_native_pixels(write_dicom, extra: bytes) -> None:
    path = write_dicom(SMOOTH, value=SMOOTH.tobytes() + extra + b"\0" * (len(extra) % 2), **FULL)
    np.testing.assert_allclose(read_dicom(path).pixels, SMOOTH / 4095, atol=1e-6)
