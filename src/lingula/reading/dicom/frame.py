"""The one frame inside Pixel Data: native samples or a compressed codestream, as declared or as found (PS3.5 A.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lingula.errors import InputError, Notice
from lingula.reading.dicom.codestream import read_jpeg, scheme_of

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_JPEG_2000_LOSSLESS, _JPEG_XL, _RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.5"
_BY_MARKER = {0xC0: 50, 0xC1: 51, 0xC2: 51, 0xC3: 70, 0xF7: 80}  # SOF marker: last part of 1.2.840.10008.1.2.4.*


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes of one frame, whether they are native samples, and what was odd about how they were packed."""

    data: bytes
    is_native: bool
    notices: tuple[Notice, ...] = ()


def repaired(what: str) -> Notice:
    return Notice("encoding_repaired", f"The file breaks the Standard without harm: {what}. It was read all the same.")


def fragments_of(value: bytes) -> list[bytes] | None:
    """The items of encapsulated Pixel Data, the Basic Offset Table among them; None where it is not made of items."""
    at, found = 0, []
    while value[at : at + 4] == _ITEM and at + 8 <= len(value):
        length = struct.unpack_from("<I", value, at + 4)[0]
        if at + 8 + length > len(value):
            return None
        found.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    rest = value[at:]
    return found if found and (not rest.strip(b"\0") or rest.startswith(_SEQUENCE_END)) else None


def open_frame(value: bytes, *, encapsulated: bool, promised: int) -> Frame:
    """Take the frame out of the value of Pixel Data.

    Args:
        encapsulated: as the transfer syntax says. promised: bytes of native pixels by the header.

    Raises:
        InputError: pixel_mismatch for fragments under a native transfer syntax, for empty fragments, and for a value
            that is neither fragments, nor a codestream, nor native pixels.
    """
    fragments = fragments_of(value)
    if not encapsulated:
        if fragments:
            message = "the pixels are encapsulated, the transfer syntax says that they are not"
            raise InputError("pixel_mismatch", message, "Export it again with the transfer syntax that it has.")
        return Frame(value, True)
    if fragments is not None:
        without_table = scheme_of(fragments[0]) is not None
        frame = b"".join(fragments if without_table else fragments[1:])
        if not frame:
            raise InputError("pixel_mismatch", "the encapsulated Pixel Data is empty")
        return Frame(frame, False, (repaired("there is no Basic Offset Table"),) if without_table else ())
    if scheme_of(value):
        return Frame(value, False, (repaired("compressed pixels are not encapsulated"),))
    if promised <= len(value) <= promised + 1:
        return Frame(value, True, (repaired("a compression is declared, the pixels are not compressed"),))
    raise InputError("pixel_mismatch", "the transfer syntax names a compression, the Pixel Data hold no such frame")


def guessed_syntax(value: bytes) -> str:
    """The transfer syntax that encapsulated Pixel Data speak of themselves; empty for native ones.

    Raises:
        InputError: bad_header where fragments hold nothing known.
    """
    fragments = fragments_of(value) or ([b"", value] if scheme_of(value) else None)
    if not fragments:
        return ""
    frame = b"".join(fragments if scheme_of(fragments[0]) else fragments[1:])
    match scheme_of(frame):
        case "jpeg":
            return f"1.2.840.10008.1.2.4.{_BY_MARKER.get(read_jpeg(frame).marker, 50)}"
        case "jpeg2000":
            return _JPEG_2000_LOSSLESS
        case "jpegxl":
            return _JPEG_XL
    if len(frame) >= 64 and 1 <= frame[0] <= 15 and frame[1:8] == b"\0\0\0\x40\0\0\0":
        return _RLE
    raise InputError("bad_header", "no transfer syntax is named, and the encapsulated pixels do not show theirs")
