"""Marks on films that a DICOM file brings: a presentation state, or coordinates of a structured report.

Read are the points, outlines, circles and ellipses of a Grayscale Softcopy Presentation State (PS3.3 C.10.5) and the
SCOORD items of a report (PS3.3 C.18.6), in pixels of the film they name. An outline becomes its bounding box. Words are
left out: they may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset

from lingula.errors import InputError
from lingula.library import Library, StudyRecord
from lingula.library.identity import pseudonym
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.dicom.reader import parse_envelope
from lingula.reading.limits import Limits
from lingula.teaching.sets import MOST_DRAWINGS, Drawing, TeachingSet, change_set

DEEPEST = 16
"""Levels of a report's content tree that are looked through."""
Points = list[tuple[float, float]]


def read_marks(path: Path, record: StudyRecord, secret: bytes, limits: Limits | None = None) -> tuple[Drawing, ...]:
    """The marks of a file on the films of a study.

    Args:
        record: the study as the library holds it. secret: the library's, by which it names films.

    Raises:
        InputError: any code of ``open_part10``; ``bad_header``; ``bad_request`` for a file without marks on these
            films, or for films that were turned upright when they were read, on which its coordinates do not hold.
    """
    limits = limits or Limits()
    dataset = parse_envelope(open_part10(read_file(path, limits.xml_bytes), limits))
    rows = {film.image_id: row for row, film in enumerate(record.radiographs)}
    marks = []
    try:
        for uid, kind, points in (*_annotations(dataset), *_coordinates(dataset, DEEPEST)):
            row = rows.get(pseudonym(secret, uid), rows.get(uid))
            if row is not None and not _is_frame(made := _drawing(row, kind, points, record)):
                marks.append(made)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError("bad_header", "its marks cannot be read.") from error
    if not marks:
        raise InputError("bad_request", "The file has no mark on a film of this study.", "Name the study it is of.")
    return tuple(marks[:MOST_DRAWINGS])


def take_marks(library: Library, known: TeachingSet, study_id: str, path: Path) -> TeachingSet:
    """The set with the marks of a file in place of those that a study of it has, stored.

    Raises:
        InputError: as ``read_marks``; ``bad_request`` for a study that the set lacks.
    """
    if study_id not in known.ids:
        raise InputError("bad_request", f"the set has no study {study_id}.", "Add it first.")
    drawings = read_marks(path, library.get(study_id), library.secret)
    cases = (replace(case, drawings=drawings) if case.study_id == study_id else case for case in known.cases)
    return change_set(library, replace(known, cases=tuple(cases)))


def _annotations(dataset: Dataset) -> Iterator[tuple[str, str, Points]]:
    """(SOP Instance UID, graphic type, points in pixels) of a presentation state."""
    everything = [image for series in dataset.get("ReferencedSeriesSequence", ())
                  for image in series.get("ReferencedImageSequence", ())]  # fmt: skip
    for annotation in dataset.get("GraphicAnnotationSequence", ()):
        images = annotation.get("ReferencedImageSequence", ()) or everything
        for graphic in annotation.get("GraphicObjectSequence", ()):
            if graphic.get("GraphicAnnotationUnits") == "PIXEL":
                for image in images:
                    yield str(image.ReferencedSOPInstanceUID), str(graphic.GraphicType), _pairs(graphic.GraphicData)


def _coordinates(item: Dataset, depth: int) -> Iterator[tuple[str, str, Points]]:
    """The same of the spatial coordinates of a report, each with the image it was selected from."""
    for content in item.get("ContentSequence", ()) if depth else ():
        if content.get("ValueType") == "SCOORD":
            for image in content.get("ContentSequence", ()):
                for reference in image.get("ReferencedSOPSequence", ()):
                    uid = str(reference.ReferencedSOPInstanceUID)
                    yield uid, str(content.GraphicType), _pairs(content.GraphicData)
        yield from _coordinates(content, depth - 1)


def _pairs(values: Any) -> Points:
    numbers = [float(value) for value in values]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _drawing(row: int, kind: str, points: Points, record: StudyRecord) -> Drawing:
    film = record.radiographs[row]
    if any(notice.code == "orientation_corrected" for notice in film.notices):
        raise InputError("bad_request", "The film was turned upright when it was read.", "Draw the mark on the page.")
    if kind == "CIRCLE":
        (x, y), (at_x, at_y) = points
        radius = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
        points = [(x - radius, y - radius), (x + radius, y + radius)]
    shares = [(_share(x, film.columns), _share(y, film.rows)) for x, y in points]
    if kind == "POINT":
        return Drawing("point", row, (shares[0],))
    return Drawing("box", row, _bounds(shares))


def _is_frame(mark: Drawing) -> bool:
    """Whether a mark goes round the whole film, as reports do of what they say of all of it."""
    left, top, right, bottom = mark.target
    return min(right - left, bottom - top) > 0.98


def _bounds(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (min(xs), min(ys)), (max(xs), max(ys))


def _share(value: float, size: int) -> float:
    return round(min(1.0, max(0.0, value / size)), 5)
