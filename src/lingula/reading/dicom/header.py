"""What the header says, judged before a pixel is decoded: is this one radiograph of a human chest that we can read?"""

from __future__ import annotations

import re

from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lingula.errors import InputError, Notice
from lingula.reading.dicom.chest import MODALITIES, body_part_notices, judge_body_part, modality_notices, other_modality
from lingula.reading.dicom.decode import TRANSFER_SYNTAXES, is_encapsulated
from lingula.reading.dicom.elements import shown, text
from lingula.reading.dicom.image_module import ImageHeader
from lingula.reading.dicom.part10 import LONG_VRS, Envelope
from lingula.reading.limits import Limits

MINIMUM_SIDE = 32
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_REQUIRED = ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored",
             "PixelRepresentation")  # fmt: skip


def judge(dataset: Dataset, envelope: Envelope, limits: Limits) -> ImageHeader:
    """Refuse what is not one readable radiograph of a human chest.

    Args:
        dataset: the parsed elements, possibly only those before ``envelope.problem``, which is outranked only by a
            wrong kind of object.

    Raises:
        InputError: not_an_image, unsupported_modality, wrong_body_part, unsupported_transfer_syntax,
            unsupported_photometric, bad_header, pixel_mismatch, multiframe, image_bomb, image_too_small, or
            ``envelope.problem``.
    """
    _judge_kind(dataset, envelope)
    if envelope.transfer_syntax not in TRANSFER_SYNTAXES:
        name = shown(UID(envelope.transfer_syntax).name)
        raise InputError("unsupported_transfer_syntax", f"transfer syntax {name}", "Transcode it to a common one.")
    header, frames = read_image_header(dataset)
    promised = header.rows * header.columns * header.samples * frames
    held = len(pixel_element(dataset).value or b"")
    if envelope.problem and (is_encapsulated(envelope.transfer_syntax) or held < promised * header.bits_allocated // 8):
        raise envelope.problem
    if not is_encapsulated(envelope.transfer_syntax):
        _judge_length(pixel_element(dataset).value, promised * header.bits_allocated // 8, header, limits)
    elif promised > 3 * limits.pixels or header.rows * header.columns > limits.pixels:
        raise InputError("image_bomb", f"{header.rows} x {header.columns} pixels exceed {limits.pixels}")
    _judge_layout(header)
    if frames != 1:
        raise InputError("multiframe", f"{frames} frames; one radiograph is one frame")
    if min(header.rows, header.columns) < MINIMUM_SIDE:
        raise InputError("image_too_small", f"{header.rows} x {header.columns} pixels; a side needs {MINIMUM_SIDE}")
    judge_body_part(dataset)
    return header


def header_notices(dataset: Dataset) -> tuple[Notice, ...]:
    """modality_assumed, body_part_absent, body_part_conflict, burned_in_annotation, bad_charset."""
    notices = [*modality_notices(dataset), *body_part_notices(dataset)]
    if text(dataset, "BurnedInAnnotation").upper() == "YES":
        notices.append(Notice("burned_in_annotation", "The header says that text is burned into the picture."))
    charsets = [part for part in text(dataset, "SpecificCharacterSet").split("\\") if part]
    if any(part not in python_encoding for part in charsets):
        notices.append(Notice("bad_charset", "The header names an unknown character set; its text may be garbled."))
    return tuple(notices)


def pixel_element(dataset: Dataset) -> RawDataElement | DataElement:
    """Pixel Data as in the file, not converted.

    Raises:
        InputError: bad_header under a value representation that cannot hold them (PS3.5 section 7.1.2).
    """
    found = dataset.get_item("PixelData", keep_deferred=True)
    if found is None or found.VR not in (None, *LONG_VRS):
        raise InputError("bad_header", f"Pixel Data under the value representation {shown(str(found and found.VR))}")
    if not isinstance(found.value, (bytes, type(None))):
        raise InputError("bad_header", "Pixel Data are not bytes")
    return found


def _judge_kind(dataset: Dataset, envelope: Envelope) -> None:
    problem, modality = envelope.problem, text(dataset, "Modality").upper()
    if problem is None and modality not in MODALITIES and "PixelData" not in dataset and "Rows" not in dataset:
        raise InputError("not_an_image", f"no image in the file (modality {shown(modality) or 'not named'})")
    refused = other_modality(dataset, envelope.sop_class)
    if modality and refused:
        raise InputError("unsupported_modality", refused)
    if problem is not None and not envelope.pixels_cut:
        raise problem
    if "PixelData" not in dataset:
        if any(keyword not in dataset for keyword in _REQUIRED):
            raise InputError("truncated", "the file ends before its image is described")
        raise InputError("not_an_image", "the file has no Pixel Data")
    if refused:
        raise InputError("unsupported_modality", refused)


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """A single whole number >= 0; *bad_header* when it is missing without default, repeated, or no number."""
    if keyword not in dataset or text(dataset, keyword) == "":
        empty = keyword not in dataset or not dataset.get_item(keyword).value
        if default is not None and empty:
            return default
        raise InputError("bad_header", f"{keyword} is missing or unreadable")
    value = text(dataset, keyword)
    if not re.fullmatch(r"\d{1,12}", value, re.ASCII):
        raise InputError("bad_header", f"{keyword} {shown(value)!r} is not a whole number")
    return int(value)


def read_image_header(dataset: Dataset) -> tuple[ImageHeader, int]:
    bits_stored = _whole(dataset, "BitsStored")
    header = ImageHeader(
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        samples=_whole(dataset, "SamplesPerPixel"),
        photometric=text(dataset, "PhotometricInterpretation").upper(),
        bits_allocated=_whole(dataset, "BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=_whole(dataset, "HighBit", default=max(bits_stored - 1, 0)),
        signed=_whole(dataset, "PixelRepresentation") == 1,
        planar=_whole(dataset, "PlanarConfiguration", default=0) == 1,
    )
    return header, max(_whole(dataset, "NumberOfFrames", default=1), 1)


def _judge_length(value: bytes | None, promised: int, header: ImageHeader, limits: Limits) -> None:
    """Uncompressed Pixel Data must hold what the header promises, and nothing else but padding (PS3.5 8.1.1)."""
    value = value or b""
    held, row = len(value), max(header.columns * header.bits_allocated // 8, 2)
    header_itself_is_sound = header.samples in (1, 3) and header.bits_allocated in (8, 16, 32)
    if promised > 6 * limits.pixels:
        raise InputError("pixel_mismatch", f"the header promises {promised} bytes of pixels, the file holds {held}")
    excess = value[promised:]
    is_padding = len(excess) < row or excess.count(excess[:1]) == len(excess)
    if header_itself_is_sound and (held < promised or not is_padding):
        raise InputError("pixel_mismatch", f"the header promises {promised} bytes of pixels, the file holds {held}")


def _judge_layout(header: ImageHeader) -> None:
    if header.samples not in (1, 3):
        raise InputError("bad_header", f"SamplesPerPixel {header.samples}")
    if not header.photometric:
        raise InputError("bad_header", "PhotometricInterpretation is missing")
    if header.photometric not in _MONOCHROME | _COLOUR:
        raise InputError("unsupported_photometric", f"photometric interpretation {shown(header.photometric)}")
    if (header.photometric in _COLOUR) != (header.samples == 3):
        raise InputError("bad_header", f"{header.photometric} with {header.samples} samples per pixel")
    if header.bits_allocated not in (8, 16, 32) or (header.samples == 3 and header.bits_allocated == 32):
        raise InputError("bad_header", f"BitsAllocated {header.bits_allocated}")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise InputError("bad_header", f"BitsStored {header.bits_stored} of {header.bits_allocated} allocated")
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise InputError("bad_header", f"HighBit {header.high_bit} with BitsStored {header.bits_stored}")
