"""Files and folders de-identified: DICOM objects of any kind, reports as text."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, JPEGLSNearLossless

from lingula.deidentification.burned_text import Grey, cover_text
from lingula.deidentification.header import Deidentifier
from lingula.deidentification.profile import DEFAULT, Option, check_options
from lingula.deidentification.words import Names
from lingula.errors import InputError, LingulaError
from lingula.library.private_file import make_private
from lingula.plain import DISCLAIMER
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.decode import decode
from lingula.reading.dicom.header import read_image_header
from lingula.reading.folder import walk
from lingula.reading.limits import Limits

SOURCE = "https://dicom.nema.org/medical/dicom/2026c/output/chtml/part15/chapter_E.html"
_JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
_TEXTS = (".txt", ".text", ".md")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FileRefusal:
    """A file that was not written: its place among those given, from 1, why."""

    number: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DeidentificationReport:
    """What was done, without a word of whose films they were.

    Attributes:
        options: of the profile.
        actions: attributes removed, emptied, given a dummy, a UID or another day, cleaned.
        words: names and numbers masked in reports.
        covered: places of burned-in text; ``touched`` the largest share of one film's pixels that was covered for it.
        unread: films that were not looked through for text.
    """

    files: int
    options: tuple[Option, ...]
    actions: Mapping[str, int]
    words: int
    covered: int
    touched: float
    unread: int
    refused: tuple[FileRefusal, ...] = ()
    profile: str = field(default=SOURCE)
    disclaimer: str = DISCLAIMER


def deidentify(
    source: Path,
    target: Path,
    *,
    secret: bytes = b"",
    options: Collection[Option] = DEFAULT,
    pixels: bool = True,
    progress: Progress = lambda done, of: None,
) -> DeidentificationReport:
    """Write a copy of every DICOM file and every text without its patient; other files are refused.

    Args:
        source: a file or a folder; nothing in it is changed.
        target: a folder; files are named after what they hold, in a folder for each study.
        secret: by which UIDs, patients and days are replaced: the same one gives the same again. Without it, one is
            made and forgotten, and nobody can tell any more which study became which.
        options: of the profile, see ``explain_profile``.
        pixels: look for burned-in text; needs Tesseract.

    Raises:
        InputError: ``not_found``; ``bad_request`` for unknown options or a target within the source;
            ``text_reader_missing``.
    """
    if not source.exists():
        raise InputError("not_found", f"{source} is not there.")
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise InputError("bad_request", "the target lies within the source.", "Name a folder beside it.")
    chosen = check_options(options)
    run = _Run(Deidentifier(secret or secrets.token_bytes(32), chosen), target, pixels)
    files = list(walk(source)) if source.is_dir() else [source]
    dicom = [file for file in files if file.suffix.lower() not in _TEXTS]
    texts = [file for file in files if file.suffix.lower() in _TEXTS]
    for number, file in enumerate([*dicom, *texts], 1):
        try:
            run.text(file) if file in texts else run.film(file)
        except LingulaError as error:
            if error.code == "text_reader_missing":
                raise
            run.refused.append(FileRefusal(number, error.code, error.message))
        progress(number, len(files))
    return DeidentificationReport(
        files=run.written, options=chosen, actions=dict(sorted(run.actions.items())), words=run.words,
        covered=run.covered, touched=run.touched, unread=run.unread, refused=tuple(run.refused),
    )  # fmt: skip


class _Run:
    """One run: what was counted, and the names that headers gave, which are looked for in the reports as well."""

    def __init__(self, deidentifier: Deidentifier, target: Path, pixels: bool) -> None:
        self._deidentifier, self._target, self._pixels = deidentifier, target, pixels
        self._names: dict[Path, list[Names]] = {}
        self.actions: Counter[str] = Counter()
        self.refused: list[FileRefusal] = []
        self.written = self.words = self.covered = self.unread = 0
        self.touched = 0.0

    def film(self, file: Path) -> None:
        if file.stat().st_size > Limits().file_bytes:
            raise InputError("too_large", "the file is too large.")
        if read_head(file, 132)[128:] != b"DICM":
            raise InputError("not_dicom", "no DICOM file and no text.", "Pictures are given as DICOM.")
        try:
            dataset = dcmread(file)
            self._names.setdefault(file.parent, []).append(self._deidentifier.names(dataset))
            is_clean = self._cover(dataset)
            self.actions += self._deidentifier.header(dataset, pixels_cleaned=is_clean)
            folder = self._target / str(dataset.get("StudyInstanceUID", "") or "study")
            folder.mkdir(parents=True, exist_ok=True)
            name = folder / f"{dataset.get('SOPInstanceUID', '') or secrets.token_hex(8)}.dcm"
            part = name.with_suffix(".part")
            make_private(part)
            dataset.save_as(part, enforce_file_format=True)
        except LingulaError:
            raise
        except OSError:
            raise
        except Exception as error:  # pydicom raises what it likes on files that are no good
            raise InputError("bad_header", f"the file cannot be read or written ({type(error).__name__}).") from error
        os.replace(part, name)
        self.written += 1

    def text(self, file: Path) -> None:
        """A report: names of the headers in its folder, and whatever looks like a person or a number."""
        if file.stat().st_size > Limits().xml_bytes:
            raise InputError("too_large", "the text is too large.")
        text = file.read_text("utf-8", "replace")
        for names in self._names.get(file.parent, []) or [Names(())]:
            text, found = names.cleaned(text)
            self.words += found
        self._target.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = self._target / f"report-{digest}.txt"
        make_private(name)
        name.write_text(text, "utf-8")
        self.written += 1

    def _cover(self, dataset: FileDataset) -> bool:
        """Cover what is written in the picture; whether it is sure that nothing is left."""
        if "PixelData" not in dataset:
            return False
        if not self._pixels or int(dataset.get("NumberOfFrames", 1) or 1) > 1:
            self.unread += 1
            return False
        values = _stored(dataset)
        covered, boxes, is_clean = cover_text(values, lambda each: _shown(each, dataset))
        if boxes:
            changed = (covered != values) if values.ndim == 2 else (covered != values).any(-1)
            self.touched = max(self.touched, float(changed.mean()))
            _replace_pixels(dataset, covered)
        self.covered += len(boxes)
        if not is_clean:
            raise InputError("burned_in_annotation", "text in the picture is still read after it was covered.")
        return True


def _stored(dataset: FileDataset) -> npt.NDArray[np.generic]:
    """Stored values of a film, decoded as everywhere; of a picture in colours, as pydicom does where it can."""
    if int(dataset.Rows) * int(dataset.Columns) > Limits().pixels:
        raise InputError("image_bomb", "the picture is too large.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if int(dataset.get("SamplesPerPixel", 1)) != 1 and syntax not in _JPEG_LS:
        return dataset.pixel_array
    header, _ = read_image_header(dataset)
    stored = decode(dataset.PixelData, str(syntax), header, little=syntax.is_little_endian).stored
    return stored.astype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")


def _shown(values: npt.NDArray[np.generic], dataset: FileDataset) -> Grey:
    """(H, W) 8-bit: the whole range of values, without the brightest and darkest thousandth."""
    grey = values.astype(np.float32)
    if grey.ndim == 3:
        grey = grey.mean(-1)
    low, high = np.percentile(grey, [0.1, 99.9])
    whole = np.clip((grey - low) / max(float(high - low), 1.0), 0, 1)
    eight_bit: Grey = (255 * whole).round().astype(np.uint8)
    return eight_bit


def _replace_pixels(dataset: FileDataset, values: npt.NDArray[np.generic]) -> None:
    """Stored values as they are now, not compressed any more."""
    kind = "RGB" if values.ndim == 3 else dataset.PhotometricInterpretation
    dataset.set_pixel_data(values, kind, dataset.BitsStored, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
