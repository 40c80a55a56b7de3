"""What the header says, judged before a pixel is decoded: is this one radiograph of a human chest that we can read?"""

from __future__ import annotations

import re
from typing import Any

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lingula.errors import InputError, Notice
from lingula.reading.dicom.decode import TRANSFER_SYNTAXES
from lingula.reading.dicom.image_module import ImageHeader
from lingula.reading.limits import Limits

MODALITIES = frozenset({"CR", "DX"})
MINIMUM_SIDE = 32
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_CHEST = re.compile(r"CHEST|THORA[XC]|TORAX|TORACE|LUNG|PULM|CXR|\bRIBS?\b|STERNUM|HEART|MEDIASTIN")
_NOT_A_PART = frozenset({"", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "OTHER", "NONE", "NA", "N/A", "BODY", "WHOLEBODY",
                         "TRUNK"})  # fmt: skip
_OTHER_PART = re.compile(
    r"\b(TEETH|TOOTH|DENTAL|JAW|MANDIBLE|SKULL|SINUS(ES)?|KNEES?|HIPS?|PELVIS|FOOT|FEET|ANKLES?|HANDS?|WRISTS?|ELBOWS?"
    r"|FEMUR|TIBIA|HUMERUS|SHOULDERS?|FINGERS?|TOES?|ABDOMEN|BREASTS?|MAMMO\w*|[CL]-?SPINE)\b"
)
_ANIMAL = re.compile(r"\b(CANINE|FELINE|EQUINE|BOVINE|OVINE|PORCINE|AVIAN|VETERINA\w*)\b")
_REQUIRED = ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored",
             "PixelRepresentation")  # fmt: skip
_DESCRIPTIONS = ("StudyDescription", "SeriesDescription", "ProtocolName")


