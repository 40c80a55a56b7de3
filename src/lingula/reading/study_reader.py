"""The front door: files and text of one examination to one ``Study``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.reader import DicomFile
from lingula.reading.image_file import HEAD, read_image, sniff
from lingula.reading.limits import Limits
from lingula.reading.report_file import report_study
from lingula.reading.sandbox import Sandbox
from lingula.study import Study


def read_study(
    paths: Sequence[Path],
    *,
    text: str | None = None,
    report: Path | None = None,
    sandbox: Sandbox | None = None,
    limits: Limits | None = None,
    study_id: str | None = None,
) -> Study:
    """Read one study from image files and at most one report.

    Args:
        paths: DICOM files, PNG or JPEG pictures, and reports, each recognised by its content.
        text: report as plain text.
        report: report file, Open-i XML or plain text.
        sandbox: reads images and report in a child process; None reads them in this one, for files that are trusted.
        limits: what is accepted; defaults to the sandbox's.
        study_id: name of the study; else the report's, the Study Instance UID, or the first file's name.

    Raises:
        InputError: the first file's refusal; bad_request without anything to read or with two reports; uid_conflict
            when the images belong to different studies or one SOP Instance UID names different files.
    """
    limits = limits or (sandbox.limits if sandbox else Limits())
    images: list[Path] = []
    reports = [report] if report is not None else []
    for path in paths:
        is_report = sniff(read_head(path, HEAD), path.name) in ("xml", "text")
        (reports if is_report else images).append(path)
    if len(reports) + (text is not None) > 1:
        raise InputError("bad_request", "more than one report for one study", "Give the studies one by one.")
    if not images and not reports and text is None:
        raise InputError("bad_request", "neither an image nor a report")
    read = [sandbox.read_file(path) if sandbox else read_image(path, limits) for path in images]
    source = reports[0] if reports else text
    study = Study("") if source is None else sandbox.read_report(source) if sandbox else report_study(source, limits)
    study_uid = _one_study(read)
    first = (images or reports or [Path("query")])[0]
    return Study(
        study_id=study_id or study.study_id or study_uid or _printable(first.stem) or "query",
        radiographs=tuple({image.radiograph.digest: image.radiograph for image in read}.values()),
        report=study.report,
        terms=study.terms,
        notices=tuple(notice for notice in study.notices if not (read and notice.code == "no_images")),
    )


def _one_study(images: Sequence[DicomFile]) -> str:
    """The Study Instance UID that all images share, "" when none has one."""
    studies = {image.study_uid for image in images if image.study_uid}
    if len(studies) > 1:
        raise InputError("uid_conflict", f"the images belong to {len(studies)} studies", "Give the studies one by one.")
    digests: dict[str, str] = {}
    for image in images:
        radiograph = image.radiograph
        if image.study_uid and digests.setdefault(radiograph.image_id, radiograph.digest) != radiograph.digest:
            raise InputError("uid_conflict", "two different files have the same SOP Instance UID")
    return next(iter(studies), "")


def _printable(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[:64]
