"""What lies in a folder that holds the Open-i collection: reports paired with image files, and everything left over.

Understood are NLM's downloads once unpacked, in any arrangement (``NLMCXR_dcm/<n>/<id>.dcm``, ``<id>.png`` or
``<id>.dcm.png``, ``ecgen-radiology/<n>.xml``), ``NLMCXR_reports.tgz`` as it is, pictures of a smaller size, and the
tables of ``lingula.openi.tables``. Scanning reads reports and tables and only lists images.

Nothing is lost on the way: each report found is in ``studies``, ``refused`` or ``duplicates``; each image file in
``studies``, ``unreferenced`` or ``duplicates``; each image a report names is paired or in ``missing``; every other file
is in ``tables``, ``refused`` or ``others``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lingula.errors import InputError
from lingula.openi.tables import Tables, image_key
from lingula.plain import named
from lingula.reading.archive import members
from lingula.reading.folder import walk
from lingula.reading.limits import Limits
from lingula.reading.report_openi import OpeniReport, read_report
from lingula.reading.sandbox import Sandbox
from lingula.study import View
from lingula.types import FilePath

_LIMITS = Limits()
_IMAGE = re.compile(r"\.(dcm|png|jpe?g)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(tgz|tar|tar\.gz|zip)$", re.IGNORECASE)
_PREFERENCE = (".dcm", ".png", ".jpg", ".jpeg")
"""Of several files of one image the least processed is read."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a study on disk, not yet read.

    Attributes:
        image_id: as in the report, ``CXR1000_IM-0003-1001``.
        path: the file.
        view: from the projection table, else unknown.
        rows, columns: of the original where a table gives them.
        birth_date, study_date: YYYYMMDD or empty, where a table gives them.
    """

    image_id: str
    path: Path
    view: View = "unknown"
    rows: int | None = None
    columns: int | None = None
    birth_date: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """A report, the image files found for it in its order, and the ids it names that no file has."""

    study_id: str
    report: OpeniReport
    images: tuple[ImageFile, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that cannot be used, and why: ``code`` and text of the InputError."""

    path: Path = field(metadata=named("name"))
    code: str
    message: str

    @classmethod
    def because(cls, path: Path, error: InputError) -> Refused:
        return cls(path, error.code, f"{error.message} {error.hint}".strip())


