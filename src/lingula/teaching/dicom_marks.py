"""Marks on films that a DICOM file brings: shapes of a presentation state or a structured report, read in a child."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from lingula.errors import InputError
from lingula.library import Library
from lingula.library.identity import pseudonym
from lingula.library.record import StoredRadiograph
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.marks import GraphicShape
from lingula.reading.sandbox import Sandbox
from lingula.study import Radiograph
from lingula.teaching.sets import MOST_DRAWINGS, Drawing, TeachingSet, change_set

MarkOrigin = Literal["presentation state", "structured report"]
_STATE, _REPORTS = "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.88."
"""How the SOP class UIDs of presentation states and of structured reports begin (PS3.4 B.5)."""
_HEAD = 1024
_CLASS = b"\x02\x00\x02\x00UI"
"""Media Storage SOP Class UID (0002,0002) as file meta information writes it (PS3.10 7.1)."""


@dataclass(frozen=True, slots=True)
class FileMarks:
    """Marks that one file brings, and what kind of file that was; ``is_own`` where this software wrote it."""

    origin: MarkOrigin
    is_own: bool
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True, slots=True)
class MarkedFilm:
    """A film as a file's coordinates see it: its name, its stored columns and rows, whether it was turned when read."""

    image_id: str
    columns: int
    rows: int
    is_turned: bool

    @classmethod
    def of(cls, film: Radiograph | StoredRadiograph) -> Self:
        """Of a film that was read, or of one that a library holds."""
        header = dict(film.attributes)
        rows, columns = film.pixels.shape if isinstance(film, Radiograph) else (film.rows, film.columns)
        stored = [int(each) if (each := header.get(name, "")).isdigit() else 0 for name in ("Columns", "Rows")]
        is_turned = any(notice.code == "orientation_corrected" for notice in film.notices)
        return cls(film.image_id, stored[0] or columns, stored[1] or rows, is_turned)


def mark_origin(path: Path) -> MarkOrigin | None:
    """Which kind of file that may bring marks this is, by its SOP class; None for any other."""
    head = read_head(path, _HEAD)
    at = head.find(_CLASS)
    if at < 0:
        return None
    start = at + len(_CLASS) + 2
    uid = head[start : start + int.from_bytes(head[start - 2 : start], "little")].decode("ascii", "replace")
    return "presentation state" if uid.startswith(_STATE) else "structured report" if uid.startswith(_REPORTS) else None


def read_marks(
    path: Path, films: Sequence[Radiograph | StoredRadiograph], secret: bytes, sandbox: Sandbox
) -> FileMarks:
    """The marks of a file on the films of a study.

    Args:
        films: under the names that the library gives them. secret: the library's, by which it names films.

    Raises:
        InputError: as ``Sandbox.read_shapes``; ``bad_request`` for a file without marks on these films, or for films
            that were turned upright when they were read, on which its coordinates do not hold.
    """
    told = sandbox.read_shapes(path)
    marked = [MarkedFilm.of(film) for film in films]
    rows = {film.image_id: row for row, film in enumerate(marked)}
    marks = []
    for shape in told.shapes:
        row = rows.get(pseudonym(secret, shape.uid), rows.get(shape.uid))
        if row is not None and not _is_frame(made := _drawing(row, shape, marked[row])):
            marks.append(made)
    if not marks:
        raise InputError("bad_request", "The file has no mark on a film of this study.", "Name the study it is of.")
    origin: MarkOrigin = "presentation state" if told.is_state else "structured report"
    return FileMarks(origin, told.is_own, tuple(marks[:MOST_DRAWINGS]))


def take_marks(library: Library, known: TeachingSet, study_id: str, path: Path, sandbox: Sandbox) -> TeachingSet:
    """The set with the marks of a file in place of those that a study of it has, stored.

    Raises:
        InputError: as ``read_marks``; ``bad_request`` for a study that the set lacks.
    """
    if study_id not in known.ids:
        raise InputError("bad_request", f"the set has no study {study_id}.", "Add it first.")
    drawings = read_marks(path, library.get(study_id).radiographs, library.secret, sandbox).drawings
    cases = (replace(case, drawings=drawings) if case.study_id == study_id else case for case in known.cases)
    return change_set(library, replace(known, cases=tuple(cases)))


def _drawing(row: int, shape: GraphicShape, film: MarkedFilm) -> Drawing:
    if film.is_turned:
        raise InputError("bad_request", "The film was turned upright when it was read.", "Draw the mark on the page.")
    points = shape.points
    if shape.kind == "CIRCLE":
        (x, y), (at_x, at_y) = points
        radius = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
        points = ((x - radius, y - radius), (x + radius, y + radius))
    shares = [(_share(x, film.columns), _share(y, film.rows)) for x, y in points]
    if shape.kind == "POINT":
        return Drawing("point", row, (shares[0],))
    return Drawing("box", row, (shares[0], shares[1]))


def _is_frame(mark: Drawing) -> bool:
    """Whether a mark goes round the whole film, as reports do of what they say of all of it."""
    left, top, right, bottom = mark.target
    return min(right - left, bottom - top) > 0.98


def _share(value: float, size: int) -> float:
    return round(min(1.0, max(0.0, value / size)), 5)
