"""Shapes on films that a DICOM file brings: a presentation state, or coordinates of a structured report.

Read are the points, outlines, circles and ellipses of a Grayscale Softcopy Presentation State (PS3.3 C.10.5) and the
SCOORD items of a report (PS3.3 C.18.6), in pixels of the film they name. An outline becomes its bounding box. Words are
left out: they may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydicom import Dataset

from lingula.errors import InputError
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.document import OWN
from lingula.reading.dicom.elements import text
from lingula.reading.dicom.part10 import open_part10
from lingula.reading.dicom.reader import parse_envelope
from lingula.reading.limits import Limits

DEEPEST = 16
"""Levels of a report's content tree that are looked through."""
MOST_SHAPES = 2000
"""Shapes that are taken from one file."""
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class GraphicShape:
    """A shape on the film of this SOP Instance UID: its graphic type; in pixels (x, y) the one point, the centre of a
    circle and a point on it, or two corners of what bounds it."""

    uid: str
    kind: str
    points: Points


@dataclass(frozen=True, slots=True)
class GraphicShapes:
    """All shapes of a file; ``is_state`` where it is a presentation state, ``is_own`` where this software wrote it."""

    is_state: bool
    is_own: bool
    shapes: tuple[GraphicShape, ...]


def read_shapes(path: Path, limits: Limits) -> GraphicShapes:
    """The shapes of a file.

    Raises:
        InputError: any code of ``open_part10``; ``bad_header``.
    """
    dataset = parse_envelope(open_part10(read_file(path, limits.xml_bytes), limits))
    try:
        states = tuple(islice(_annotations(dataset), MOST_SHAPES))
        shapes = tuple(islice(chain(states, _coordinates(dataset, DEEPEST)), MOST_SHAPES))
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError("bad_header", "its marks cannot be read.") from error
    return GraphicShapes(bool(states), text(dataset, "Manufacturer") == OWN, shapes)


def shape_of(uid: str, kind: str, values: Iterable[Any]) -> GraphicShape:
    """A shape of graphic data, x and y in turns.

    Raises:
        ValueError: for other than pairs of finite numbers.
    """
    numbers = [float(value) for value in values]
    points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if not points or not all(map(math.isfinite, numbers)) or (kind == "CIRCLE" and len(points) != 2):
        raise ValueError("graphic data that bound nothing")
    if kind not in ("POINT", "CIRCLE"):
        xs, ys = zip(*points, strict=True)
        points = ((min(xs), min(ys)), (max(xs), max(ys)))
    return GraphicShape(uid, kind, points[:2])


def _annotations(dataset: Dataset) -> Iterator[GraphicShape]:
    """Of a presentation state."""
    everything = [image for series in dataset.get("ReferencedSeriesSequence", ())
                  for image in series.get("ReferencedImageSequence", ())]  # fmt: skip
    for annotation in dataset.get("GraphicAnnotationSequence", ()):
        images = annotation.get("ReferencedImageSequence", ()) or everything
        for graphic in annotation.get("GraphicObjectSequence", ()):
            if graphic.get("GraphicAnnotationUnits") == "PIXEL":
                for image in images:
                    yield shape_of(str(image.ReferencedSOPInstanceUID), str(graphic.GraphicType), graphic.GraphicData)


def _coordinates(item: Dataset, depth: int) -> Iterator[GraphicShape]:
    """Of the spatial coordinates of a report, each with the image it was selected from."""
    for content in item.get("ContentSequence", ()) if depth else ():
        if content.get("ValueType") == "SCOORD":
            for image in content.get("ContentSequence", ()):
                for reference in image.get("ReferencedSOPSequence", ()):
                    uid = str(reference.ReferencedSOPInstanceUID)
                    yield shape_of(uid, str(content.GraphicType), content.GraphicData)
        yield from _coordinates(content, depth - 1)
