"""A reader that refuses films whose header says that text is burned in: BurnedInAnnotation, (0028,0301)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.sandbox import Sandbox
from lingula.study import Radiograph


class BurnedInRefused:
    """Reads as the sandbox does. What the header does not say is not found: text in the pixels is not looked for."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def read_files(self, paths: Iterable[Path]) -> Iterator[tuple[Path, DicomFile | InputError]]:
        for path, answer in self._sandbox.read_files(paths):
            yield path, answer if isinstance(answer, InputError) else _refusal(answer.radiograph) or answer

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]:
        for path, answer in self._sandbox.read_many(paths):
            yield path, answer if isinstance(answer, InputError) else _refusal(answer) or answer


def _refusal(film: Radiograph) -> InputError | None:
    if not any(notice.code == "burned_in_annotation" for notice in film.notices):
        return None
    return InputError("burned_in_annotation", "the header says that text is burned into the picture")
