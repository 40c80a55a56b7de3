"""All objects of one result, as they go to an archive."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from lingula.node.kinds import DEFAULT_KINDS, Kind
from lingula.node.optional_objects import encapsulated_document, key_objects, segmentation
from lingula.node.presentation_state import presentation_state
from lingula.node.result import StudyResult
from lingula.node.secondary_capture import secondary_capture
from lingula.node.structured_report import structured_report


@dataclass(frozen=True, slots=True, eq=False)
class ResultObject:
    """One DICOM object, ready to be stored.

    Attributes:
        kind: what it is. sop_instance: its identifier. data: the file (PS3.10), preamble and all.
    """

    kind: Kind
    sop_instance: str
    data: bytes = field(repr=False)


def result_objects(result: StudyResult, kinds: Sequence[Kind] = DEFAULT_KINDS) -> tuple[ResultObject, ...]:
    """The objects of these kinds; segments and key objects only where something was flagged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of values that the film itself has
        return tuple(ResultObject(kind, str(made.SOPInstanceUID), _file(made)) for kind, made in _made(result, kinds))


def _made(result: StudyResult, kinds: Sequence[Kind]) -> Iterator[tuple[Kind, Dataset]]:
    films = range(len(result.films))
    if "sr" in kinds:
        yield "sr", structured_report(result)
    if "gsps" in kinds:
        yield from (("gsps", presentation_state(result, film)) for film in films)
    if "sc" in kinds:
        yield from (("sc", secondary_capture(result, film)) for film in films)
    if "seg" in kinds:
        yield from (("seg", made) for film in films if (made := segmentation(result, film)) is not None)
    if "ko" in kinds and (selection := key_objects(result)) is not None:
        yield "ko", selection
    if "pdf" in kinds:
        yield "pdf", encapsulated_document(result)


def _file(made: Dataset) -> bytes:
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
