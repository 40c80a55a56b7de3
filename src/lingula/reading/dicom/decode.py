"""Stored values of one frame, whatever the transfer syntax (PS3.5 annex A), with the decoder named."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice
from lingula.reading.dicom.codestream import (
    Codestream,
    closed,
    read_jpeg,
    read_jpeg2000,
    read_jpegxl,
    require_whole,
    scheme_of,
)
from lingula.reading.dicom.frame import open_frame, repaired

if TYPE_CHECKING:
    from lingula.reading.dicom.image_module import ImageHeader

_NATIVE = frozenset(
    {
        "1.2.840.10008.1.2",  # Implicit VR Little Endian
        "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    }
)
_ENCAPSULATED_NATIVE, _DEFLATED_FRAME, _RLE = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.5"
_CODESTREAMS = {  # JPEG, lossless JPEG, JPEG-LS; JPEG 2000, 201-203 in high throughput; JPEG XL
    f"1.2.840.10008.1.2.4.{last}"
    for last in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203, 110, 111, 112)
}  # fmt: skip
_LOSSY = {f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 81, 91, 203, 111, 112)}
TRANSFER_SYNTAXES = frozenset({*_NATIVE, _ENCAPSULATED_NATIVE, _DEFLATED_FRAME, _RLE, *_CODESTREAMS})

Stored = npt.NDArray[np.integer[Any]]


def is_encapsulated(transfer_syntax: str) -> bool:
    return transfer_syntax not in _NATIVE


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Stored values, (rows, columns) or (rows, columns, 3), right-justified, sign extended; the decoder's name."""

    stored: Stored
    decoder: str
    notices: tuple[Notice, ...] = ()


def decode(
    value: bytes, transfer_syntax: str, header: ImageHeader, *, little: bool = True, swapped_bytes: bool = False
) -> Decoded:
    """Decode one frame.

    Args:
        value: the value of Pixel Data.
        little: byte order of native samples.
        swapped_bytes: 8-bit samples inside big-endian words (VR OW, PS3.5 annex A.3).

    Raises:
        InputError: pixel_mismatch when the codestream's size is not the header's or the pixels are not packed as the
            transfer syntax says, decode_failed.
    """
    promised = header.rows * header.columns * header.samples * header.bits_allocated // 8
    frame = open_frame(value, encapsulated=is_encapsulated(transfer_syntax), promised=promised)
    if frame.is_native or transfer_syntax in (_ENCAPSULATED_NATIVE, _DEFLATED_FRAME):
        data = _inflated(frame.data, promised) if transfer_syntax == _DEFLATED_FRAME else frame.data
        stored, odd = true_values(_native(data, header, little, swapped_bytes), header)
        return Decoded(stored, f"numpy {np.__version__}", frame.notices + odd)
    try:
        if scheme_of(frame.data) is None and transfer_syntax == _RLE:
            containers, name = _rle(frame.data, header)
            precision, odd = header.bits_allocated, ()
        else:
            containers, name, precision, odd = _compressed(frame.data, header)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every codec library has its own exceptions
        raise InputError("decode_failed", f"the compressed image cannot be decoded ({type(error).__name__})") from error
    if containers.size != header.rows * header.columns * header.samples:
        raise InputError("decode_failed", f"the decoder returned {containers.shape}")
    containers = containers.reshape(header.rows, header.columns, *([3] if header.samples == 3 else []))
    notices = frame.notices + odd
    if transfer_syntax in _LOSSY and not header.signed:
        most = header.bits_stored
        if precision > most and (containers >> most).astype(bool).mean() > 0.001:
            most = int(containers.max()).bit_length()
            notices += (_wider(header, most),)
        return Decoded(np.clip(containers, 0, (1 << most) - 1), name, notices)  # lossy values may overshoot
    stored, odd = true_values(containers, header, precision)
    return Decoded(stored, name, notices + odd)


def true_values(
    containers: Stored, header: ImageHeader, precision: int | None = None
) -> tuple[Stored, tuple[Notice, ...]]:
    """As ``stored_values``, but where BitsStored or PixelRepresentation contradict the pixels, these are believed.

    Values too wide for BitsStored, or of the other sign, wrap: dark beside bright. What wraps is told by neighbours:
    an overlay in the unused bits makes jumps that the masked values have not, a wrap the other way round.
    """
    stored = stored_values(containers, header, precision)
    wide = _wide_values(containers, header, precision)
    if wide is not None and 2 * _jumps(wide, header.bits_stored) < _jumps(stored, header.bits_stored):
        low, high = int(wide.min()), int(wide.max())
        return wide, (_wider(header, max(high, ~low).bit_length() + header.signed),)
    low, high, quarter = int(stored.min()), int(stored.max()), 1 << max(header.bits_stored - 2, 0)
    spans = low < -quarter and high > quarter if header.signed else low < quarter and high >= 3 * quarter
    if spans and header.bits_stored >= 8:
        other = stored_values(containers, replace(header, signed=not header.signed), precision)
        if _jumps(stored, header.bits_stored) > max(8 * _jumps(other, header.bits_stored), 0.001):
            message = "PixelRepresentation contradicts the pixels; they were read with the other sign."
            return other, (Notice("bad_header", message),)
    return stored, ()


