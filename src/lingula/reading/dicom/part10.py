"""The envelope of a DICOM file (PS3.10 section 7.1) and a walk over its elements (PS3.5 section 7) before any parser.

The walk reads tags and lengths only. It is iterative, so that nested sequences cost no stack, and every length is
checked against the bytes there are: what leaves here is complete up to ``dataset``'s end and no deeper than allowed.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from lingula.errors import InputError, Notice
from lingula.reading.dicom.frame import repaired
from lingula.reading.limits import Limits

EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
_UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)  # PS3.5 table 7.1-1
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BYTES, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_MEDIA_SOP_CLASS, _MEDIA_SOP_INSTANCE, _TRANSFER_SYNTAX = 0x00020002, 0x00020003, 0x00020010
_PIXEL_DATA = 0x7FE00010
_MAX_ELEMENTS = 200_000
_PREAMBLE_MAGICS = (b"MZ", b"\x7fELF", b"II*\0", b"MM\0*", b"%PDF", b"PK\x03\x04", b"GIF8", b"\x89PNG", b"\xff\xd8\xff",
                    b"#!", b"<")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Envelope:
    """A file opened but not parsed.

    Attributes:
        transfer_syntax: TransferSyntaxUID, or the guessed one where the file names none (``named`` is False then).
        sop_class, sop_instance: (0002,0002) and (0002,0003), empty where missing.
        dataset: bytes of the data set (inflated), up to the end of the last complete element or of Pixel Data.
        implicit, little: how those bytes are encoded.
        problem: why the walk stopped early, if it did; raised once the kind of the object has been judged.
        pixels_cut: Pixel Data claim more bytes than there are; ``dataset`` holds what is left of them.
        notices: no_part10_header, polyglot_preamble, encoding_repaired.
    """

    transfer_syntax: str
    named: bool
    sop_class: str
    sop_instance: str
    dataset: memoryview
    implicit: bool
    little: bool
    problem: InputError | None
    pixels_cut: bool
    notices: tuple[Notice, ...]


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes open a DICOM file, or a data set that lost its preamble."""
    return head[128:132] == b"DICM" or _opens_dataset(head)


def open_part10(data: bytes, limits: Limits) -> Envelope:
    """Find the transfer syntax and the data set, inflate it when deflated, and walk it.

    Raises:
        InputError: not_dicom, truncated, bad_header, decompression_bomb.
    """
    notices: list[Notice] = []
    if data[128:132] == b"DICM":
        start = 132
        if data.startswith(_PREAMBLE_MAGICS):
            notices.append(
                Notice("polyglot_preamble", "The file's preamble is that of another format; it was ignored.")
            )
    elif _opens_dataset(data[:132]):
        start = 0
        notices.append(Notice("no_part10_header", "The file has no DICOM preamble; it was read as a bare data set."))
    elif data[:2] == b"\0\x08" and _is_vr(data[4:6]):
        raise InputError("bad_header", "a big-endian data set without the header that would say so")
    else:
        raise InputError(
            "not_dicom", "no DICOM file: neither preamble nor data set", "Unpack it first if it is packed."
        )
    meta, start = _read_meta(data, start)
    named = transfer_syntax = meta.get(_TRANSFER_SYNTAX, "")
    body = memoryview(data)[start:]
    if transfer_syntax == DEFLATED:
        inflated, wrapped = _inflate(body, limits.inflated_bytes)
        body = memoryview(inflated)
        if wrapped:
            notices.append(repaired("the deflated data set has a zlib header"))
    little = transfer_syntax != EXPLICIT_BIG_ENDIAN
    implicit = not _is_vr(bytes(body[4:6]))  # some writers name one encoding and use the other
    if not transfer_syntax:
        transfer_syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    end, problem = walk(body, implicit, little, limits.sequence_depth)
    body, cut = _mended(body, end, problem, implicit, little)
    if cut is False:
        problem = None
        notices.append(repaired("the Pixel Data have no end"))
    sop = meta.get(_MEDIA_SOP_CLASS, ""), meta.get(_MEDIA_SOP_INSTANCE, "")
    return Envelope(transfer_syntax, bool(named), *sop, body, implicit, little, problem, bool(cut), tuple(notices))


