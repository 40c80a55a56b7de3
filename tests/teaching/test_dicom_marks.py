"""Marks of presentation states and structured reports, on films that the library knows under other names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.mark_files import item, state, written

from lingula.errors import InputError, Notice
from lingula.library import Library, StudyRecord
from lingula.library.identity import pseudonym
from lingula.reading.sandbox import Sandbox
from lingula.teaching.dicom_marks import read_marks

UID = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


@pytest.fixture
def record(library: Library) -> StudyRecord:
    """A study whose film, 80 rows and 64 columns, came from a DICOM file."""
    known = library.get("CXR1")
    film = replace(known.radiographs[0], image_id=pseudonym(library.secret, UID))
    return replace(known, radiographs=(film,))


def test_marks_of_a_presentation_state(
    library: Library, record: StudyRecord, sandbox: Sandbox, tmp_path: Path
) -> None:  # fmt: skip
    file = state(
        tmp_path / "state.dcm",
        UID,
        ("POLYLINE", [16, 20, 32, 20, 32, 60, 16, 60, 16, 20]),
        ("POINT", [48, 40]),
        ("CIRCLE", [32, 40, 32, 48]),
    )
    box, point, circle = read_marks(file, record.radiographs, library.secret, sandbox).drawings
    assert (box.shape, box.points) == ("box", ((0.25, 0.25), (0.5, 0.75)))
    assert (point.shape, point.points) == ("point", ((0.75, 0.5),))
    assert circle.points == ((0.375, 0.4), (0.625, 0.6))


def test_marks_of_a_structured_report(
    library: Library, record: StudyRecord, sandbox: Sandbox, tmp_path: Path
) -> None:  # fmt: skip
    image = item(ValueType="IMAGE", ReferencedSOPSequence=[
        item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", ReferencedSOPInstanceUID=UID)])  # fmt: skip
    place = item(ValueType="SCOORD", GraphicType="POLYLINE", GraphicData=[0, 0, 64, 0, 64, 40, 0, 40],
                 ContentSequence=[image])  # fmt: skip
    finding = item(ValueType="CONTAINER", ContentSequence=[place])
    file = written(tmp_path / "report.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", ContentSequence=[finding])
    told = read_marks(file, record.radiographs, library.secret, sandbox)
    assert (told.origin, told.is_own) == ("structured report", False)
    (box,) = told.drawings
    assert box.points == ((0.0, 0.0), (1.0, 0.5))


def test_coordinates_are_of_the_film_as_it_is_stored(
    library: Library, record: StudyRecord, sandbox: Sandbox, tmp_path: Path
) -> None:  # fmt: skip
    """Of a film whose pixels are not square, shares are of its own columns and rows, not of those that are shown."""
    stored = replace(record.radiographs[0], attributes=(("Rows", "40"), ("Columns", "64")))
    file = state(tmp_path / "state.dcm", UID, ("POINT", [16, 20]))
    (point,) = read_marks(file, (stored,), library.secret, sandbox).drawings
    assert point.points == ((0.25, 0.5),)


def test_what_has_no_mark_on_the_film_is_refused(
    library: Library, record: StudyRecord, sandbox: Sandbox, tmp_path: Path
) -> None:  # fmt: skip
    other = state(tmp_path / "other.dcm", "1.2.3", ("POINT", [1, 1]))
    with pytest.raises(InputError, match="no mark on a film"):
        read_marks(other, record.radiographs, library.secret, sandbox)
    odd = state(tmp_path / "odd.dcm", UID, ("CIRCLE", [1, 1]))
    with pytest.raises(InputError, match="cannot be read"):
        read_marks(odd, record.radiographs, library.secret, sandbox)
    turned = replace(record.radiographs[0], notices=(Notice("orientation_corrected", "turned"),))
    file = state(tmp_path / "state.dcm", UID, ("POINT", [1, 1]))
    with pytest.raises(InputError, match="turned upright"):
        read_marks(file, (turned,), library.secret, sandbox)
    (tmp_path / "none.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(InputError):
        read_marks(tmp_path / "none.dcm", record.radiographs, library.secret, sandbox)
