"""Readers that leave out, or cover, what is burned into films: by the header's word, or by reading the pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.sandbox import Sandbox
from lingula.study import Radiograph

BurnedIn = Literal["keep", "refuse", "cover"]
BURNED_IN: tuple[BurnedIn, ...] = get_args(BurnedIn)


class ImportReader(Protocol):
    """What an import asks of a sandbox."""

    def read_files(self, paths: Iterable[Path]) -> Iterator[tuple[Path, DicomFile | InputError]]: ...

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]: ...


def reader_for(sandbox: Sandbox, burned_in: BurnedIn) -> ImportReader:
    """The sandbox as it is, or with films refused or covered.

    Raises:
        InputError: ``bad_request`` for another word; ``text_reader_missing``.
    """
    if burned_in not in BURNED_IN:
        raise InputError(
            "bad_request", f"burned-in text is not to be {burned_in!r}.", f"One of {', '.join(BURNED_IN)}."
        )
    if burned_in == "cover":
        from lingula.deidentification.burned_text import require_reader

        require_reader()
    return sandbox if burned_in == "keep" else _Guarded(sandbox, covers=burned_in == "cover")


class _Guarded:
    """Reads as the sandbox does, and looks at each film: by its header alone (BurnedInAnnotation, (0028,0301)), or for
    words in its pixels, as ``lingula deidentify`` does."""

    def __init__(self, sandbox: Sandbox, *, covers: bool) -> None:
        self._sandbox = sandbox
        self._guarded = _covered if covers else _by_header

    def read_files(self, paths: Iterable[Path]) -> Iterator[tuple[Path, DicomFile | InputError]]:
        for path, answer in self._sandbox.read_files(paths):
            if isinstance(answer, InputError):
                yield path, answer
                continue
            film = self._guarded(answer.radiograph)
            yield path, film if isinstance(film, InputError) else replace(answer, radiograph=film)

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]:
        for path, answer in self._sandbox.read_many(paths):
            yield path, answer if isinstance(answer, InputError) else self._guarded(answer)


def _by_header(film: Radiograph) -> Radiograph | InputError:
    if not any(notice.code == "burned_in_annotation" for notice in film.notices):
        return film
    return InputError("burned_in_annotation", "the header says that text is burned into the picture")


def _covered(film: Radiograph) -> Radiograph | InputError:
    from lingula.deidentification.burned_text import cover_text

    try:
        pixels, boxes, is_clean = cover_text(film.pixels, _eight_bit)
    except InputError as error:
        return error
    if not is_clean:
        return InputError("burned_in_annotation", "text in the picture is still read after it was covered")
    notices = tuple(notice for notice in film.notices if notice.code != "burned_in_annotation")
    return replace(film, pixels=np.asarray(pixels, np.float32) if boxes else film.pixels, notices=notices)


def _eight_bit(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    grey: npt.NDArray[np.uint8] = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    return grey