def _wide_values(containers: Stored, header: ImageHeader, precision: int | None) -> Stored | None:
    """The values with the bits above HighBit; None where there is nothing in these but the sign."""
    if header.high_bit + 1 == header.bits_allocated or (header.signed and precision is not None):
        return None
    shift = 0 if precision is not None and precision <= header.bits_stored else header.high_bit + 1 - header.bits_stored
    if not header.signed:
        return containers >> shift if int(containers.max()) >> (header.high_bit + 1) else None
    wide: Stored = containers.view(np.dtype(f"i{containers.itemsize}")) >> shift
    highest = 1 << (header.bits_stored - 1)
    return wide if int(wide.max()) >= highest or int(wide.min()) < -highest else None


def _wider(header: ImageHeader, bits: int) -> Notice:
    return Notice("bad_header", f"BitsStored says {header.bits_stored}, the pixels need {bits} bits; all were kept.")


def _jumps(values: Stored, bits: int) -> float:
    """Share of neighbours in a row that differ by more than half of what so many bits hold, in rows spread evenly."""
    plane = values if values.ndim == 2 else values[..., 0]
    rows = plane[:: max(1, len(plane) // 128)].astype(np.int64)
    return float((np.abs(np.diff(rows, axis=1)) > 1 << (bits - 1)).mean())


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


def _inflated(frame: bytes, promised: int) -> bytes:
    """The bytes of a deflated frame (PS3.5 annex A.8.1), no more than promised."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, promised)
    except zlib.error as error:
        raise InputError("decode_failed", f"the deflated frame cannot be inflated: {error}") from error


def _rle(frame: bytes, header: ImageHeader) -> tuple[Stored, str]:
    """RLE Lossless, PS3.5 annex G: byte planes, most significant first."""
    import rle
    from rle.utils import decode_frame

    planes = decode_frame(frame, header.rows * header.columns, header.bits_allocated, "<")
    samples = np.frombuffer(bytes(planes), np.dtype(f"<u{header.bits_allocated // 8}"))
    return _interleave(samples, header, planar=True), f"pylibjpeg-rle {rle.__version__}"


def _compressed(frame: bytes, header: ImageHeader) -> tuple[Stored, str, int, tuple[Notice, ...]]:
    """Decode a codestream by what it is, whatever the transfer syntax calls it."""
    match scheme_of(frame):
        case "jpeg2000":
            frame = _unboxed(frame)
            codestream, decoder = read_jpeg2000(frame), _jpeg2000
        case "jpegxl":
            codestream, decoder = read_jpegxl(frame), _jpeg_xl
        case _:
            codestream = read_jpeg(frame)
            is_ls = codestream.marker == 0xF7
            decoder = _jpeg_ls if is_ls else _pillow if _is_pillows(codestream) else _libjpeg
    _require_size(codestream, header)
    has_end = codestream.end is not None
    samples, name = decoder(frame if has_end else closed(frame))
    if samples.ndim > 3 or samples.size != codestream.rows * codestream.columns * (
        codestream.samples or header.samples
    ):
        raise InputError("decode_failed", f"the decoder returned {samples.shape}")
    ends_flat = samples.ndim != 2 or bool((samples[-1, -8:] == samples[-1, -1]).all())
    if decoder in (_pillow, _libjpeg) and (ends_flat or codestream.marker == 0xC3 or not has_end):
        require_whole(frame, codestream.end, lambda changed: decoder(changed)[0], samples)
    precision = codestream.precision or header.bits_stored
    return samples, name, precision, () if has_end else (repaired("the codestream has no end marker"),)


def _require_size(codestream: Codestream, header: ImageHeader) -> None:
    inside = (codestream.rows, codestream.columns, codestream.samples or header.samples)
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
    return codestream.precision == 8 and codestream.marker in (0xC0, 0xC1, 0xC2)


def _pillow(frame: bytes) -> tuple[Stored, str]:
    import PIL
    from PIL import Image

    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as image:
        return np.asarray(image), f"pillow {PIL.__version__}"


def _libjpeg(frame: bytes) -> tuple[Stored, str]:
    import imagecodecs

    return imagecodecs.jpeg8_decode(frame), f"imagecodecs {imagecodecs.__version__} (libjpeg-turbo)"


def _jpeg_ls(frame: bytes) -> tuple[Stored, str]:
    import imagecodecs

    return imagecodecs.jpegls_decode(frame), f"imagecodecs {imagecodecs.__version__} (CharLS)"


def _jpeg_xl(frame: bytes) -> tuple[Stored, str]:
    import imagecodecs

    decoded = imagecodecs.jpegxl_decode(frame)
    return decoded.squeeze(-1) if decoded.ndim == 3 and decoded.shape[-1] == 1 else decoded, (
        f"imagecodecs {imagecodecs.__version__} (libjxl)"
    )


def _jpeg2000(frame: bytes) -> tuple[Stored, str]:
    """By OpenJPEG, with as many threads as the variable OPJ_NUM_THREADS says (one without it)."""
    import imagecodecs

    return imagecodecs.jpeg2k_decode(frame), f"imagecodecs {imagecodecs.__version__} (OpenJPEG)"
