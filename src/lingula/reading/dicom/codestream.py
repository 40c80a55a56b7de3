"""What a compressed image says of itself, read from its markers before a decoder sees it.

Decoders return grey-filled half images, or take gigabytes for a false size, without an error. So the codestream's own
size must equal the header's, and its end marker must be there. JPEG: ISO 10918-1 annex B; JPEG-LS: ISO 14495-1
annex C; JPEG 2000: ISO 15444-1 annex A.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError

_SOI, _SOS, _EOI = b"\xff\xd8", 0xDA, b"\xff\xd9"
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: SOF55, JPEG-LS
_SOC_SIZ, _SOT = b"\xff\x4f\xff\x51", b"\xff\x90"


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size, samples per pixel and bits per sample of a compressed frame; ``scheme`` is the SOF marker's low byte."""

    rows: int
    columns: int
    samples: int
    precision: int
    scheme: int = 0


def read_jpeg(frame: bytes) -> Codestream:
    """The frame header of a JPEG or JPEG-LS stream.

    Raises:
        InputError: decode_failed without a frame header or an end marker.
    """
    if not frame.startswith(_SOI):
        raise InputError("decode_failed", "the compressed image is no JPEG stream")
    found, at = None, 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = struct.unpack_from(">H", frame, at + 2)[0]
        if marker in _SOF and at + 10 <= len(frame):
            precision, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            found = Codestream(rows, columns, samples, precision, marker)
        if marker == _SOS:
            break
        at += 2 + max(length, 2)
    else:
        raise InputError("decode_failed", "the JPEG stream has no scan")
    if found is None:
        raise InputError("decode_failed", "the JPEG stream has no frame header")
    if frame.find(_EOI, at) < 0:  # cannot occur inside entropy-coded data: there 0xFF is followed by less than 0x80
        raise InputError("decode_failed", "the JPEG stream has no end marker; the image is cut")
    return found


def read_jpeg2000(frame: bytes) -> Codestream:
    """The SIZ marker segment of a JPEG 2000 codestream, its tile-parts followed to the end marker.

    Raises:
        InputError: decode_failed without SIZ or end marker, or when tile-parts do not fill the codestream.
    """
    if not frame.startswith(_SOC_SIZ) or len(frame) < 43:
        raise InputError("decode_failed", "the compressed image is no JPEG 2000 codestream")
    width, height, left, top = struct.unpack_from(">IIII", frame, 8)
    samples, depth = struct.unpack_from(">HB", frame, 40)
    _follow_tile_parts(frame)
    return Codestream(height - top, width - left, samples, (depth & 0x7F) + 1)


def _follow_tile_parts(frame: bytes) -> None:
    at = 2
    while at + 4 <= len(frame) and frame[at : at + 2] != _SOT:  # main header
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
    while frame[at : at + 2] == _SOT and at + 12 <= len(frame):
        length = struct.unpack_from(">I", frame, at + 6)[0]
        if length == 0:  # the last tile-part reaches to the end marker
            at = max(frame.rfind(_EOI), 0)
        else:
            at += max(length, 12)
    if frame[at : at + 2] != _EOI:
        raise InputError("decode_failed", "the JPEG 2000 codestream does not reach its end marker; the image is cut")


def require_whole(
    frame: bytes, decode: Callable[[bytes], npt.NDArray[np.generic]], decoded: npt.NDArray[np.generic]
) -> None:
    """Refuse a JPEG whose scan ends early although its end marker is there.

    libjpeg fills what is missing with the last value and reports nothing. A whole scan ignores bytes put before its
    end marker; a scan that still waits for data turns them into pixels.

    Raises:
        InputError: decode_failed.
    """
    end = frame.rfind(_EOI)
    try:
        again = decode(frame[:end] + bytes(range(1, 129)) + _EOI)
    except Exception as error:
        raise InputError("decode_failed", "the JPEG scan ends early; the image is cut") from error
    if not np.array_equal(decoded, again):
        raise InputError("decode_failed", "the JPEG scan ends early; the image is cut")
