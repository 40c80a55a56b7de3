"""From files to studies: radiographs decoded by a sandbox, named and dated by the collection, in true geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from lingula.errors import InputError, Notice
from lingula.openi.collection import ImageFile, Refused, StudyFiles
from lingula.reading.view_classifier import with_views
from lingula.study import Radiograph, Study


class ImageReader(Protocol):
    """What is asked of a sandbox: each path answered once, in any order, with a radiograph or the reason for none."""

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]: ...


def load(files: StudyFiles, sandbox: ImageReader) -> Study:
    """Read one study. An image that is missing or refused is left out with a ``bad_image_ref`` notice."""
    return next(load_many([files], sandbox))


def load_many(
    studies: Iterable[StudyFiles], sandbox: ImageReader, *, on_refused: Callable[[Refused], None] | None = None
) -> Iterator[Study]:
    """Read studies, one after another in their order, while the sandbox reads ahead.

    Args:
        studies: a ``Collection`` or some of its studies.
        sandbox: reads the image files.
        on_refused: called with each image file that could not be read; the study carries a notice either way.
    """
    ahead, studies = tee(studies)
    answers = sandbox.read_many(image.path for files in ahead for image in files.images)
    read: dict[Path, Radiograph | InputError] = {}
    for files in studies:
        radiographs, notices = [], [_lost(image_id, "no file of that name") for image_id in files.missing]
        for image in files.images:
            while image.path not in read:
                path, answer = next(answers)
                read[path] = answer
            answer = read.pop(image.path)
            if isinstance(answer, Radiograph):
                radiographs.append(_placed(answer, image))
                continue
            notices.append(_lost(image.image_id, answer.code))
            if on_refused:
                on_refused(Refused.because(image.path, answer))
        study = Study(
            study_id=files.study_id,
            radiographs=tuple(radiographs),
            report=None if files.report.report.is_empty else files.report.report,
            terms=files.report.terms or None,
            notices=(*files.report.notices, *notices),
        )
        yield with_views(study)


def _lost(image_id: str, reason: str) -> Notice:
    return Notice("bad_image_ref", f"Image {image_id} of the report was left out: {reason}.")


def _placed(radiograph: Radiograph, image: ImageFile) -> Radiograph:
    """The radiograph as this image of the collection. The view is the collection's or unknown, never the header's."""
    return replace(
        radiograph,
        image_id=image.image_id,
        view=image.view,
        birth_date=image.birth_date or radiograph.birth_date,
        study_date=image.study_date or radiograph.study_date,
        pixels=radiograph.pixels if image.rows is None or image.columns is None
        else unsquash(radiograph.pixels, image.rows, image.columns),
    )  # fmt: skip


def unsquash(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Give a picture that was squashed to a square its true aspect back: the long side is kept, the other shrunk.

    Args:
        pixels: (side, side) float32; any other shape is not squashed and is returned as it is.
        rows, columns: of the original.
    """
    side = pixels.shape[0]
    if pixels.shape[1] != side or rows == columns:
        return pixels
    height, width = (max(1, round(side * length / max(rows, columns))) for length in (rows, columns))
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture, np.float32), 0, 1)  # bicubic overshoots at edges
