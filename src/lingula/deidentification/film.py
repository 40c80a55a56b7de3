"""One DICOM object de-identified, in a child process with limited memory and time, as every reader works."""

from __future__ import annotations

import base64
import re
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, JPEGLSNearLossless

from lingula.deidentification.burned_text import Grey, cover_text
from lingula.deidentification.header import Deidentifier
from lingula.deidentification.profile import Option
from lingula.errors import InputError
from lingula.reading.bounded_io import read_file, read_head
from lingula.reading.dicom.decode import decode
from lingula.reading.dicom.header import read_image_header
from lingula.reading.dicom.identifiers import identifiers
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.limits import Limits
from lingula.reading.sandbox import ReadingChild, receive_header, serve_answers

LIMITS = replace(Limits(), memory_bytes=2 << 30, seconds=180.0)
"""Reading a large film for text takes more of both than decoding it."""
_MOST_ANSWER = 4 << 20
_JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
_UID = re.compile(r"\d[\d.]{0,63}")


@dataclass(frozen=True, slots=True)
class CleanedFilm:
    """What was done to one object.

    Attributes:
        study, instance: its new identifiers; empty where it has none. names: what its header said of persons.
        actions: attributes changed, by what was done. covered: places of text; ``touched`` share of the pixels.
        unread: 1 where its pixels were not looked through. failure: code and message where nothing was written.
    """

    study: str = ""
    instance: str = ""
    names: tuple[str, ...] = ()
    actions: tuple[tuple[str, int], ...] = ()
    covered: int = 0
    touched: float = 0.0
    unread: int = 0
    failure: tuple[str, str] | None = None


class FilmChild:
    """A child that de-identifies films, one after the other; use in a ``with`` statement.

    Args:
        secret, options: of ``Deidentifier``. pixels: look for burned-in text.
    """

    def __init__(self, secret: bytes, options: tuple[Option, ...], *, pixels: bool) -> None:
        self._request = {"secret": base64.b64encode(secret).decode(), "options": options, "pixels": pixels}
        self._child = ReadingChild(LIMITS, module="lingula.deidentification.film")

    def __enter__(self) -> FilmChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._child.stop()

    def film(self, file: Path, target: Path) -> CleanedFilm:
        """Write a de-identified copy to ``target``; names are told though the object is refused.

        Raises:
            InputError: ``too_large``, ``not_dicom``, any code of the reader, ``burned_in_annotation``,
                ``text_reader_missing``; ``decode_timeout``, ``decode_failed`` where the child did not come through.
        """
        request = {**self._request, "file": str(file.absolute()), "target": str(target.absolute())}
        return self._child.ask(request, _received)


def _received(pipe: IO[bytes]) -> CleanedFilm:
    """The child's answer, of which nothing is trusted."""
    told, _ = receive_header(pipe, LIMITS, _MOST_ANSWER)
    failure = told["failure"]
    return CleanedFilm(
        study=_uid(told["study"]),
        instance=_uid(told["instance"]),
        names=tuple(map(str, told["names"])),
        actions=tuple((str(what), int(count)) for what, count in told["actions"]),
        covered=int(told["covered"]),
        touched=float(told["touched"]),
        unread=int(told["unread"]),
        failure=None if failure is None else (str(failure[0]), str(failure[1])),
    )


def _uid(value: object) -> str:
    return value if isinstance(value, str) and _UID.fullmatch(value) else ""


def clean_film(file: Path, target: Path, deidentifier: Deidentifier, *, pixels: bool) -> CleanedFilm:
    """Write a de-identified copy of one object.

    Raises:
        InputError: as ``FilmChild.film``, where nothing of its header is known.
    """
    if read_head(file, 132)[128:] != b"DICM":
        raise InputError("not_dicom", "no DICOM file and no text.", "Pictures are given as DICOM.")
    open_part10(read_file(file, LIMITS.file_bytes), LIMITS)  # refuses what would not end when it is unpacked
    names: tuple[str, ...] = ()
    try:
        dataset = dcmread(file)
        names = tuple(identifiers(dataset))
        seen = _cover(dataset) if pixels else CleanedFilm(unread=int("PixelData" in dataset))
        actions = deidentifier.header(dataset, pixels_cleaned="PixelData" in dataset and not seen.unread)
        dataset.save_as(target, enforce_file_format=True)
    except InputError as error:
        if error.code == "text_reader_missing":
            raise
        return CleanedFilm(names=names, failure=(error.code, error.message))
    except OSError:
        raise
    except Exception as error:  # pydicom raises what it likes on files that are no good
        message = f"the file cannot be read or written ({type(error).__name__})."
        return CleanedFilm(names=names, failure=("bad_header", message))
    return replace(
        seen, study=str(dataset.get("StudyInstanceUID", "")), instance=str(dataset.get("SOPInstanceUID", "")),
        names=names, actions=tuple(actions.items()),
    )  # fmt: skip


def _cover(dataset: FileDataset) -> CleanedFilm:
    """Cover what is written in the picture, until nothing is read any more."""
    if "PixelData" not in dataset:
        return CleanedFilm()
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        return CleanedFilm(unread=1)
    values, touched = _stored(dataset), 0.0
    covered, boxes, is_clean = cover_text(values, _shown)
    if boxes:
        changed = (covered != values) if values.ndim == 2 else (covered != values).any(-1)
        touched = float(changed.mean())
        _replace_pixels(dataset, covered)
    if not is_clean:
        raise InputError("burned_in_annotation", "text in the picture is still read after it was covered.")
    return CleanedFilm(covered=len(boxes), touched=touched)


def _stored(dataset: FileDataset) -> npt.NDArray[np.generic]:
    """Stored values of a film, decoded as everywhere; of a picture in colours, as pydicom does where it can."""
    if int(dataset.Rows) * int(dataset.Columns) > LIMITS.pixels:
        raise InputError("image_bomb", "the picture is too large.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if int(dataset.get("SamplesPerPixel", 1)) != 1 and syntax not in _JPEG_LS:
        return dataset.pixel_array
    header, _ = read_image_header(dataset)
    stored = decode(dataset.PixelData, str(syntax), header, little=syntax.is_little_endian).stored
    return stored.astype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")


def _shown(values: npt.NDArray[np.generic]) -> Grey:
    """(H, W) 8-bit: the range of all values but of a few pixels; words may be brighter than all else."""
    grey = values.astype(np.float32)
    if grey.ndim == 3:
        grey = grey.mean(-1)
    low, high = np.percentile(grey, [0.001, 99.999])
    whole = np.clip((grey - low) / max(float(high - low), 1.0), 0, 1)
    eight_bit: Grey = (255 * whole).round().astype(np.uint8)
    return eight_bit


def _replace_pixels(dataset: FileDataset, values: npt.NDArray[np.generic]) -> None:
    """Stored values as they are now, not compressed any more."""
    kind = "RGB" if values.ndim == 3 else dataset.PhotometricInterpretation
    dataset.set_pixel_data(values, kind, dataset.BitsStored, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _answer(request: dict[str, Any], limits: Limits) -> tuple[dict[str, Any], memoryview]:
    deidentifier = Deidentifier(base64.b64decode(request["secret"]), tuple(request["options"]))
    try:
        done = clean_film(
            Path(request["file"]), Path(request["target"]), deidentifier, pixels=bool(request["pixels"])
        )  # fmt: skip
    except InputError as error:
        return {"refused": [error.code, error.message, error.hint]}, memoryview(b"")
    return {"refused": None, **asdict(done)}, memoryview(b"")


if __name__ == "__main__":
    serve_answers(sys.argv[1], _answer)
