"""Files and folders de-identified: DICOM objects of any kind, reports as text."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lingula.deidentification.film import FilmChild
from lingula.deidentification.profile import DEFAULT, Option, check_options
from lingula.errors import InputError, LingulaError
from lingula.labels.identifiers import BY_FORM, Names
from lingula.library.private_file import make_private
from lingula.plain import DISCLAIMER
from lingula.reading.folder import walk
from lingula.reading.limits import Limits

SOURCE = "https://dicom.nema.org/medical/dicom/2026c/output/chtml/part15/chapter_E.html"
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
    files = list(walk(source)) if source.is_dir() else [source]
    dicom = [file for file in files if file.suffix.lower() not in _TEXTS]
    texts = {file for file in files if file.suffix.lower() in _TEXTS}
    with FilmChild(secret or secrets.token_bytes(32), chosen, pixels=pixels) as child:
        run = _Run(child, target)
        for number, file in enumerate([*dicom, *sorted(texts)], 1):
            try:
                run.text(file) if file in texts else run.film(file)
            except LingulaError as error:
                if error.code in ("text_reader_missing", "reader_unavailable"):
                    raise
                run.refused.append(FileRefusal(number, error.code, error.message))
            progress(number, len(files))
    return DeidentificationReport(
        files=run.written, options=chosen, actions=dict(sorted(run.actions.items())), words=run.words,
        covered=run.covered, touched=run.touched, unread=run.unread, refused=tuple(run.refused),
    )  # fmt: skip


class _Run:
    """One run: what was counted, and the names that headers gave, which are looked for in the reports as well."""

    def __init__(self, child: FilmChild, target: Path) -> None:
        self._child, self._target = child, target
        self._names: dict[Path, list[Names]] = {}
        self.actions: Counter[str] = Counter()
        self.refused: list[FileRefusal] = []
        self.written = self.words = self.covered = self.unread = 0
        self.touched = 0.0

    def film(self, file: Path) -> None:
        """A DICOM object, read, cleaned and written by a child; it gets its name when it is whole."""
        self._target.mkdir(parents=True, exist_ok=True)
        part = self._target / f"{secrets.token_hex(8)}.part"
        make_private(part)
        try:
            done = self._child.film(file, part)
            self._names.setdefault(file.parent, []).append(Names(done.names))
            if done.failure is not None:
                raise InputError(*done.failure)
            folder = self._target / (done.study or "study")
            folder.mkdir(exist_ok=True)
            os.replace(part, folder / f"{done.instance or secrets.token_hex(8)}.dcm")
        finally:
            part.unlink(missing_ok=True)
        self.actions += Counter(dict(done.actions))
        self.covered, self.unread = self.covered + done.covered, self.unread + done.unread
        self.touched = max(self.touched, done.touched)
        self.written += 1

    def text(self, file: Path) -> None:
        """A report: names of the headers in its folder, and whatever looks like a person or a number."""
        if file.stat().st_size > Limits().xml_bytes:
            raise InputError("too_large", "the text is too large.")
        text = file.read_text("utf-8", "replace")
        for names in self._names.get(file.parent, []) or [BY_FORM]:
            text, found = names.cleaned(text)
            self.words += found
        self._target.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = self._target / f"report-{digest}.txt"
        make_private(name)
        name.write_text(text, "utf-8")
        self.written += 1
