"""Films that are no files: bytes, file objects, arrays, tensors, pictures of Pillow, pydicom datasets."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.identity import film_id
from lingula.reading.limits import Limits
from lingula.reading.picture import MINIMUM_SIDE, grey_of_array, grey_of_image
from lingula.study import Radiograph
from lingula.types import FilePath

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom.dataset import Dataset


@runtime_checkable
class Readable(Protocol):
    """A binary file that is open."""

    def read(self, size: int = ..., /) -> bytes: ...


@runtime_checkable
class ArrayLike(Protocol):
    """A numpy array, a tensor, or what else gives one."""

    def __array__(self) -> npt.NDArray[Any]: ...


Film: TypeAlias = "FilePath | bytes | Readable | ArrayLike | Image | Dataset"
"""What ``read_study`` takes for a film."""


def content_of(given: object, limits: Limits) -> Path | bytes | DicomFile:
    """What was given for a film: a file, the bytes of one, or a film that needs no decoding.

    Raises:
        InputError: too_large; bad_request for an array of another type, shape or range, or an object of no kind known.
    """
    if isinstance(given, (str, os.PathLike)):
        return Path(given)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if _is_dataset(given):
        return _dataset_bytes(given)
    if _is_picture(given):
        pixels, bits, notices = grey_of_image(given)  # type: ignore[arg-type]
        return _film(pixels, bits, "pillow image", notices, limits)
    if isinstance(given, Readable) and not isinstance(given, np.ndarray):
        data = given.read(limits.file_bytes + 1)
        if len(data) > limits.file_bytes:
            raise InputError("too_large", f"a file exceeds {limits.file_bytes} bytes.")
        return data
    if (array := _array(given)) is not None:
        pixels, bits, notices = grey_of_array(_checked(array))
        return _film(pixels, bits, "array", notices, limits)
    raise InputError(
        "bad_request",
        f"{type(given).__name__} is no film.",
        "Give a path, bytes, an open file, an array, a tensor, a Pillow image or a pydicom dataset.",
    )


def _is_dataset(given: object) -> bool:
    return hasattr(given, "save_as") and any(kind.__module__ == "pydicom.dataset" for kind in type(given).__mro__)


def _is_picture(given: object) -> bool:
    return any(kind.__module__ == "PIL.Image" for kind in type(given).__mro__)


def _array(given: object) -> npt.NDArray[Any] | None:
    """An array, also of a tensor that holds a gradient or lies on a device."""
    for step in ("detach", "cpu"):
        given = getattr(given, step)() if hasattr(given, step) else given
    if hasattr(given, "numpy") and not isinstance(given, np.ndarray):
        given = given.numpy()
    return np.asarray(given) if isinstance(given, ArrayLike) else None


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(rows, columns) or (rows, columns, 3) of 8 or 16 bits without sign, or of numbers in [0, 1].

    Raises:
        InputError: bad_request, naming what was given.
    """
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == 3):
        raise InputError(
            "bad_request",
            f"an array of shape {array.shape} is no film.",
            "Give one film: (rows, columns), or with 3 colours.",
        )
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind != "f":
        hint = "Convert it to uint8 or uint16, or to numbers in [0, 1], dense tissue bright."
        raise InputError("bad_request", f"an array of {array.dtype} does not say its range.", hint)
    low, high = float(np.min(array)), float(np.max(array))
    if not 0 <= low <= high <= 1:  # NaN too
        hint = "Scale it: (values - least) / (most - least), dense tissue bright."
        raise InputError("bad_request", f"an array of {low:g} to {high:g}; numbers must lie in [0, 1].", hint)
    return array


def _film(
    pixels: npt.NDArray[np.float32], bits: int, source: str, notices: tuple[Notice, ...], limits: Limits
) -> DicomFile:
    rows, columns = pixels.shape
    if rows * columns > limits.pixels:
        raise InputError("image_bomb", f"{rows} x {columns} pixels exceed {limits.pixels}")
    if min(rows, columns) < MINIMUM_SIDE:
        raise InputError("image_too_small", f"{rows} x {columns} pixels; a side needs {MINIMUM_SIDE}")
    if pixels.min() == pixels.max():
        notices = (*notices, Notice("blank_image", "The picture is blank."))
    shape = np.array(pixels.shape, dtype="<i8").tobytes()
    digest = hashlib.sha256(shape + pixels.astype("<f4", copy=False).tobytes()).hexdigest()
    facts = (("Rows", str(rows)), ("Columns", str(columns)), ("BitsStored", str(bits)))
    film = Radiograph(
        image_id=film_id(digest), pixels=pixels, decoder=source, attributes=facts, notices=notices, digest=digest
    )
    return DicomFile(film, "")


def _dataset_bytes(dataset: Any) -> bytes:
    """A pydicom dataset as the file it would be; Explicit VR Little Endian where it names no transfer syntax."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    stream = io.BytesIO()
    meta = getattr(dataset, "file_meta", None)
    try:
        if meta is None or "TransferSyntaxUID" not in meta:
            dataset = dataset.copy()
            dataset.file_meta = FileMetaDataset() if meta is None else meta
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(stream, enforce_file_format=True)
    except Exception as error:  # pydicom raises what it likes for what cannot be written
        raise InputError("bad_header", f"the dataset cannot be written as a file ({error}).") from error
    return stream.getvalue()
