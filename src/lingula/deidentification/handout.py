"""Stored studies as they may be given away: on slides and cards, in a set's file, to a class.

Reports are cleaned once more, for what an older library holds; words burned into films are covered. Studies of the
published collection are without patients already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lingula.deidentification.burned_text import cover_text, has_reader
from lingula.errors import InputError, Notice
from lingula.labels.identifiers import BY_FORM
from lingula.library import StudyRecord, Summary, preview
from lingula.library.record import StoredRadiograph
from lingula.openi.published import is_published
from lingula.study import Radiograph

_COVERED_FILMS = 256
WITHHELD = "Not shown: text in this film\ncould not be covered."


def handout_words(text: str) -> str:
    """Words of a teacher or of a report without names, numbers and dates."""
    return BY_FORM.cleaned(text)[0]


def handout_summary(summary: Summary) -> Summary:
    """A summary with its report cleaned."""
    if summary.report is None or is_published(summary.study_id):
        return summary
    return replace(summary, report=BY_FORM.clean_report(summary.report)[0])


def handout_record(record: StudyRecord, *, films: bool = True) -> StudyRecord:
    """A record with its report cleaned and, with ``films``, the words in its films covered.

    Raises:
        InputError: as ``handout_film``.
    """
    if is_published(record.study_id):
        return record
    report = None if record.report is None else BY_FORM.clean_report(record.report)[0]
    shown = record.radiographs
    if films:
        shown = tuple(replace(film, png=handout_film(record.study_id, film)) for film in shown)
    return replace(record, report=report, radiographs=shown)


def handout_film(study_id: str, film: StoredRadiograph) -> bytes:
    """The preview of a film as PNG, words in it covered; as it is where Tesseract is not installed and the header told
    of no words.

    A film in which words are still read after they were covered is withheld: a black picture says so.

    Raises:
        InputError: ``text_reader_missing`` where the header told of words and nobody can look for them.
    """
    if is_published(study_id):
        return film.png
    if has_reader():
        return _covered(film.png)
    _refuse_told(film.notices, f"a film of study {study_id}")
    return film.png


def _refuse_told(notices: Iterable[Notice], what: str) -> None:
    if any(notice.code == "burned_in_annotation" for notice in notices):
        hint = "Install the package tesseract-ocr; the words are covered then."
        raise InputError("text_reader_missing", f"Words are burned into {what}.", hint)


def handout_pixels(film: Radiograph) -> npt.NDArray[np.float32]:
    """(rows, columns) float32 of a film that somebody brought, words in it covered; Raises as ``handout_film``."""
    if not has_reader():
        _refuse_told(film.notices, "the film")
        return film.pixels
    pixels, boxes, is_clean = cover_text(film.pixels, _eight_bit)
    if not is_clean:
        return preview.decode(_withheld(film.pixels.shape)).astype(np.float32) / np.float32(255)
    return np.asarray(pixels, np.float32) if boxes else film.pixels


def forget_films() -> None:
    """Forget the films that were covered: one of them was deleted."""
    _covered.cache_clear()


@lru_cache(_COVERED_FILMS)
def _covered(png: bytes) -> bytes:
    given = preview.decode(png)
    pixels, boxes, is_clean = cover_text(given, _as_it_is)
    if not is_clean:
        return _withheld(given.shape)
    return preview.encode(np.asarray(pixels, np.float32) / np.float32(255)) if boxes else png


def _withheld(shape: tuple[int, ...]) -> bytes:
    """A black picture that says why it stands in a film's place."""
    picture = Image.new("L", (shape[1], shape[0]))
    font = ImageFont.load_default(max(8, shape[1] // 20))
    ImageDraw.Draw(picture).multiline_text((4, shape[0] // 3), WITHHELD, fill=160, font=font)
    return preview.encode(np.asarray(picture, np.float32) / np.float32(255))


def _eight_bit(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    return np.rint(255 * np.clip(pixels.astype(np.float32), 0, 1)).astype(np.uint8)


def _as_it_is(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    return pixels.astype(np.uint8)
