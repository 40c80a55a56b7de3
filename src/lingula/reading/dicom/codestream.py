"""What a compressed image says of itself, read from its markers before a decoder sees it.

Decoders return grey-filled half images, or take gigabytes for a false size, without an error. So the codestream's own
size must equal the header's, and all of its image must be there; an end marker alone may be missing. JPEG: ISO 10918-1
annex B; JPEG-LS: ISO 14495-1 annex C; JPEG 2000: ISO 15444-1 annex A; JPEG XL: ISO 18181-1 annex A, 18181-2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError

_SOI, _SOS, _EOI = b"\xff\xd8", 0xDA, b"\xff\xd9"
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: SOF55, JPEG-LS
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xF7})
_SOC_SIZ, _SOT = b"\xff\x4f\xff\x51", b"\xff\x90"
_JP2_BOX, JXL, JXL_BOX = b"\0\0\0\x0cjP  ", b"\xff\x0a", b"\0\0\0\x0cJXL "
Scheme = Literal["jpeg", "jpeg2000", "jpegxl"]
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # none of these follows 0xFF inside entropy-coded data


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a compressed frame says of itself.

    Attributes:
        samples: per pixel; 0 where the header does not say it plainly (JPEG XL).
        precision: bits per sample; 0 as above.
        marker: the SOF marker's low byte (JPEG, JPEG-LS).
        end: offset behind the end marker; None where there is none.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    marker: int = 0
    end: int | None = None


def scheme_of(frame: bytes) -> Scheme | None:
    """How a frame is compressed, by its first bytes (JPEG-LS is *jpeg*); None for raw or run-length coded pixels."""
    if frame.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if frame.startswith((_SOC_SIZ, _JP2_BOX)):
        return "jpeg2000"
    return "jpegxl" if frame.startswith((JXL, JXL_BOX)) else None


def read_jpeg(frame: bytes) -> Codestream:
    """The frame header of a JPEG or JPEG-LS stream.

    Raises:
        InputError: decode_failed without a frame header or a scan; without an end marker where more scans may be
            missing with it (progressive, or one scan per component).
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
    end = _end_of_scans(frame, at)
    if end is None and not (found.marker in _SEQUENTIAL and frame[at + 4 : at + 5] == bytes([found.samples])):
        raise InputError("decode_failed", "the JPEG stream has no end marker; the image is cut")
    return replace(found, end=end)


def _end_of_scans(frame: bytes, at: int) -> int | None:
    """Where the end marker ends that follows the scan at ``at`` and any further ones."""
    while at + 4 <= len(frame):
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
        found = _MARKER.search(frame, at)
        if found is None:
            return None
        if found[0] == _EOI:
            return found.end()
        at = found.start()
    return None


def read_jpeg2000(frame: bytes) -> Codestream:
    """The SIZ marker segment of a JPEG 2000 codestream, its tile-parts followed to the end marker.

    Raises:
        InputError: decode_failed without SIZ, when tile-parts do not fill the codestream, or a tile is missing.
    """
    if not frame.startswith(_SOC_SIZ) or len(frame) < 43:
        raise InputError("decode_failed", "the compressed image is no JPEG 2000 codestream")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8I", frame, 8)
    samples, depth = struct.unpack_from(">HB", frame, 40)
    tiles = -(-(width - tile_left) // max(tile_width, 1)) * -(-(height - tile_top) // max(tile_height, 1))
    end = _follow_tile_parts(frame, tiles)
    return Codestream(height - top, width - left, samples, (depth & 0x7F) + 1, end=end)


def _follow_tile_parts(frame: bytes, tiles: int) -> int | None:
    """Where the end marker ends; None where the codestream ends behind its last tile-part, without a marker."""
    at = 2
    parts: dict[int, tuple[int, int]] = {}  # tile: its parts met, and how many it has, 0 where it does not say
    while at + 4 <= len(frame) and frame[at : at + 2] != _SOT:  # main header
        at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)
    while frame[at : at + 2] == _SOT and at + 12 <= len(frame):
        tile, length, _, of = struct.unpack_from(">HIBB", frame, at + 4)
        parts[tile] = (parts[tile][0] + 1 if tile in parts else 1, of or parts.get(tile, (0, 0))[1])
        if length == 0:  # the last tile-part reaches to the end marker
            at = max(frame.rfind(_EOI), 0)
        else:
            at += max(length, 12)
    ends = frame[at : at + 2] == _EOI
    whole = len(parts) == tiles and all(count >= of for count, of in parts.values())
    if not whole or not (ends or (frame[at:] in (b"", b"\0", b"\xff", b"\xff\0") and at <= len(frame))):
        raise InputError("decode_failed", "the JPEG 2000 codestream does not reach its end; the image is cut")
    return at + 2 if ends else None


def read_jpegxl(frame: bytes) -> Codestream:
    """Size of a JPEG XL image, bare or in its container (ISO 18181-1 annex A: SizeHeader).

    Raises:
        InputError: decode_failed.
    """
    start = 0
    if frame.startswith(JXL_BOX):
        at = frame.find(b"jxlc", 12)
        partial = frame.find(b"jxlp", 12)
        start = at + 4 if at >= 0 and (partial < 0 or at < partial) else partial + 8 if partial >= 0 else len(frame)
    if frame[start : start + 2] != JXL:
        raise InputError("decode_failed", "the compressed image is no JPEG XL codestream")
    bits = int.from_bytes(frame[start + 2 : start + 18].ljust(16, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(small: int) -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = take(1)
    rows, ratio = side(small), take(3)
    top, bottom = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return Codestream(rows, side(small) if ratio == 0 else rows * top // bottom, 0, 0, end=len(frame))


def closed(frame: bytes) -> bytes:
    """A frame with the end marker that it lacks (JPEG, JPEG-LS and JPEG 2000 share it), of which half may be there."""
    return frame.removesuffix(b"\0").removesuffix(b"\xff") + _EOI


def require_whole(
    frame: bytes,
    end: int | None,
    decode: Callable[[bytes], npt.NDArray[np.generic]],
    decoded: npt.NDArray[np.generic],
) -> None:
    """Refuse a JPEG whose scan ends early, whether or not an end marker stands at ``end``.

    libjpeg fills what is missing with the last value and reports nothing. A whole scan ignores bytes put before its
    end marker; a scan that still waits for data turns them into pixels.

    Raises:
        InputError: decode_failed.
    """
    try:
        again = decode(frame[: len(frame) if end is None else end - 2] + bytes(range(1, 129)) + _EOI)
    except Exception as error:
        raise InputError("decode_failed", "the JPEG scan ends early; the image is cut") from error
    if not np.array_equal(decoded, again):
        raise InputError("decode_failed", "the JPEG scan ends early; the image is cut")
