"""Pictures of radiographs: judged by content, decoded by Pillow (JPEG XL by imagecodecs), never by their name."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.codestream import JXL, JXL_BOX, closed, read_jpeg, read_jpegxl, require_whole
from lingula.reading.dicom.colour import grey_of
from lingula.reading.dicom.frame import repaired
from lingula.reading.dicom.identity import film_id
from lingula.reading.limits import Limits
from lingula.study import Radiograph

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes of the information header that follows the file header
_PHOTOMETRIC = 262  # the TIFF tag; 0 says that white is zero
MINIMUM_SIDE = 32
_PNG_END = b"IEND\xaeB`\x82"
_SECOND = Notice("first_picture_only", "The file holds a second picture (of a phone's camera); the first was read.")
Floats = npt.NDArray[np.float32]


def picture_kind(head: bytes) -> str:
    """PNG, JPEG, TIFF, BMP, WEBP or JXL by the first bytes of a file; empty for anything else."""
    if head.startswith(PNG):
        return "PNG"
    if head.startswith(JPEG):
        return "JPEG"
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith((JXL, JXL_BOX)):
        return "JXL"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    is_bmp = head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS
    return "BMP" if is_bmp else ""


def read_picture(path: Path, limits: Limits | None = None) -> Radiograph:
    """Read a picture as it is: no window, EXIF orientation applied.

    Returns:
        A radiograph whose pixels are the picture's grey values over their largest possible value; that of the bits
        they use, where these are at least two fewer than there are (range_adjusted). Its name is made from its content.

    Raises:
        InputError: not_found, empty_file, too_large, unsupported_format, image_bomb (more than ``limits.pixels``),
            image_decode_failed, image_too_small, multiframe, unsupported_photometric (a colour picture).
    """
    limits = limits or Limits()
    data = read_file(path, limits.file_bytes)
    kind = picture_kind(data[:64])
    if not kind:
        raise InputError("unsupported_format", "no picture of a kind that is read", "Save it as PNG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the size is judged here
            notices = _judge_size(data, kind, limits)
            pixels, bits, found = _decode(data, kind)
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError("image_bomb", "the picture has more pixels than Pillow accepts") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error ... for damaged files
        raise InputError("image_decode_failed", f"the {kind} cannot be decoded ({type(error).__name__})") from error
    if pixels.min() == pixels.max():
        found += (Notice("blank_image", "The picture is blank."),)
    rows, columns = pixels.shape
    facts = (("Format", kind), ("Rows", str(rows)), ("Columns", str(columns)), ("BitsStored", str(bits)))
    digest = hashlib.sha256(data).hexdigest()
    return Radiograph(
        image_id=film_id(digest),
        pixels=pixels,
        decoder=_decoder(kind),
        attributes=facts,
        notices=notices + found,
        digest=digest,
    )


def _judge_size(data: bytes, kind: str, limits: Limits) -> tuple[Notice, ...]:
    """Refuse by the picture's own header, before a decoder allocates anything; what is odd without harm is said."""
    rows, columns, notices = _SIZES[kind](data)
    if rows * columns > limits.pixels:
        raise InputError("image_bomb", f"{rows} x {columns} pixels exceed {limits.pixels}")
    if min(rows, columns) < MINIMUM_SIDE:
        raise InputError("image_too_small", f"{rows} x {columns} pixels; a side needs {MINIMUM_SIDE}")
    return notices


Size = tuple[int, int, tuple[Notice, ...]]


def _png_size(data: bytes) -> Size:
    if len(data) < 33 or data[12:16] != b"IHDR" or zlib.crc32(data[12:29]) != struct.unpack_from(">I", data, 29)[0]:
        raise InputError("image_decode_failed", "the PNG has no sound header")
    columns, rows = struct.unpack_from(">II", data, 16)
    return rows, columns, () if _PNG_END in data else (repaired("the PNG has no end chunk"),)


def _jpeg_size(data: bytes) -> Size:
    try:
        frame = read_jpeg(data)
    except InputError as error:
        raise InputError("image_decode_failed", error.message) from error
    return frame.rows, frame.columns, () if frame.end is not None else (repaired("the JPEG has no end marker"),)


def _jxl_size(data: bytes) -> Size:
    frame = read_jpegxl(data)
    return frame.rows, frame.columns, ()


def _webp_size(data: bytes) -> Size:
    """Of the canvas, or of the one bitstream (RFC 9649 section 2.5 to 2.7)."""
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise InputError("image_decode_failed", "the WebP picture is cut")
    chunk = data[12:16]
    if chunk == b"VP8X":
        columns, rows = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        columns, rows = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        columns, rows = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return rows, columns, ()