def _mended(
    body: memoryview, end: int, problem: InputError | None, implicit: bool, little: bool
) -> tuple[memoryview, bool | None]:
    """The data set up to ``end``, with Pixel Data that stop short of their length or lack their delimiter.

    Returns:
        The bytes; and False where nothing but the delimiter was missing, True where a length was cut to what is there
        (whether that suffices is judged with the header), None where nothing was mended.
    """
    if problem is None or problem.code != "truncated" or len(body) - end < 12:
        return body[:end], None
    tag, length, content = _element(body, end, implicit, little)
    if tag != _PIXEL_DATA or content >= len(body):
        return body[:end], None
    if length != _UNDEFINED:
        field = struct.pack(("<" if little else ">") + "I", len(body) - content)
        return memoryview(bytes(body[: content - 4]) + field + bytes(body[content:])), True
    at = content
    while body[at : at + 4] == _ITEM_BYTES and at + 8 <= len(body):
        at += 8 + int(struct.unpack_from("<I", body, at + 4)[0])
    if at > len(body) or not _DELIMITER.startswith(bytes(body[at:])):
        return body[:end], None
    return memoryview(bytes(body[:at]) + _DELIMITER), False


def _is_vr(two: bytes) -> bool:
    return len(two) == 2 and b"AA" <= two <= b"ZZ" and two.isalpha()


def _opens_dataset(head: bytes) -> bool:
    """A little-endian element of group 0002 or 0008 with a low element number and a credible length."""
    if len(head) < 8:
        return False
    group, element = struct.unpack_from("<HH", head)
    length = struct.unpack_from("<I", head, 4)[0]
    return group in (2, 8) and element <= 0x0100 and (_is_vr(head[4:6]) or length <= 0xFFFF)


def _read_meta(data: bytes, start: int) -> tuple[dict[int, str], int]:
    """UIDs of the File Meta Information (always explicit little endian), and where the data set begins."""
    found: dict[int, str] = {}
    if start + 8 > len(data):
        raise InputError("truncated", "the file ends before its File Meta Information")
    while data[start : start + 2] == b"\2\0":
        element, length, content = _element(memoryview(data), start, implicit=False, little=True)
        if content + length > len(data):
            raise InputError("truncated", "the file ends inside its File Meta Information")
        value = data[content : content + length]
        if element == 0x00020000 and length == 4 and struct.unpack("<I", value)[0] > len(data):
            raise InputError("bad_header", "File Meta Information Group Length exceeds the file")
        if element in (_MEDIA_SOP_CLASS, _MEDIA_SOP_INSTANCE, _TRANSFER_SYNTAX):
            found[element] = value.decode("latin-1").strip("\0 ")
        start = content + length
    return found, start


def _inflate(body: memoryview, limit: int) -> tuple[bytes, bool]:
    """The data set, raw deflate (PS3.5 annex A.5) or, as some writers have it, inside zlib's header and checksum."""
    wrapped = len(body) > 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    for bits in (-zlib.MAX_WBITS, zlib.MAX_WBITS) if wrapped else (-zlib.MAX_WBITS,):
        inflater, problem = zlib.decompressobj(bits), None
        try:
            inflated = inflater.decompress(body, limit + 1)
        except zlib.error as error:
            problem = error
            continue
        break
    if problem is not None:
        raise InputError("bad_header", f"the deflated data set cannot be inflated: {problem}") from problem
    if len(inflated) > limit:
        raise InputError("decompression_bomb", f"the deflated data set exceeds {limit} bytes")
    if not inflater.eof:
        raise InputError("truncated", "the deflated data set ends early")
    return inflated, bits > 0


