"""One DICOM file to one radiograph: open, judge, decode, render."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.attributes import allowed
from lingula.reading.dicom.decode import Stored, decode
from lingula.reading.dicom.header import header_notices, judge, shown, text
from lingula.reading.dicom.image_module import ImageHeader
from lingula.reading.dicom.part10 import Envelope, open_part10
from lingula.reading.dicom.pixels import display, square
from lingula.reading.dicom.rendering import read_rendering
from lingula.reading.limits import Limits
from lingula.study import Radiograph, unique_notices

SHOWN = ("Modality", "PhotometricInterpretation", "BitsStored", "Rows", "Columns", "ViewPosition", "BodyPartExamined",
         "Manufacturer")  # fmt: skip
_EQUAL_CHANNELS = 2  # of 255: what a JPEG's colour transform leaves between the channels of a grey picture


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A radiograph and the Study Instance UID it was filed under ("" when the header has none)."""

    radiograph: Radiograph
    study_uid: str


def read_dicom(path: Path, limits: Limits | None = None) -> Radiograph:
    """Read a DICOM radiograph of the chest (see ``read_dicom_file``)."""
    return read_dicom_file(path, limits).radiograph


def read_dicom_file(path: Path, limits: Limits | None = None) -> DicomFile:
    """Read a DICOM radiograph of the chest and its Study Instance UID.

    Hostile files belong in a child process: see ``lingula.reading.sandbox``.

    Raises:
        InputError: any code of ``open_part10``, ``judge`` and ``decode``; also not_found, empty_file, too_large.
    """
    limits = limits or Limits()
    data = read_file(path, limits.file_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is judged here
        return _read(data, limits)


def study_uid_of(data: bytes, limits: Limits) -> str:
    """What the header of a DICOM file gives as Study Instance UID, "" for nothing; pixels are not touched.

    Raises:
        InputError: any code of ``open_part10``; bad_header, nesting_too_deep.
    """
    return text(_parse(open_part10(data, limits)), "StudyInstanceUID")


def _read(data: bytes, limits: Limits) -> DicomFile:
    envelope = open_part10(data, limits)
    dataset = _parse(envelope)
    header = judge(dataset, envelope.transfer_syntax, envelope.problem, limits)
    notices = [*envelope.notices, *header_notices(dataset)]

    element = dataset.get_item("PixelData")  # as in the file: a wrong VR does not matter
    value = b"" if element.value is None else element.value
    if not isinstance(value, bytes):
        raise InputError("bad_header", "Pixel Data are not bytes")
    stored, decoder = decode(
        value,
        envelope.transfer_syntax,
        header,
        little=envelope.little,
        swapped_bytes=not envelope.little and element.VR == "OW",
    )
    if header.samples == 3:
        stored = _one_channel(stored, header)
        notices.append(Notice("rgb_converted", "A colour picture with equal channels was read as grey."))
    rendering, found = read_rendering(dataset, header)
    pixels, shown_notices = display(stored, rendering)
    radiograph = Radiograph(
        image_id=text(dataset, "SOPInstanceUID"),
        pixels=square(pixels, rendering.aspect, limits.pixels),
        decoder=decoder,
        attributes=_attributes(dataset, envelope.transfer_syntax),
        notices=unique_notices([*notices, *found, *shown_notices]),
        digest=hashlib.sha256(data).hexdigest(),
        birth_date=_date(text(dataset, "PatientBirthDate")),
        study_date=_date(text(dataset, "StudyDate")),
    )
    return DicomFile(radiograph, text(dataset, "StudyInstanceUID"))


def _parse(envelope: Envelope) -> Dataset:
    try:
        return read_dataset(BytesIO(envelope.dataset), envelope.implicit, envelope.little)
    except RecursionError as error:
        raise InputError("nesting_too_deep", "the sequences of the file are nested too deep") from error
    except MemoryError:
        raise
    except Exception as error:  # pydicom lets through whatever a damaged value makes it raise
        raise envelope.problem or InputError("bad_header", f"unreadable header ({type(error).__name__})") from error


def _one_channel(stored: Stored, header: ImageHeader) -> Stored:
    """Grey of a picture whose channels are equal; *unsupported_photometric* for true colour."""
    tolerance = _EQUAL_CHANNELS << (header.bits_stored - 8) if header.bits_stored > 8 else _EQUAL_CHANNELS
    if header.photometric.startswith("YBR_FULL") and header.bits_stored == 8 and not _is_rgb(stored):
        away = np.abs(stored[..., 1:].astype(np.int32) - 128).max()
    else:
        away = np.abs(stored.astype(np.int32) - stored[..., :1].astype(np.int32)).max()
    if away > tolerance:
        raise InputError("unsupported_photometric", "a colour picture; radiographs are grey")
    return np.ascontiguousarray(stored[..., 0])


def _is_rgb(stored: Stored) -> bool:
    """Whether decoding has turned YBR into RGB already: a grey picture has no chroma of 128 throughout then."""
    return bool((stored[..., 1] == stored[..., 0]).all())


def _attributes(dataset: Dataset, transfer_syntax: str) -> tuple[tuple[str, str], ...]:
    pairs = [(keyword, allowed(keyword, text(dataset, keyword))) for keyword in SHOWN]
    pairs.append(("TransferSyntaxUID", shown(UID(transfer_syntax).name, 96)))
    return tuple((keyword, value) for keyword, value in pairs if value)


def _date(value: str) -> str:
    return value if re.fullmatch(r"\d{8}", value, re.ASCII) else ""
