"""Pictures: values, orientation, colour, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from lingula.errors import InputError
from lingula.reading.limits import Limits
from lingula.reading.picture import read_picture

GREY = np.add.outer(np.arange(40) * 2, np.arange(60) * 2).astype(np.uint8)


def save(folder: Path, picture: Image.Image, name: str = "film.png", **options: object) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def refusal(path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as refused:
        read_picture(path, limits)
    return refused.value.code


def test_eight_and_sixteen_bits(tmp_path: Path) -> None:
    eight = read_picture(save(tmp_path, Image.fromarray(GREY)))
    np.testing.assert_allclose(eight.pixels, GREY / 255, atol=1e-7)
    assert eight.notices == ()
    wide = GREY.astype(np.uint16) * 251
    sixteen = read_picture(save(tmp_path, Image.fromarray(wide)))
    np.testing.assert_allclose(sixteen.pixels, wide / 65535, atol=1e-7)
    assert dict(sixteen.attributes)["BitsStored"] == "16"


def test_the_name_comes_from_the_content(tmp_path: Path) -> None:
    (tmp_path / "Doe, Jane").mkdir()
    path = save(tmp_path / "Doe, Jane", Image.fromarray(GREY))
    named, again = read_picture(path), read_picture(path.rename(tmp_path / "other.dat"))
    assert named.image_id == again.image_id == f"film-{named.digest[:12]}"
    assert read_picture(save(tmp_path, Image.fromarray(GREY[::-1]))).image_id != named.image_id


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_than_the_picture_has(tmp_path: Path, bits: int) -> None:
    """12-bit values in 16 are no black film; their own range is shown."""
    values = (GREY.astype(np.float64) / GREY.max() * ((1 << bits) - 1)).astype(np.uint16)
    read = read_picture(save(tmp_path, Image.fromarray(values)))
    np.testing.assert_allclose(read.pixels, values / ((1 << bits) - 1), atol=1e-6)
    assert [notice.code for notice in read.notices] == ["range_adjusted"]
    assert dict(read.attributes)["BitsStored"] == str(bits)


SAVED = {
    "film.tiff": {}, "lzw.tiff": {"compression": "tiff_lzw"}, "zip.tiff": {"compression": "tiff_adobe_deflate"},
    "film.bmp": {}, "film.webp": {"lossless": True}, "film.png": {},
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_other_formats(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, Image.fromarray(GREY), name, **SAVED[name])
    np.testing.assert_allclose(read_picture(path).pixels, GREY / 255, atol=1e-6)
    noisy = GREY + np.random.default_rng(0).integers(0, 40, GREY.shape).astype(np.uint8)
    data = save(tmp_path, Image.fromarray(noisy), name, **SAVED[name]).read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        assert refusal(path) == "image_decode_failed"
    path.write_bytes(data)
    assert refusal(path, Limits(pixels=1000)) == "image_bomb"


@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl(tmp_path: Path, container: bool) -> None:
    path = tmp_path / "film.jxl"
    for values in (GREY, GREY.astype(np.uint16) * 251):
        data = bytes(imagecodecs.jpegxl_encode(values, lossless=True, usecontainer=container))
        path.write_bytes(data)
        np.testing.assert_allclose(read_picture(path).pixels, values / np.iinfo(values.dtype).max, atol=1e-6)
    path.write_bytes(data[: len(data) // 2])
    assert refusal(path) == "image_decode_failed"
    path.write_bytes(data)
    assert refusal(path, Limits(pixels=1000)) == "image_bomb"


@pytest.mark.parametrize("wide", [False, True])
def test_tiff_whose_white_is_zero(tmp_path: Path, wide: bool) -> None:
    values = GREY.astype(np.uint16) * 251 if wide else GREY
    path = save(tmp_path, Image.fromarray(np.iinfo(values.dtype).max - values), "film.tiff")
    data = path.read_bytes()
    entry = struct.pack("<HHIH", 262, 3, 1, 1)
    path.write_bytes(data.replace(entry, struct.pack("<HHIH", 262, 3, 1, 0), 1))
    np.testing.assert_allclose(read_picture(path).pixels, values / np.iinfo(values.dtype).max, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_tiff_of_floats(tmp_path: Path, scale: float) -> None:
    path = save(tmp_path, Image.fromarray((GREY / GREY.max() * scale).astype(np.float32)), "film.tiff")
    np.testing.assert_allclose(read_picture(path).pixels, GREY / GREY.max(), atol=1e-6)


def test_pages_are_several_films(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(GREY, 9 * number, 1)) for number in range(3)]
    for name in ("film.tiff", "film.webp"):
        assert refusal(save(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])) == "multiframe"


def test_a_phones_second_picture(tmp_path: Path) -> None:
    """The first is read whatever the second is; half of the first is refused although the second is whole."""
    second = Image.fromarray(np.stack([GREY, GREY[::-1], GREY], -1)).resize((30, 20))
    path = save(tmp_path, Image.fromarray(GREY), "film.jpg", format="MPO", save_all=True, append_images=[second])
    read = read_picture(path)
    assert read.pixels.shape == GREY.shape
    np.testing.assert_allclose(read.pixels, GREY / 255, atol=0.03)
    assert [notice.code for notice in read.notices] == ["first_picture_only"]
    data = path.read_bytes()
    end = data.index(b"\xff\xd9")
    path.write_bytes(data[: end - 100] + data[end:])
    assert refusal(path) == "image_decode_failed"


def tinted(grey: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    return np.clip(grey[..., None] * np.array(colour), 0, 255).astype(np.uint8)


TINTS = {"blue": (0.85, 0.95, 1.1), "sepia": (1.1, 0.95, 0.7), "green lamp": (0.7, 1.0, 0.75), "violet": (0.9, 0.8, 1)}


@pytest.mark.parametrize("tint", TINTS)
@pytest.mark.parametrize("quality", [60, 90])
def test_a_tint_is_no_colour(tmp_path: Path, tint: str, quality: int) -> None:
    path = save(tmp_path, Image.fromarray(tinted(film(), TINTS[tint])), "film.jpg", quality=quality)
    read = read_picture(path)
    assert [notice.code for notice in read.notices] == ["colour_ignored"]
    assert np.corrcoef(read.pixels.ravel(), film().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 200, 0), (255, 255, 0), (0, 0, 255)])
def test_a_coloured_mark_is_no_colour_picture(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    marked = np.stack([film()] * 3, -1)
    marked[10:50, 10:100] = colour
    read = read_picture(save(tmp_path, Image.fromarray(marked)))
    assert [notice.code for notice in read.notices] == ["colour_ignored"]
    np.testing.assert_allclose(read.pixels[60:], film()[60:] / 255, atol=0.003)


def test_pictures_in_true_colour_are_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[0:1:200j, 0:1:240j]
    landscape = np.stack([x * 255, y * 255, (1 - x) * 255], -1).astype(np.uint8)
    heat = np.stack([film(), 255 - np.abs(2 * film().astype(int) - 255), 255 - film()], -1).astype(np.uint8)
    halves = tinted(film(), (1, 0.7, 0.7))
    halves[:, 120:] = tinted(film(), (0.7, 0.7, 1))[:, 120:]
    for picture in (landscape, heat, halves):
        assert refusal(save(tmp_path, Image.fromarray(picture))) == "unsupported_photometric"


def film() -> np.ndarray:
    """(200, 240) uint8: two dark lungs on bright, with grain."""
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    lungs = np.exp(-((np.abs(x) - 0.5) ** 2 / 0.05 + y**2 / 0.4))
    return (220 - 180 * lungs + np.random.default_rng(0).normal(0, 4, lungs.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_only_the_end_is_missing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "film"
    Image.fromarray(GREY).save(path, kind)
    whole, data = read_picture(path).pixels, path.read_bytes()
    path.write_bytes(data[: -2 if kind == "JPEG" else -12])
    read = read_picture(path)
    np.testing.assert_array_equal(read.pixels, whole)
    assert [notice.code for notice in read.notices] == ["encoding_repaired"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_grey_in_other_clothes(tmp_path: Path, mode: str) -> None:
    read = read_picture(save(tmp_path, Image.fromarray(GREY).convert(mode)))
    np.testing.assert_allclose(read.pixels, GREY / 255, atol=1e-7)
    assert [notice.code for notice in read.notices] == ([] if mode == "LA" else ["rgb_converted"])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate a quarter clockwise
    path = save(tmp_path, Image.fromarray(GREY), "film.jpg", quality=100, exif=exif)
    np.testing.assert_allclose(read_picture(path).pixels, np.rot90(GREY, -1) / 255, atol=0.02)


def test_refusals(tmp_path: Path) -> None:
    colour = np.stack([GREY, GREY, 255 - GREY], axis=-1)
    assert refusal(save(tmp_path, Image.fromarray(colour))) == "unsupported_photometric"
    assert refusal(save(tmp_path, Image.fromarray(GREY[:20]))) == "image_too_small"
    assert refusal(save(tmp_path, Image.fromarray(GREY), "film.gif")) == "unsupported_format"
    frames = [Image.fromarray(GREY + number) for number in range(3)]
    animated = save(tmp_path, frames[0], "film.png", save_all=True, append_images=frames[1:])
    assert refusal(animated) == "multiframe"
    assert refusal(save(tmp_path, Image.fromarray(GREY)), Limits(pixels=1000)) == "image_bomb"


def test_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header)))
    assert refusal(path) == "image_bomb"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "progressive", "closed"])
def test_half_a_picture_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    noisy = GREY + np.random.default_rng(0).integers(0, 40, GREY.shape).astype(np.uint8)
    buffer = io.BytesIO()
    options = {"progressive": True} if kind == "progressive" else {}
    Image.fromarray(noisy).save(buffer, "PNG" if kind == "PNG" else "JPEG", **options)
    data = buffer.getvalue()
    scans = 0 if kind == "PNG" else data.index(b"\xff\xda") + 12
    end = b"\xff\xd9" if kind == "closed" else b""
    path = tmp_path / "half"
    path.write_bytes(data[: scans + int((len(data) - scans) * share)] + end)
    assert refusal(path) == "image_decode_failed"


def test_flat_border_is_no_missing_half(tmp_path: Path) -> None:
    bordered = np.pad(GREY, 40)
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
        read = read_picture(save(tmp_path, Image.fromarray(bordered), "film.jpg", quality=95, **options))
        np.testing.assert_allclose(read.pixels, bordered / 255, atol=0.05)
