"""The front door: files and text of one examination to one ``Study``."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.identity import study_id as made_study_id
from lingula.reading.grouping import one_study
from lingula.reading.image_file import HEAD, read_image, sniff
from lingula.reading.in_memory import Film, content_of
from lingula.reading.limits import Limits
from lingula.reading.sandbox import Sandbox
from lingula.reading.view_classifier import with_views
from lingula.study import VIEWS, Report, Study, View
from lingula.types import FilePath


def read_study(
    paths: Film | Sequence[Film],
    *,
    text: str | None = None,
    view: View | Sequence[View | None] | None = None,
    report: FilePath | bytes | None = None,
    sandbox: Sandbox | None = None,
    limits: Limits | None = None,
    study_id: str | None = None,
    same_study: bool = False,
) -> Study:
    """Read one study from image files and at most one report.

    Args:
        paths: one film or several: DICOM files, pictures, and reports, each recognised by its content; a path, bytes or
            an open binary file. Or a pydicom dataset, a Pillow image, or an array or tensor: (rows, columns), with 3
            colours at most, of 8 or 16 bits without sign or of numbers in [0, 1], upright, dense tissue bright.
        view: frontal or lateral, of the only film or one for each; by default as each film looks.
        text: report as text: plain, or RTF, HTML, HL7 version 2 or FHIR pasted as it is.
        report: report file, or its bytes: Open-i XML, or text as above.
        sandbox: reads images and report in a child process; None reads them in this one, for files that are trusted.
        limits: what is accepted; defaults to the sandbox's.
        study_id: name of the study; else the report's, the Study Instance UID, or one made from the content.
        same_study: the caller vouches that the images are of one study, although nothing in them may say so.

    Returns:
        The study: films upright with dense tissue bright and their views named, the report, and what was noticed.

    Raises:
        InputError: the first file's refusal; bad_request without anything to read, with two reports, or for an array of
            another shape, type or range; uid_conflict
            when the images belong to different studies or one SOP Instance UID names different files; several_studies
            when they name different patients, or (without ``same_study``) are more than one study is likely to have.
    """
    limits = limits or (sandbox.limits if sandbox else Limits())
    images: list[Path | bytes | DicomFile] = []
    reports: list[Path | bytes] = []
    if report is not None:
        reports.append(report if isinstance(report, bytes) else Path(report))
    for given in _each(paths):
        source = content_of(given, limits)
        if isinstance(source, DicomFile):
            images.append(source)
            continue
        head, name = (source[:HEAD], "") if isinstance(source, bytes) else (read_head(source, HEAD), source.name)
        if sniff(head, name) in ("xml", "text"):
            reports.append(source)
        else:
            images.append(source)
    if len(reports) + (text is not None) > 1:
        raise InputError("bad_request", "more than one report for one study", "Give the studies one by one.")
    if not images and not reports and text is None:
        raise InputError("bad_request", "neither an image nor a report")
    read = _with_views([_read(image, sandbox, limits) for image in images], view)
    words = reports[0] if reports else text
    report_only = Study("") if words is None else _told(words, sandbox, limits)
    study = compose_study(read, report_only, same_study=same_study)
    return replace(study, study_id=study_id or study.study_id or _content_id(read, study.report))


def _told(words: Path | bytes | str, sandbox: Sandbox | None, limits: Limits) -> Study:
    if sandbox:
        return sandbox.read_report(words)
    from lingula.reading.report_file import report_study

    return report_study(words, limits)


def _each(paths: object) -> Sequence[object]:
    several = isinstance(paths, Sequence) and not isinstance(paths, (str, bytes, bytearray, memoryview))
    return paths if several else [paths]  # type: ignore[return-value]


def _read(image: Path | bytes | DicomFile, sandbox: Sandbox | None, limits: Limits) -> DicomFile:
    """A film that was given; bytes lie in a temporary file while they are read."""
    if isinstance(image, DicomFile):
        return image
    if isinstance(image, Path):
        return sandbox.read_file(image) if sandbox else read_image(image, limits)
    with tempfile.TemporaryDirectory(prefix="lingula-") as folder:
        file = Path(folder, "film.file")
        file.write_bytes(image)
        return _read(file, sandbox, limits)


def _with_views(films: list[DicomFile], view: View | Sequence[View | None] | None) -> list[DicomFile]:
    """The films under the views that their owner gave."""
    if view is None:
        return films
    views = [view] if isinstance(view, str) else list(view)
    if len(views) != len(films) or not {each for each in views if each is not None} <= set(VIEWS):
        raise InputError("bad_request", f"views {views} of {len(films)} films.", f"One a film: {', '.join(VIEWS)}.")
    named = zip(films, views, strict=True)
    return [replace(film, radiograph=film.radiograph.with_view(name)) if name else film for film, name in named]


def compose_study(images: Sequence[DicomFile], report_only: Study, *, same_study: bool = True) -> Study:
    """One study of images that were read and of what its report says, with its views named.

    Args:
        report_only: a study with nothing but a report, as from ``report_study``; ``Study("")`` for none.
        same_study: whether the caller vouches that the images are of one study.

    Returns:
        The study under the report's name, else the Study Instance UID, else "".

    Raises:
        InputError: uid_conflict when the images belong to different studies or one SOP Instance UID names different
            files; several_studies as ``read_study`` has it.
    """
    study_uid, doubts = one_study(images, same_study=same_study)
    notices = tuple(notice for notice in report_only.notices if not (images and notice.code == "no_images"))
    study = Study(
        study_id=report_only.study_id or study_uid,
        radiographs=tuple({image.radiograph.digest: image.radiograph for image in images}.values()),
        report=report_only.report,
        terms=report_only.terms,
        notices=notices + doubts,
    )
    return with_views(study)


def _content_id(images: Sequence[DicomFile], report: Report | None) -> str:
    """A name for what has none: of one content always the same, and nothing of a file's name."""
    if images:
        return made_study_id(*(image.radiograph.digest for image in images))
    return f"report-{hashlib.sha256(report.text.encode()).hexdigest()[:12]}" if report else "query"
