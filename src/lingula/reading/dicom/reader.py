"""One DICOM file to one radiograph: open, judge, decode, render."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from lingula.errors import InputError, Notice
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.attributes import allowed
from lingula.reading.dicom.colour import CONVERTED, TOLERANCE, YBR_TO_RGB, grey_of
from lingula.reading.dicom.decode import Stored, decode
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.elements import shown, text
from lingula.reading.dicom.frame import guessed_syntax, repaired
from lingula.reading.dicom.header import header_notices, judge, pixel_element
from lingula.reading.dicom.identity import identify
from lingula.reading.dicom.image_module import ImageHeader
from lingula.reading.dicom.orientation import read_turn
from lingula.reading.dicom.part10 import Envelope, open_part10
from lingula.reading.dicom.pixels import display, square
from lingula.reading.dicom.rendering import read_rendering
from lingula.reading.limits import Limits
from lingula.study import Radiograph, unique_notices

SHOWN = ("Modality", "PhotometricInterpretation", "BitsStored", "Rows", "Columns", "ViewPosition", "BodyPartExamined",
         "Manufacturer", "ImagerPixelSpacing", "PixelSpacing")  # fmt: skip


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
        try:
            return _read(data, limits)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # pydicom converts on access and raises whatever a damaged value makes it raise
            raise InputError("bad_header", f"unreadable header ({type(error).__name__})") from error


def study_uid_of(data: bytes, limits: Limits) -> str:
    """What the header of a DICOM file gives as Study Instance UID, "" for nothing; pixels are not touched.

    Raises:
        InputError: any code of ``open_part10``; bad_header, nesting_too_deep.
    """
    return text(parse_envelope(open_part10(data, limits)), "StudyInstanceUID")


def _read(data: bytes, limits: Limits) -> DicomFile:
    envelope = open_part10(data, limits)
    dataset = parse_envelope(envelope)
    envelope = _with_syntax(envelope, dataset)
    header = judge(dataset, envelope, limits)
    notices = [*envelope.notices, *header_notices(dataset)]

    element = pixel_element(dataset)
    decoded = decode(
        element.value or b"",
        envelope.transfer_syntax,
        header,
        little=envelope.little,
        swapped_bytes=not envelope.little and element.VR == "OW",
    )
    stored = decoded.stored
    if envelope.pixels_cut:
        notices.append(repaired("the Pixel Data claim more bytes than there are"))
    if header.samples == 3:
        stored, colour_notices = _one_channel(stored, header)
        notices += colour_notices
    rendering, found = read_rendering(dataset, header)
    pixels, shown_notices = display(stored, rendering)
    turn, turn_notices = read_turn(text(dataset, "PatientOrientation"))
    digest = hashlib.sha256(data).hexdigest()
    identity = identify(dataset, envelope.sop_instance, digest)
    every = (*notices, *identity.notices, *decoded.notices, *found, *shown_notices, *turn_notices)
    radiograph = Radiograph(
        image_id=identity.image_id,
        pixels=turn.apply(square(pixels, rendering.aspect, limits.pixels)),
        decoder=decoded.decoder,
        attributes=_attributes(dataset, envelope.transfer_syntax),
        notices=unique_notices(every),
        digest=digest,
        birth_date=_date(text(dataset, "PatientBirthDate")),
        study_date=_date(text(dataset, "StudyDate")),
    )
    return DicomFile(radiograph, identity.study_uid, identity.patient)


def _with_syntax(envelope: Envelope, dataset: Dataset) -> Envelope:
    """The envelope with the transfer syntax that encapsulated pixels show, where the file names none."""
    if (
        envelope.named
        or "PixelData" not in dataset
        or not (guessed := guessed_syntax(pixel_element(dataset).value or b""))
    ):
        return envelope
    said = repaired("no transfer syntax is named; it was told by the pixels")
    return replace(envelope, transfer_syntax=guessed, notices=(*envelope.notices, said))


def parse_envelope(envelope: Envelope) -> Dataset:
    """The data set of an opened file; its elements are converted when they are asked for.

    Raises:
        InputError: bad_header, nesting_too_deep, or what stopped the walk over its elements.
    """
    try:
        return read_dataset(BytesIO(envelope.dataset), envelope.implicit, envelope.little)
    except RecursionError as error:
        raise InputError("nesting_too_deep", "the sequences of the file are nested too deep") from error
    except MemoryError:
        raise
    except Exception as error:  # pydicom lets through whatever a damaged value makes it raise
        raise envelope.problem or InputError("bad_header", f"unreadable header ({type(error).__name__})") from error


def _one_channel(stored: Stored, header: ImageHeader) -> tuple[Stored, tuple[Notice, ...]]:
    """Grey of a picture in three channels; *unsupported_photometric* for true colour."""
    if header.photometric.startswith("YBR_FULL") and header.bits_stored == 8 and not _is_rgb(stored):
        if np.abs(stored[..., 1:].astype(np.int32) - 128).max() <= TOLERANCE:
            return np.ascontiguousarray(stored[..., 0]), (CONVERTED,)
        red = YBR_TO_RGB @ (stored.astype(np.float32) - (0, 128, 128)).reshape(-1, 3).T
        stored = red.T.reshape(stored.shape).round().clip(0, 255).astype(np.uint8)
    return grey_of(stored, header.bits_stored)


def _is_rgb(stored: Stored) -> bool:
    """Whether decoding has turned YBR into RGB already: a grey picture has no chroma of 128 throughout then."""
    return bool((stored[..., 1] == stored[..., 0]).all())


def _attributes(dataset: Dataset, transfer_syntax: str) -> tuple[tuple[str, str], ...]:
    pairs = [(keyword, allowed(keyword, text(dataset, keyword))) for keyword in SHOWN]
    pairs.append(("TransferSyntaxUID", shown(UID(transfer_syntax).name, 96)))
    return tuple((keyword, value) for keyword, value in pairs if value)


def _date(value: str) -> str:
    return value if re.fullmatch(r"\d{8}", value, re.ASCII) else ""