def judge(dataset: Dataset, transfer_syntax: str, problem: InputError | None, limits: Limits) -> ImageHeader:
    """Refuse what is not one readable radiograph of a human chest.

    Args:
        dataset: the parsed elements, possibly only those before ``problem``.
        problem: what stopped the walk over the file; outranked only by a wrong kind of object.

    Raises:
        InputError: not_an_image, unsupported_modality, wrong_body_part, missing_uid, invalid_uid,
            unsupported_transfer_syntax, unsupported_photometric, bad_header, pixel_mismatch, multiframe, image_bomb,
            image_too_small, or ``problem``.
    """
    _judge_kind(dataset, problem)
    _judge_uids(dataset)
    if transfer_syntax not in TRANSFER_SYNTAXES:
        raise InputError("unsupported_transfer_syntax", f"transfer syntax {shown(UID(transfer_syntax).name)}")
    header, frames = _read_image_header(dataset)
    encapsulated = UID(transfer_syntax).is_encapsulated
    promised = header.rows * header.columns * header.samples * frames
    if not encapsulated:
        _judge_length(dataset, promised * header.bits_allocated // 8, header, limits)
    elif promised > 3 * limits.pixels or header.rows * header.columns > limits.pixels:
        raise InputError("image_bomb", f"{header.rows} x {header.columns} pixels exceed {limits.pixels}")
    _judge_layout(header)
    if frames != 1:
        raise InputError("multiframe", f"{frames} frames; one radiograph is one frame")
    if min(header.rows, header.columns) < MINIMUM_SIDE:
        raise InputError("image_too_small", f"{header.rows} x {header.columns} pixels; a side needs {MINIMUM_SIDE}")
    _judge_body_part(dataset)
    return header


def header_notices(dataset: Dataset) -> tuple[Notice, ...]:
    """body_part_absent, burned_in_annotation, bad_charset."""
    notices = []
    if _named_part(dataset) in _NOT_A_PART:
        notices.append(Notice("body_part_absent", "The header does not name the body part; a chest is assumed."))
    if text(dataset, "BurnedInAnnotation").upper() == "YES":
        notices.append(Notice("burned_in_annotation", "The header says that text is burned into the picture."))
    charsets = [part for part in text(dataset, "SpecificCharacterSet").split("\\") if part]
    if any(part not in python_encoding for part in charsets):
        notices.append(Notice("bad_charset", "The header names an unknown character set; its text may be garbled."))
    return tuple(notices)


def text(dataset: Dataset, keyword: str) -> str:
    """An element's value as text, values joined by a backslash as in the file; empty when absent or unreadable."""
    value = _value(dataset, keyword, default="")
    values = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join("" if part is None else str(part) for part in values).strip()


def shown(value: str, longest: int = 64) -> str:
    """Text from a file made safe to show: printable characters only, capped."""
    return "".join(char if char.isprintable() else "?" for char in value)[:longest]


def _value(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    try:
        value = dataset.get(keyword, default)
    except Exception:  # pydicom converts on access and raises whatever the damaged value makes it raise
        return default
    return default if value is None else value


def _judge_kind(dataset: Dataset, problem: InputError | None) -> None:
    modality = text(dataset, "Modality").upper()
    if problem is None and modality not in MODALITIES and "PixelData" not in dataset and "Rows" not in dataset:
        raise InputError("not_an_image", f"no image in the file (modality {shown(modality) or 'not named'})")
    if modality and modality not in MODALITIES:
        raise InputError("unsupported_modality", f"modality {shown(modality)}; only CR and DX are read")
    if problem is not None:
        raise problem
    if "PixelData" not in dataset:
        if any(keyword not in dataset for keyword in _REQUIRED):
            raise InputError("truncated", "the file ends before its image is described")
        raise InputError("not_an_image", "the file has no Pixel Data")
    if not modality:
        raise InputError("unsupported_modality", "the header does not name a modality; only CR and DX are read")


def _judge_uids(dataset: Dataset) -> None:
    """PS3.5 section 9.1, but leading zeros in a component are let pass: archives hold many of them."""
    if not text(dataset, "SOPInstanceUID"):
        raise InputError("missing_uid", "the header has no SOP Instance UID")
    for keyword in ("SOPInstanceUID", "StudyInstanceUID"):
        uid = text(dataset, keyword)
        if uid and (len(uid) > 64 or not re.fullmatch(r"\d+(\.\d+)*", uid, re.ASCII)):
            raise InputError("invalid_uid", f"{keyword} {shown(uid, 80)!r} is not a UID")


def _named_part(dataset: Dataset) -> str:
    part = text(dataset, "BodyPartExamined").upper()
    if part in _NOT_A_PART:
        region = _value(dataset, "AnatomicRegionSequence")
        part = text(region[0], "CodeMeaning").upper() if region else ""
    return part


def _judge_body_part(dataset: Dataset) -> None:
    part = _named_part(dataset)
    if part not in _NOT_A_PART and (not _CHEST.search(part) or ("SPINE" in part and "CHEST" not in part)):
        raise InputError("wrong_body_part", f"body part {shown(part)}; only the chest is read")
    described = " ".join(text(dataset, keyword) for keyword in _DESCRIPTIONS).upper()
    if part in _NOT_A_PART and not _CHEST.search(described) and (other := _OTHER_PART.search(described)):
        raise InputError("wrong_body_part", f"described as {shown(other[0])}; only the chest is read")
    species = text(dataset, "PatientSpeciesDescription").upper()
    animal = _ANIMAL.search(f"{described} {text(dataset, 'AcquisitionDeviceProcessingDescription')}".upper())
    if animal or species not in ("", "HUMAN", "HOMO SAPIENS"):
        named = shown(animal[0] if animal else species)
        raise InputError("wrong_body_part", f"an animal ({named}); only the human chest is read")


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


def _read_image_header(dataset: Dataset) -> tuple[ImageHeader, int]:
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


def _judge_length(dataset: Dataset, promised: int, header: ImageHeader, limits: Limits) -> None:
    """Uncompressed Pixel Data must hold what the header promises, and no further rows (PS3.5 section 8.1.1)."""
    value = dataset.get_item("PixelData").value
    held, row = len(value or b""), max(header.columns * header.bits_allocated // 8, 2)
    header_itself_is_sound = header.samples in (1, 3) and header.bits_allocated in (8, 16, 32)
    if promised > 6 * limits.pixels or (header_itself_is_sound and not promised <= held < promised + row):
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
