"""The explainers by name, and their answers in the asker's coordinates: the film's pixels, the report's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lingula.errors import InputError
from lingula.explain.attention import attention
from lingula.explain.gradcam import gradcam
from lingula.explain.gradients import integrated_gradients
from lingula.explain.question import Question
from lingula.models.checkpoint import Checkpoint
from lingula.models.preprocess import to_radiograph
from lingula.models.study_model import study_mode
from lingula.study import Explanation, Mode, Study, TokenScore

METHODS = ("attention", "gradcam", "integrated_gradients")


def explain(
    checkpoint: Checkpoint,
    study: Study,
    label: str,
    *,
    methods: Sequence[str] = METHODS,
    mode: Mode | None = None,
) -> tuple[Explanation, ...]:
    """Evidence for one label of one study.

    Args:
        study: with its views named (``lingula.models.view.with_views``), as the prediction read it.
        label: code of the vocabulary. methods: of ``METHODS``; Grad-CAM is left out where there is no film.
        mode: which modalities are read; by default all that the study has.

    Raises:
        InputError: ``bad_request`` for an unknown label or method, or a mode the study lacks the parts for.
    """
    if label not in checkpoint.vocabulary.codes:
        raise InputError("bad_request", f"No label {label!r}.", f"Labels: {', '.join(checkpoint.vocabulary.codes)}.")
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError("bad_request", f"No method {unknown[0]!r}.", f"Methods: {', '.join(METHODS)}.")
    question = Question.ask(checkpoint, study, label, study_mode(study, mode))
    answers = []
    for name in METHODS:
        if name not in methods or (name == "gradcam" and (not study.radiographs or question.mode == "text")):
            continue
        answers.append(_answer(question, name))
    return tuple(answers)


def _answer(question: Question, name: str) -> Explanation:
    label = question.checkpoint.vocabulary.codes[question.label]
    grid = question.checkpoint.model.architecture.grid
    if name == "attention":
        patches, words = attention(question)
        return Explanation(name, label, _maps(question, patches.view(-1, grid, grid)), _tokens(question, words))
    if name == "gradcam":
        return Explanation(name, label, _maps(question, gradcam(question)))
    pixels, words, error = integrated_gradients(question)
    maps = _maps(question, pixels, share=True) if question.mode != "text" else ()
    return Explanation(name, label, maps, _tokens(question, words), signed=True, completeness_error=error)


def _maps(question: Question, maps: Tensor, *, share: bool = False) -> tuple[npt.NDArray[np.float32], ...]:
    """One map (H, W) over the square input per film, in that film's own pixels.

    With ``share`` the values are shares of a total and are thinned or thickened so that their sum stays what it was.
    """
    size = question.checkpoint.model.architecture.preprocessing.size
    films = question.study.radiographs if len(maps) else ()
    scale = [maps.shape[-1] / max(film.pixels.shape) if share else 1.0 for film in films]
    return tuple(
        to_radiograph(m.numpy(), film.pixels.shape[0], film.pixels.shape[1], size) * np.float32(factor**2)
        for m, film, factor in zip(maps, films, scale, strict=True)
    )


def _tokens(question: Question, scores: Tensor) -> tuple[TokenScore, ...]:
    if question.mode == "image":
        return ()
    return tuple(
        TokenScore(start, end, float(score))
        for (start, end), score in zip(question.spans, scores.tolist(), strict=True)
        if end > start
    )