def _lazy_size(data: bytes, kind: str) -> Size:
    """Of a kind whose header Pillow reads without touching pixels."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        return image.height, image.width, ()


_SIZES: dict[str, Callable[[bytes], Size]] = {
    "PNG": _png_size,
    "JPEG": _jpeg_size,
    "JXL": _jxl_size,
    "WEBP": _webp_size,
    "TIFF": lambda data: _lazy_size(data, "TIFF"),
    "BMP": lambda data: _lazy_size(data, "BMP"),
}


def _decode(data: bytes, kind: str) -> tuple[Floats, int, tuple[Notice, ...]]:
    """Pixels in [0, 1], bits per sample, and what was odd."""
    if kind == "JXL":
        return grey_of_array(_decode_jxl(data))
    is_jpeg = kind == "JPEG"
    end = read_jpeg(data).end if is_jpeg else None
    whole = closed(data) if is_jpeg and end is None else data
    with Image.open(io.BytesIO(whole), formats=[kind]) as image:
        notices: tuple[Notice, ...] = (_SECOND,) if is_jpeg and image.format == "MPO" else ()
        if not is_jpeg and getattr(image, "n_frames", 1) > 1:
            raise InputError("multiframe", "an animated picture, or one of several pages")
        with JpegImageFile(io.BytesIO(whole)) if notices else image as first:
            first.load()
            if is_jpeg:
                _require_whole(data, end, np.asarray(first))
            ImageOps.exif_transpose(first, in_place=True)
            pixels, bits, odd = grey_of_image(first)
    return pixels, bits, notices + odd


def grey_of_image(image: Image.Image) -> tuple[Floats, int, tuple[Notice, ...]]:
    """Pixels in [0, 1] of an opened picture, bits per sample, and what was odd."""
    if image.mode == "L":
        return _in_range(np.asarray(image), 8)
    if image.mode.startswith(("I", "F")):
        wide = np.asarray(image)
        pixels, bits, odd = grey_of_array(wide)
        is_negative = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0  # Pillow leaves it so
        return 1 - pixels if is_negative else pixels, bits, odd
    if image.mode == "1":
        return _scaled(np.asarray(image.convert("L")), 255), 8, ()
    grey, odd = _one_channel(image)
    return _scaled(grey, 255), 8, odd


def _decoder(kind: str) -> str:
    if kind != "JXL":
        return f"pillow {PIL.__version__} {kind}"
    import imagecodecs

    return f"imagecodecs {imagecodecs.__version__} (libjxl)"


def _decode_jxl(data: bytes) -> npt.NDArray[Any]:
    import imagecodecs

    decoded: npt.NDArray[Any] = imagecodecs.jpegxl_decode(data)
    if decoded.ndim == 4:
        raise InputError("multiframe", "an animated picture")
    return decoded


def grey_of_array(values: npt.NDArray[Any]) -> tuple[Floats, int, tuple[Notice, ...]]:
    """Pixels in [0, 1] of samples of any type, (rows, columns) or (rows, columns, channels)."""
    odd: tuple[Notice, ...] = ()
    if values.ndim == 3 and values.shape[-1] <= 2:
        values = values[..., 0]
    elif values.ndim == 3:
        values, odd = grey_of(values[..., :3], 8 * values.itemsize)
    if values.dtype.kind == "u" and values.itemsize <= 2:
        pixels, bits, adjusted = _in_range(values, 8 * values.itemsize)
        return pixels, bits, odd + adjusted
    plain = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = float(plain.min()), float(plain.max())
    most = 1.0 if values.dtype.kind == "f" else 65535.0
    if low >= 0 and most / 4 <= high <= most:
        return (plain / most).astype(np.float32), 8 * values.itemsize, odd
    message = "The samples do not say their range; the picture's own range is shown."
    scaled = (plain - low) / (high - low) if high > low else np.zeros_like(plain)
    return scaled.astype(np.float32), 8 * values.itemsize, (*odd, Notice("range_adjusted", message))


def _in_range(values: npt.NDArray[Any], bits: int) -> tuple[Floats, int, tuple[Notice, ...]]:
    """Unsigned samples over the largest value of the bits that they use, where at least two are left unused."""
    needed = int(values.max()).bit_length()
    if needed == 0 or needed > bits - 2:
        return _scaled(values, (1 << bits) - 1), bits, ()
    message = f"The picture has {bits} bits, its pixels use {needed}; it is shown in that range."
    return _scaled(values, (1 << needed) - 1), needed, (Notice("range_adjusted", message),)


def _scaled(values: npt.NDArray[Any], most: float) -> Floats:
    scaled = values.astype(np.float32)
    scaled /= np.float32(most)
    return scaled


def _require_whole(data: bytes, end: int | None, decoded: npt.NDArray[Any]) -> None:
    tail = decoded[-1, -8:]
    if end is None or (tail == tail[-1]).all():  # what is missing would have been filled with one value
        try:
            require_whole(data, end, lambda frame: np.asarray(JpegImageFile(io.BytesIO(frame))), decoded)
        except InputError as error:
            raise InputError("image_decode_failed", error.message) from error


def _one_channel(image: Image.Image) -> tuple[npt.NDArray[np.integer[Any]], tuple[Notice, ...]]:
    """(rows, columns) of a picture in colour, of which grey was meant; transparent parts are black."""
    if image.mode in ("RGB", "YCbCr", "CMYK"):
        return grey_of(np.asarray(image.convert("RGB")))
    rgba = np.asarray(image.convert("RGBA"))
    grey, notices = grey_of(rgba[..., :3])
    shown = (grey.astype(np.uint16) * rgba[..., 3] // 255).astype(np.uint8)
    return shown, () if image.mode == "LA" else notices
