"""A film as it was received: its radiograph, what results repeat of its header, where a point lies in its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydicom.dataset import Dataset

from lingula.errors import InputError
from lingula.reading.dicom.orientation import Turn, read_turn
from lingula.reading.dicom.source import PATIENT, STUDY
from lingula.study import Radiograph

_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows", "Columns")
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
          "AccessionNumber", "ReferringPhysicianName")  # fmt: skip
_COPIED = ("Modality", "ViewPosition", "FrameOfReferenceUID")
_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")

Point = tuple[float, float]  # x from the left, y from the top


@dataclass(frozen=True, eq=False)
class SourceFilm:
    """One film of a study that results are filed beside.

    Attributes:
        radiograph: as it was judged: display values, upright, square pixels.
        header: ``reading.dicom.source.read_source`` of the same file.

    Raises:
        InputError: bad_header without the UIDs of study, series and film: no result can be filed beside it.
    """

    radiograph: Radiograph
    header: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        if missing := [keyword for keyword in _REQUIRED if not self.header.get(keyword)]:
            raise InputError("bad_header", f"the film has no {missing[0]}; no result can be filed beside it.")

    @property
    def sop_instance(self) -> str:
        return self.header["SOPInstanceUID"]

    @property
    def study_instance(self) -> str:
        return self.header["StudyInstanceUID"]

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the stored pixels."""
        return int(self.header["Columns"]), int(self.header["Rows"])

    @property
    def turn(self) -> Turn:
        """What brought the stored pixels upright."""
        return read_turn(self.header.get("PatientOrientation", ""))[0]

    @property
    def is_inverted(self) -> bool:
        """Whether high values are dark: MONOCHROME1, INVERSE, or both, which say the same thing (PS3.3 C.8.11.3)."""
        return (
            self.header.get("PhotometricInterpretation") == "MONOCHROME1"
            or self.header.get("PresentationLUTShape") == "INVERSE"
        )

    def stored(self, points: Sequence[Point]) -> list[Point]:
        """Points of the radiograph's own pixels as points of the stored ones: mirrored, turned and scaled back.

        Args:
            points: x in [0, columns], y in [0, rows] of ``radiograph.pixels``.
        """
        rows, columns = self.radiograph.pixels.shape
        wide, high = self.size
        turn, found = self.turn, []
        for x, y in points:
            u, v = x / columns, y / rows  # share of the picture as shown
            u, v = (1 - u if turn.mirror else u), (1 - v if turn.flip else v)
            u, v = (v, u) if turn.transpose else (u, v)
            found.append((min(max(u, 0.0), 1.0) * wide, min(max(v, 0.0), 1.0) * high))
        return found

    @cached_property
    def dataset(self) -> Dataset:
        """What objects made from the film need of it, without its pixels; all that is required is there, if empty."""
        made = Dataset()
        made.SpecificCharacterSet = "ISO_IR 192"
        for keyword in _EMPTY:
            setattr(made, keyword, "")
        for keyword in (*PATIENT, *STUDY, *_REQUIRED, *_COPIED):
            if value := self.header.get(keyword):
                setattr(made, keyword, int(value) if keyword in _NUMBERS else value)
        if made.PatientSex not in ("M", "F", "O"):
            made.PatientSex = ""
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, self.header.get("PhotometricInterpretation", "")
        for keyword in _NUMBERS[2:]:
            setattr(made, keyword, int(self.header.get(keyword, "0")))
        if spacing := _pair(self.header.get("PixelSpacing") or self.header.get("ImagerPixelSpacing") or ""):
            made.PixelSpacing = spacing
        self._add_rescale(made)
        return made

    def _add_rescale(self, made: Dataset) -> None:
        slope, intercept = self.header.get("RescaleSlope", ""), self.header.get("RescaleIntercept", "")
        if not slope or not intercept or "\\" in slope + intercept or not _number(slope):
            return
        made.RescaleSlope, made.RescaleIntercept = slope, intercept
        made.RescaleType = self.header.get("RescaleType", "US")


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _pair(value: str) -> list[float] | None:
    numbers = [_number(part) for part in value.split("\\")]
    return numbers if len(numbers) == 2 and min(numbers) > 0 else None
