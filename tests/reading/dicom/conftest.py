"""DICOM files made for one test: a chest radiograph with every element that matters, then changed by the test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

WriteDicom = Callable[..., Path]


@pytest.fixture
def write_dicom(tmp_path: Path) -> WriteDicom:
    """``write(stored, encapsulated=None, transfer_syntax=..., drop=(), **elements)`` writes a file and names it."""

    def write(
        stored: np.ndarray,
        *,
        value: bytes | None = None,
        transfer_syntax: str = ExplicitVRLittleEndian,
        drop: tuple[str, ...] = (),
        **elements: Any,
    ) -> Path:
        dataset = chest(stored)
        if value is not None:
            dataset.PixelData = value
        for keyword, element in elements.items():
            setattr(dataset, keyword, element)
        for keyword in drop:
            delattr(dataset, keyword)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.dcm"
        path.write_bytes(as_bytes(dataset, transfer_syntax))
        return path

    return write


def chest(stored: np.ndarray) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.StudyDate = "20200131"
    dataset.PatientBirthDate = "19500615"
    dataset.Modality = "DX"
    dataset.BodyPartExamined = "CHEST"
    dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = 8 * stored.itemsize
    dataset.HighBit = 8 * stored.itemsize - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    return dataset


def as_bytes(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    is_known = transfer_syntax in UID_dictionary
    dataset.file_meta.TransferSyntaxUID = transfer_syntax if is_known else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    if dataset.PixelData.startswith(b"\xfe\xff\0\xe0"):
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue() if is_known else with_syntax(buffer.getvalue(), transfer_syntax)


def with_syntax(data: bytes, uid: str) -> bytes:
    """The file with another Transfer Syntax UID, none if empty."""
    at = data.index(b"\2\0\x10\0UI")
    end = at + 8 + struct.unpack_from("<H", data, at + 6)[0]
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    element = b"\2\0\x10\0UI" + struct.pack("<H", len(padded)) + padded if uid else b""
    group = data.index(b"\2\0\0\0UL\4\0") + 8
    length = struct.unpack_from("<I", data, group)[0] + len(element) - (end - at)
    return data[:group] + struct.pack("<I", length) + data[group + 4 : at] + element + data[end:]


@pytest.fixture
def ramp() -> np.ndarray:
    """(40, 48) uint16 of 12 bits: every row and column differs, so that a transposition or a shift shows."""
    rows, columns = np.mgrid[:40, :48]
    return ((rows * 97 + columns * 13) % 4096).astype(np.uint16)
