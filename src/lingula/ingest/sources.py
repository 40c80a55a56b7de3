"""The files of an import: where their bytes are, what their owner calls them, and what they are by content."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lingula.errors import InputError, LingulaError
from lingula.openi.collection import Refused
from lingula.reading.archive import is_archive, members
from lingula.reading.bounded_io import read_head
from lingula.reading.folder import walk
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.limits import Limits

Role = Literal["film", "report", "archive"]
REPORT_ENDINGS = (".txt", ".xml", ".md", ".rpt")
_PASSED_OVER = re.compile(r"DICOMDIR|\.DS_Store|Thumbs\.db|desktop\.ini|\._.*", re.IGNORECASE)
_STUDY_FOLDER = re.compile(r"(study|s)[ _-]?\d+", re.IGNORECASE)
_PATIENT_FOLDER = re.compile(r"(patient|p)[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One file of an import.

    Attributes:
        path: where its bytes are; its ending is the name's, or none.
        name: as its owner knows it: the path as seen from the folder imported; of a member, ``ARCHIVE/member``.
        file_stem: equal for a film and for the report that lies beside it.
    """

    path: Path
    name: Path
    file_stem: str

    @classmethod
    def named(cls, path: Path, name: Path) -> Source:
        return cls(path, name, without_ending(str(name)))

    def role(self) -> Role:
        """Film, report or archive, by content; reports under the endings that reports have, or without one.

        Raises:
            InputError: not_found, empty_file.
        """
        head = read_head(self.path, 512)
        if is_archive(head, self.name.name):
            return "archive"
        kind = sniff(head[:HEAD], self.path.name)
        ending = self.name.suffix.lower()
        is_report = kind in ("xml", "text") or (kind == "other" and ending in REPORT_ENDINGS)
        return "report" if is_report else "film"

    @property
    def study_folder(self) -> str:
        """The folder whose films are one study because the tree says so: ``patient12/study3``, ``p10000032/s50414267``;
        empty elsewhere."""
        folders = self.name.parent.parts
        plain = len(folders) >= 2 and _STUDY_FOLDER.fullmatch(folders[-1]) and _PATIENT_FOLDER.fullmatch(folders[-2])
        return str(self.name.parent) if plain else ""


def without_ending(name: str) -> str:
    """``a/film.dcm`` is ``a/film``."""
    return re.sub(r"\.[^./\\]*\Z", "", name)


def files_of(root: Path, refused: list[Refused]) -> Iterator[Source]:
    """Every file of a folder, or the one file; an index of a disc and what systems leave in folders are passed over.

    Raises:
        InputError: not_found when nothing is there.
    """
    if not root.exists():
        raise InputError("not_found", f"There is no {root}.", "Check the path.")
    folder = root if root.is_dir() else root.parent

    def unreadable(error: OSError) -> None:
        refused.append(Refused(Path(error.filename), "not_found", "The folder cannot be read."))

    for path in walk(root, unreadable) if root.is_dir() else [root]:
        if not _PASSED_OVER.fullmatch(path.name):
            yield Source.named(path, path.relative_to(folder))


@contextmanager
def unpacked(archive: Source, limits: Limits) -> Iterator[list[Source]]:
    """The members of an archive as files of a temporary folder, under names of ours.

    Raises:
        InputError: as ``archive.members``; then nothing of the archive is used. LingulaError: ``disk_full``.
    """
    with tempfile.TemporaryDirectory(prefix="lingula-") as folder:
        found: list[Source] = []
        try:
            for number, member in enumerate(members(archive.path, limits=limits), 1):
                name = archive.name / member.name
                if _PASSED_OVER.fullmatch(name.name) or "__MACOSX" in name.parts:
                    continue
                ending = name.suffix.lower()
                path = Path(folder, f"{number:05}{ending if ending in REPORT_ENDINGS else '.file' if ending else ''}")
                path.write_bytes(member.content)
                found.append(Source.named(path, name))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise LingulaError("disk_full", "no space left to unpack an archive.", "Free some space.") from error
            raise
        yield found


def roles(sources: Iterable[Source], refused: list[Refused]) -> dict[Role, list[Source]]:
    """Files by what they are; what cannot be opened is refused."""
    found: dict[Role, list[Source]] = {"film": [], "report": [], "archive": []}
    for source in sources:
        try:
            found[source.role()].append(source)
        except InputError as error:
            refused.append(Refused.because(source.name, error))
    return found