def _element(data: memoryview, at: int, implicit: bool, little: bool) -> tuple[int, int, int]:
    """Tag, value length and value offset of the element at ``at``; a short read is *truncated*."""
    order = "<" if little else ">"
    try:
        group, element = struct.unpack_from(order + "HH", data, at)
        vr = bytes(data[at + 4 : at + 6])
        if implicit or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
            return group << 16 | element, struct.unpack_from(order + "I", data, at + 4)[0], at + 8
        if vr.decode("latin-1") in LONG_VRS:
            return group << 16 | element, struct.unpack_from(order + "I", data, at + 8)[0], at + 12
        return group << 16 | element, struct.unpack_from(order + "H", data, at + 6)[0], at + 8
    except struct.error as error:
        raise InputError("truncated", f"the file ends inside an element's header at byte {at}") from error


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the walk is: elements, or (``items``) the items of ``tag``, up to ``end`` or to a delimiter (None)."""

    end: int | None
    implicit: bool
    items: bool = False
    fragments: bool = False
    tag: int = 0


def walk(data: memoryview, implicit: bool, little: bool, depth: int) -> tuple[int, InputError | None]:
    """Check every element's bounds and the depth of nesting.

    Returns:
        The end of the last complete top-level element (the walk stops after Pixel Data), and the reason for stopping
        early: *truncated*, *bad_header* or *nesting_too_deep*.
    """
    at = complete = 0
    stack = [_Level(len(data), implicit)]
    try:
        for _ in range(_MAX_ELEMENTS):
            level = stack[-1]
            if level.end is not None and at >= level.end:
                at = level.end
                stack.pop()
                if not stack:
                    return len(data), None
            else:
                at, pixels_done = _step(data, at, stack, little)
                if pixels_done:
                    return at, None
            if len(stack) == 1:
                complete = at
            if len(stack) // 2 > depth:  # a sequence adds a list of items and, inside one, a list of elements
                raise InputError("nesting_too_deep", f"sequences are nested more than {depth} deep")
    except InputError as problem:
        return complete, problem
    return complete, InputError("bad_header", f"more than {_MAX_ELEMENTS} elements")


def _step(data: memoryview, at: int, stack: list[_Level], little: bool) -> tuple[int, bool]:
    """Consume one element, item or delimiter; True once the top level's Pixel Data is complete."""
    level = stack[-1]
    explicit_vr = b"" if level.implicit else bytes(data[at + 4 : at + 6])
    tag, length, content = _element(data, at, level.implicit, little)
    if level.items:
        return _step_item(data, tag, length, content, stack)
    if tag in (_ITEM_END, _SEQUENCE_END):
        if tag == _ITEM_END and level.end is None:
            stack.pop()
        return content, False
    if tag >> 16 == 0:
        raise InputError("bad_header", f"a command element ({tag >> 16:04X},{tag & 0xFFFF:04X}) in a file")
    top_level = len(stack) == 1
    if length == _UNDEFINED:
        fragments = tag == _PIXEL_DATA or explicit_vr in (b"OB", b"OW")
        # A sequence of unknown VR is encoded as implicit little endian (PS3.5 section 6.2.2, note on UN).
        stack.append(_Level(None, level.implicit or explicit_vr == b"UN", items=True, fragments=fragments, tag=tag))
        return content, False
    end = content + length
    if end > len(data):
        left = len(data) - content
        raise InputError("truncated", f"({tag >> 16:04X},{tag & 0xFFFF:04X}) claims {length} bytes; {left} are left")
    if level.end is not None and end > level.end:
        return level.end, False  # a broken item inside a sequence of known length: nothing of it is read
    if explicit_vr == b"SQ":
        stack.append(_Level(end, level.implicit, items=True))
        return content, False
    return end, top_level and tag == _PIXEL_DATA


def _step_item(data: memoryview, tag: int, length: int, content: int, stack: list[_Level]) -> tuple[int, bool]:
    level = stack[-1]
    if tag == _SEQUENCE_END and level.end is None:
        stack.pop()
        return content, len(stack) == 1 and level.tag == _PIXEL_DATA
    if tag != _ITEM:
        if level.end is not None:
            return level.end, False
        raise InputError("bad_header", f"({tag >> 16:04X},{tag & 0xFFFF:04X}) where an item should begin")
    if length == _UNDEFINED and not level.fragments:
        stack.append(_Level(None, level.implicit))
        return content, False
    end = content + length
    if length == _UNDEFINED or end > len(data):
        raise InputError("truncated", f"an item claims {length} bytes; {len(data) - content} are left")
    if level.fragments:
        return end, False
    stack.append(_Level(end if level.end is None else min(end, level.end), level.implicit))
    return content, False
