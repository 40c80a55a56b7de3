"""Studies as arrays, as the model reads them, and which of its modes can read a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice
from lingula.model.tokenizer import ReportTokenizer, Tokens
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import VIEWS, Mode, Study, View, unique_notices

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Studies as arrays.

    Attributes:
        pixels: (N, 1, S, S) float32, the N radiographs of all studies, in study order.
        place: (N, 2) int64, for each radiograph its study's row and its slot among the study's views.
        views: (N,) int64 into ``VIEWS``. read: (N,) bool, False for a film that takes part in nothing.
        slots: V, most radiographs of one study; 0 when nobody has any.
        ids: (B, T) int64 token ids. token_mask: (B, T) bool, padding False. word_mask: also special tokens False.
    """

    pixels: Floats
    place: Whole
    views: Whole
    read: Mask
    slots: int
    ids: Whole
    token_mask: Mask
    word_mask: Mask

    def __len__(self) -> int:
        return len(self.ids)


def collate(
    films: Sequence[Sequence[tuple[npt.NDArray[Any], View]]],
    tokens: Sequence[Tokens | None],
    *,
    size: int,
    pad: int,
) -> Batch:
    """Inputs of B studies to a batch: ``films[b]`` holds (input (S, S), view) pairs, ``tokens[b]`` a report or None."""
    flat = [(b, slot, film, view) for b, study in enumerate(films) for slot, (film, view) in enumerate(study)]
    length = max((len(t.ids) for t in tokens if t), default=0)
    ids = np.full((len(films), length), pad, np.int64)
    token_mask, word_mask = (np.zeros((len(films), length), np.bool_) for _ in range(2))
    for b, report in enumerate(tokens):
        if report:
            ids[b, : len(report.ids)] = report.ids
            token_mask[b, : len(report.ids)] = True
            word_mask[b, : len(report.ids)] = report.is_word
    return Batch(
        pixels=np.stack([f for _, _, f, _ in flat])[:, None] if flat else np.zeros((0, 1, size, size), np.float32),
        place=np.array([(b, slot) for b, slot, _, _ in flat], np.int64).reshape(-1, 2),
        views=np.array([VIEWS.index(view) for *_, view in flat], np.int64),
        read=np.ones(len(flat), np.bool_),
        slots=max((len(study) for study in films), default=0),
        ids=ids,
        token_mask=token_mask,
        word_mask=word_mask,
    )


def batch_studies(studies: Sequence[Study], preprocessing: Preprocessing, tokenizer: ReportTokenizer) -> Batch:
    """Studies through the one pixel path and the one tokenisation."""
    films = [[(to_input(image, preprocessing), image.view) for image in study.radiographs] for study in studies]
    tokens = [tokenizer(study.report) if study.report and not study.report.is_empty else None for study in studies]
    read = np.array([not image.left_out for study in studies for image in study.radiographs], np.bool_)
    return replace(collate(films, tokens, size=preprocessing.size, pad=tokenizer.pad), read=read)


def legible(study: Study, tokenizer: ReportTokenizer) -> Study:
    """The study; without the sections of a report of which the tokenizer knows no word, and with notice
    report_empty."""
    if study.report is None or study.report.is_empty or tokenizer.knows(study.report):
        return study
    notice = Notice("report_empty", "The model knows no word of the report: it is not read.")
    return replace(study, report=study.report.only(), notices=unique_notices((*study.notices, notice)))


def study_mode(study: Study, asked: Mode | None = None) -> Mode:
    """The mode asked for, by default the one that reads all that tells what a study shows: beside a film, an indication
    alone does not (it is why the film was taken), and joint mode would take its silence for absence.

    Raises:
        InputError: ``report_empty`` when it has no film and nothing in its report was read; ``bad_request`` when it has
            neither film nor report, or lacks what the mode reads.
    """
    text = study.report is not None and not study.report.is_empty
    if not study.radiographs and not text:
        if study.report is not None or any(notice.code == "report_empty" for notice in study.notices):
            raise nothing_read(study)
        raise InputError("bad_request", f"Study {study.study_id} has neither a radiograph nor report text.")
    most: Mode = "joint" if study.radiographs and text else "image" if study.radiographs else "text"
    told = study.report is not None and not study.report.only("findings", "impression").is_empty
    if most == "joint" and asked is None and not told:
        return "image"
    if most != "joint" and asked not in (None, most):
        raise InputError(
            "bad_request", f"Study {study.study_id} cannot be read in {asked} mode.", f"It has {most} only."
        )
    return asked or most


def nothing_read(study: Study) -> InputError:
    """The refusal of a study without a film, from whose report nothing was learnt; with the reason first noticed."""
    told = (notice.message for notice in study.notices if notice.code in ("report_language", "report_empty"))
    reason = next(told, f"Nothing in the report of study {study.study_id} was read.")
    return InputError("report_empty", reason, "Give a report in English that says what is seen, or a film.")
