"""PNG and JPEG pictures: values, orientation, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

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
    assert eight.image_id == "film.png"
    wide = GREY.astype(np.uint16) * 251
    sixteen = read_picture(save(tmp_path, Image.fromarray(wide)))
    np.testing.assert_allclose(sixteen.pixels, wide / 65535, atol=1e-7)
    assert dict(sixteen.attributes)["BitsStored"] == "16"


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
    assert refusal(save(tmp_path, Image.fromarray(GREY), "film.webp")) == "unsupported_format"
    assert refusal(save(tmp_path, Image.fromarray(GREY), "film.tiff")) == "unsupported_format"
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
