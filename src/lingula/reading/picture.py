"""PNG and JPEG pictures of radiographs: judged by content, decoded by Pillow, never by their name."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.codestream import read_jpeg, require_whole
from lingula.reading.limits import Limits
from lingula.study import Radiograph

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MINIMUM_SIDE = 32
_PNG_END = b"IEND\xaeB`\x82"
_EQUAL_CHANNELS = 2  # of 255: what a JPEG's colour transform leaves between the channels of a grey picture


def read_picture(path: Path, limits: Limits | None = None) -> Radiograph:
    """Read a PNG or JPEG picture as it is: no window, EXIF orientation applied.

    Returns:
        A radiograph whose pixels are the picture's grey values over their largest possible value.

    Raises:
        InputError: not_found, empty_file, too_large, unsupported_format, image_bomb (more than ``limits.pixels``),
            image_decode_failed, image_too_small, multiframe, unsupported_photometric (a colour picture).
    """
    limits = limits or Limits()
    data = read_file(path, limits.file_bytes)
    kind = "PNG" if data.startswith(PNG) else "JPEG" if data.startswith(JPEG) else ""
    if not kind:
        raise InputError("unsupported_format", "neither a PNG nor a JPEG picture", "Save it as PNG.")
    _judge_size(data, kind, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the size has been judged
            pixels, bits, converted = _decode(data, kind)
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError("image_bomb", "the picture has more pixels than Pillow accepts") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise InputError("image_decode_failed", f"the {kind} cannot be decoded ({type(error).__name__})") from error
    notices = []
    if converted:
        notices.append(Notice("rgb_converted", "A colour picture with equal channels was read as grey."))
    if pixels.min() == pixels.max():
        notices.append(Notice("blank_image", "The picture is blank."))
    rows, columns = pixels.shape
    facts = (("Format", kind), ("Rows", str(rows)), ("Columns", str(columns)), ("BitsStored", str(bits)))
    return Radiograph(
        image_id="".join(char if char.isprintable() else "?" for char in path.name),
        pixels=pixels,
        decoder=f"pillow {PIL.__version__} {kind}",
        attributes=facts,
        notices=tuple(notices),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _judge_size(data: bytes, kind: str, limits: Limits) -> None:
    """Refuse by the picture's own header, before Pillow allocates anything, and require its end marker."""
    if kind == "PNG":
        if len(data) < 33 or data[12:16] != b"IHDR" or zlib.crc32(data[12:29]) != struct.unpack_from(">I", data, 29)[0]:
            raise InputError("image_decode_failed", "the PNG has no sound header")
        columns, rows = struct.unpack_from(">II", data, 16)
    else:
        try:
            frame = read_jpeg(data)
        except InputError as error:
            raise InputError("image_decode_failed", error.message) from error
        rows, columns = frame.rows, frame.columns
    if rows * columns > limits.pixels:
        raise InputError("image_bomb", f"{rows} x {columns} pixels exceed {limits.pixels}")
    if kind == "PNG" and _PNG_END not in data:
        raise InputError("image_decode_failed", "the PNG has no end chunk; the picture is cut")
    if min(rows, columns) < MINIMUM_SIDE:
        raise InputError("image_too_small", f"{rows} x {columns} pixels; a side needs {MINIMUM_SIDE}")


def _decode(data: bytes, kind: str) -> tuple[npt.NDArray[np.float32], int, bool]:
    """Pixels in [0, 1], bits per sample, and whether colour with equal channels was reduced to grey."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise InputError("multiframe", "an animated picture")
        image.load()
        upright = ImageOps.exif_transpose(image)
        converted = upright.mode not in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
        if kind == "JPEG":
            _require_whole(data, np.asarray(image))
    if upright.mode.startswith("I"):
        return (np.asarray(upright).astype(np.float32) / np.float32(65535)).clip(0, 1), 16, False
    grey = np.asarray(upright.convert("L")) if upright.mode in ("1", "L") else _equal_channel(upright)
    return grey.astype(np.float32) / np.float32(255), 8, converted


def _require_whole(data: bytes, decoded: npt.NDArray[Any]) -> None:
    tail = decoded[-1, -8:]
    if (tail == tail[-1]).all():  # what is missing would have been filled with one value
        try:
            require_whole(data, lambda frame: np.asarray(Image.open(io.BytesIO(frame), formats=["JPEG"])), decoded)
        except InputError as error:
            raise InputError("image_decode_failed", error.message) from error


def _equal_channel(image: Image.Image) -> npt.NDArray[np.uint8]:
    """(rows, columns) of a picture whose channels agree; transparent parts are black."""
    rgba = np.asarray(image.convert("RGBA"))
    rgb, alpha = rgba[..., :3].astype(np.int16), rgba[..., 3:].astype(np.int32)
    if np.abs(rgb - rgb[..., :1]).max() > _EQUAL_CHANNELS:
        raise InputError("unsupported_photometric", "a colour picture; radiographs are grey")
    return (rgb[..., 1:2] * alpha // 255)[..., 0].astype(np.uint8)
