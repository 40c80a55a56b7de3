"""Stored values of one frame, whatever the transfer syntax (PS3.5 annex A), with the decoder named."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.encaps import generate_fragments

from lingula.errors import InputError
from lingula.reading.dicom.codestream import Codestream, read_jpeg, read_jpeg2000, require_whole

if TYPE_CHECKING:
    from lingula.reading.dicom.header import ImageHeader

_NATIVE = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}
_RLE = "1.2.840.10008.1.2.5"
_JPEG_DCT = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
_JPEG_LOSSLESS = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
_JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
_JPEG_2000 = {f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 201, 202, 203)}  # 201-203: high throughput
_LOSSY = {f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 81, 91, 203)}
TRANSFER_SYNTAXES = frozenset({*_NATIVE, _RLE, *_JPEG_DCT, *_JPEG_LOSSLESS, *_JPEG_LS, *_JPEG_2000})

Stored = npt.NDArray[np.integer[Any]]


def decode(
    value: bytes, transfer_syntax: str, header: ImageHeader, *, little: bool = True, swapped_bytes: bool = False
) -> tuple[Stored, str]:
    """Decode one frame.

    Args:
        value: the value of Pixel Data.
        little: byte order of native samples.
        swapped_bytes: 8-bit samples inside big-endian words (VR OW, PS3.5 annex A.3).

    Returns:
        Stored values, (rows, columns) or (rows, columns, 3), right-justified, sign extended, and the decoder's name.

    Raises:
        InputError: pixel_mismatch when the codestream's size is not the header's, decode_failed.
    """
    if transfer_syntax in _NATIVE:
        return stored_values(_native(value, header, little, swapped_bytes), header), f"numpy {np.__version__}"
    try:
        if transfer_syntax == _RLE:
            containers, name = _rle(_frame(value), header)
            precision = header.bits_allocated
        else:
            containers, name, precision = _compressed(_frame(value), transfer_syntax, header)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every codec library has its own exceptions
        raise InputError("decode_failed", f"the compressed image cannot be decoded ({type(error).__name__})") from error
    if containers.size != header.rows * header.columns * header.samples:
        raise InputError("decode_failed", f"the decoder returned {containers.shape}")
    containers = containers.reshape(header.rows, header.columns, *([3] if header.samples == 3 else []))
    if transfer_syntax in _LOSSY and not header.signed:
        return np.clip(containers, 0, (1 << header.bits_stored) - 1), name  # lossy values may overshoot
    return stored_values(containers, header, precision), name


def stored_values(containers: Stored, header: ImageHeader, precision: int | None = None) -> Stored:
    """Take the stored bits out of their containers and extend the sign (PS3.5 section 8.1.1).

    Overlay or stray bits above HighBit and below the lowest stored bit are dropped.

    Args:
        precision: bits per sample in the codestream; where it holds no more than BitsStored, there is nothing to shift.
    """
    shift = header.high_bit + 1 - header.bits_stored
    if precision is not None and precision <= header.bits_stored:
        shift = 0
    if containers.itemsize < header.bits_allocated // 8:
        containers = containers.astype(f"{containers.dtype.kind}{header.bits_allocated // 8}")
    whole_container = header.bits_stored == header.bits_allocated
    if whole_container and (containers.dtype.kind == "i") == header.signed:
        return containers
    bits = containers.view(np.dtype(f"u{containers.itemsize}"))
    if whole_container:
        return bits.view(np.dtype(f"i{containers.itemsize}"))
    bits = (bits >> shift) & bits.dtype.type((1 << header.bits_stored) - 1)
    if not header.signed:
        unsigned: Stored = bits
        return unsigned
    up = bits.dtype.type(8 * bits.itemsize - header.bits_stored)
    extended: Stored = (bits << up).view(np.dtype(f"i{bits.itemsize}")) >> up.astype(f"i{bits.itemsize}")
    return extended


def _native(value: bytes, header: ImageHeader, little: bool, swapped_bytes: bool) -> Stored:
    count = header.rows * header.columns * header.samples
    if swapped_bytes and header.bits_allocated == 8:
        value = np.frombuffer(value[: len(value) & ~1], np.uint8).reshape(-1, 2)[:, ::-1].tobytes()
    dtype = np.dtype(f"{'<' if little else '>'}u{header.bits_allocated // 8}")
    if len(value) < count * dtype.itemsize:
        raise InputError("pixel_mismatch", f"{len(value)} bytes of pixels for {count} samples")
    samples = np.frombuffer(value, dtype, count).astype(dtype.newbyteorder("="), copy=False)
    return _interleave(samples, header, planar=header.planar)


def _interleave(samples: Stored, header: ImageHeader, planar: bool) -> Stored:
    if header.samples == 1:
        return samples.reshape(header.rows, header.columns)
    if planar:
        return np.moveaxis(samples.reshape(3, header.rows, header.columns), 0, -1)
    return samples.reshape(header.rows, header.columns, 3)


def _frame(value: bytes) -> bytes:
    """All fragments after the Basic Offset Table, joined (PS3.5 annex A.4)."""
    fragments = list(generate_fragments(value))
    frame = b"".join(fragments[1:])
    if not frame:
        raise InputError("pixel_mismatch", "the encapsulated Pixel Data is empty")
    return frame


def _rle(frame: bytes, header: ImageHeader) -> tuple[Stored, str]:
    """RLE Lossless, PS3.5 annex G: byte planes, most significant first."""
    import rle
    from rle.utils import decode_frame

    planes = decode_frame(frame, header.rows * header.columns, header.bits_allocated, "<")
    samples = np.frombuffer(bytes(planes), np.dtype(f"<u{header.bits_allocated // 8}"))
    return _interleave(samples, header, planar=True), f"pylibjpeg-rle {rle.__version__}"


def _compressed(frame: bytes, transfer_syntax: str, header: ImageHeader) -> tuple[Stored, str, int]:
    if transfer_syntax in _JPEG_2000:
        frame = _unboxed(frame)
        codestream, decoder = read_jpeg2000(frame), _jpeg2000
    else:
        codestream = read_jpeg(frame)
        decoder = _jpeg_ls if transfer_syntax in _JPEG_LS else _pillow if _is_pillows(codestream) else _libjpeg
    _require_size(codestream, header)
    samples, name = decoder(frame)
    if samples.size != codestream.rows * codestream.columns * codestream.samples:
        raise InputError("decode_failed", f"the decoder returned {samples.shape}")
    ends_flat = samples.ndim != 2 or bool((samples[-1, -8:] == samples[-1, -1]).all())
    if decoder in (_pillow, _libjpeg) and (ends_flat or codestream.scheme == 0xC3):
        require_whole(frame, lambda changed: decoder(changed)[0], samples)
    return samples, name, codestream.precision


def _require_size(codestream: Codestream, header: ImageHeader) -> None:
    inside = (codestream.rows, codestream.columns, codestream.samples)
    outside = (header.rows, header.columns, header.samples)
    if inside != outside:
        raise InputError("pixel_mismatch", f"the codestream is {inside}, the header {outside} (rows, columns, samples)")
    if codestream.precision > header.bits_allocated:
        raise InputError("pixel_mismatch", f"{codestream.precision} bits in {header.bits_allocated} allocated")


def _unboxed(frame: bytes) -> bytes:
    """The codestream inside a JP2 file; DICOM wants it bare (PS3.5 annex A.4.4), some writers leave the boxes on."""
    if frame[4:8] != b"jP  ":
        return frame
    start = frame.find(b"\xff\x4f\xff\x51")
    return frame[max(start, 0) :]


def _is_pillows(codestream: Codestream) -> bool:
    """Sequential and progressive DCT of 8 bits; 12 bits and lossless go to imagecodecs."""
    return codestream.precision == 8 and codestream.scheme in (0xC0, 0xC1, 0xC2)


def _pillow(frame: bytes) -> tuple[Stored, str]:
    import PIL
    from PIL import Image

    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as image:
        return np.asarray(image), f"pillow {PIL.__version__}"


def _libjpeg(frame: bytes) -> tuple[Stored, str]:
    import imagecodecs

    return imagecodecs.jpeg8_decode(frame), f"imagecodecs {imagecodecs.__version__} (libjpeg-turbo)"


def _jpeg_ls(frame: bytes) -> tuple[Stored, str]:
    import jpeg_ls

    decoded = jpeg_ls.decode(np.frombuffer(frame, np.uint8))
    return np.asarray(decoded), f"pyjpegls {jpeg_ls.__version__}"


def _jpeg2000(frame: bytes) -> tuple[Stored, str]:
    """By OpenJPEG, with as many threads as the variable OPJ_NUM_THREADS says (one without it)."""
    import imagecodecs

    return imagecodecs.jpeg2k_decode(frame), f"imagecodecs {imagecodecs.__version__} (OpenJPEG)"