@dataclass(frozen=True, slots=True)
class Collection:
    """Everything found under a folder. A report inside an archive has the path ``ARCHIVE/member``.

    Attributes:
        studies: by number of the study.
        refused: reports, archives and tables that cannot be used.
        unreferenced: image files no report names.
        duplicates: further files of an image or of a report already taken, the same report byte for byte.
        tables: the tables made use of.
        others: files that are none of these by their name.
    """

    root: Path
    studies: tuple[StudyFiles, ...]
    refused: tuple[Refused, ...]
    unreferenced: tuple[Path, ...]
    duplicates: tuple[Path, ...]
    tables: tuple[Path, ...]
    others: tuple[Path, ...]

    def __iter__(self) -> Iterator[StudyFiles]:
        return iter(self.studies)

    @property
    def images(self) -> tuple[ImageFile, ...]:
        return tuple(image for study in self.studies for image in study.images)

    @property
    def left_out(self) -> tuple[Refused, ...]:
        """Each file that no study has and that is no copy of another: unusable, not named by a report, or of no use."""
        unnamed = "No report of the collection names this image. lingula import files takes films without reports."
        foreign = "Neither a report, an image nor a table of the collection."
        return (
            *self.refused,
            *(Refused(path, "image_without_report", unnamed) for path in self.unreferenced),
            *(Refused(path, "unsupported_format", foreign) for path in self.others),
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of images that reports name and no file has."""
        return tuple(image_id for study in self.studies for image_id in study.missing)


def scan(root: FilePath, *, limits: Limits = _LIMITS, sandbox: Sandbox | None = None) -> Collection:
    """Find reports and images under a folder (or in a single archive of reports) and pair them.

    One bad file never stops a scan. An archive of reports that is damaged or unsafe is refused as a whole.

    Args:
        sandbox: reads the reports in a child process; None reads them in this one.

    Raises:
        InputError: not_found when there is no such folder.
    """
    root = Path(root)
    if not root.exists():
        raise InputError("not_found", f"No folder {root}.")
    files = _Sorted(limits, sandbox)
    for path in walk(root):
        files.add(path)
    studies = [files.pair(report) for report in sorted(files.reports.values(), key=_number)]
    return Collection(
        root=root,
        studies=tuple(studies),
        refused=tuple(files.refused),
        unreferenced=tuple(sorted(path for paths in files.images.values() for path in paths)),
        duplicates=tuple(sorted(files.duplicates)),
        tables=tuple(files.tables_used),
        others=tuple(files.others),
    )


class _Sorted:
    """Files sorted by kind while the folder is walked."""

    def __init__(self, limits: Limits, sandbox: Sandbox | None) -> None:
        self.limits, self.sandbox = limits, sandbox
        self.reports: dict[str, OpeniReport] = {}
        self.images: dict[str, list[Path]] = {}
        self.tables = Tables()
        self.tables_used: list[Path] = []
        self.refused: list[Refused] = []
        self.duplicates: list[Path] = []
        self.others: list[Path] = []

    def add(self, path: Path) -> None:
        name = path.name.lower()
        try:
            if _IMAGE.search(name):
                self.images.setdefault(image_key(name), []).append(path)
            elif name.endswith(".xml"):
                self._add_report(path, path)
            elif _ARCHIVE.search(name):
                self._add_archive(path)
            elif self.tables.add(path, self.limits):
                self.tables_used.append(path)
            else:
                self.others.append(path)
        except InputError as error:
            self.refused.append(Refused.because(path, error))
        except OSError as error:
            self.refused.append(Refused(path, "not_found", f"The file cannot be read: {error.strerror}."))

    def _add_report(self, path: Path, source: Path | bytes) -> None:
        report = self.sandbox.read_openi(source) if self.sandbox else read_report(source, limits=self.limits)
        known = self.reports.setdefault(report.study_id, report)
        if known.digest != report.digest:
            raise InputError("uid_conflict", f"Another, different report is {report.study_id} already.")
        if known is not report:
            self.duplicates.append(path)

    def _add_archive(self, path: Path) -> None:
        """All members or none: a damaged archive shows it at its end."""
        if "report" not in path.name.lower():
            raise InputError("unsupported_format", f"{path.name} is still packed.", "Unpack it first.")
        trial = _Sorted(self.limits, self.sandbox)
        trial.reports = dict(self.reports)
        for member in members(path, limits=self.limits):
            inside = path / member.name
            if not member.name.lower().endswith(".xml"):
                trial.others.append(inside)
                continue
            try:
                trial._add_report(inside, member.content)
            except InputError as error:
                trial.refused.append(Refused.because(inside, error))
        self.reports = trial.reports
        self.refused += trial.refused
        self.duplicates += trial.duplicates
        self.others += trial.others

    def pair(self, report: OpeniReport) -> StudyFiles:
        """Give the study its files; an image that two reports name goes to the first."""
        found = {image_id: self._take(image_id) for image_id in report.image_ids}
        return StudyFiles(
            study_id=report.study_id,
            report=report,
            images=tuple(image for image in found.values() if image),
            missing=tuple(image_id for image_id, image in found.items() if not image),
        )

    def _take(self, image_id: str) -> ImageFile | None:
        key = image_key(image_id)
        paths = sorted(self.images.pop(key, ()), key=lambda path: (_PREFERENCE.index(path.suffix.lower()), path))
        if not paths:
            return None
        self.duplicates += paths[1:]
        return ImageFile(image_id, paths[0], **asdict(self.tables.of(key)))


def _number(report: OpeniReport) -> tuple[int, str]:
    return int(report.study_id.removeprefix("CXR")), report.study_id
