"""The explainers by name, and their answers in the asker's coordinates: the film's pixels, the report's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lingula.errors import InputError
from lingula.explanation.attention import attention
from lingula.explanation.contribution import contribution
from lingula.explanation.gradcam import gradcam
from lingula.explanation.integrated_gradients import integrated_gradients
from lingula.explanation.occlusion import occlusion
from lingula.explanation.target import Target
from lingula.explanation.trust import shown_methods, trust_of
from lingula.model.checkpoint import Checkpoint
from lingula.model.study_model import study_mode
from lingula.reading.preprocess import Letterbox, to_radiograph
from lingula.study import Explanation, Mode, Study, TokenScore

QUICK = ("contribution", "attention", "gradcam")
"""Methods that take a pass or two; the others take dozens to hundreds."""
METHODS = (*QUICK, "integrated_gradients", "occlusion")
SMOOTH = 1 / 16
"""Standard deviation, in sides of the film, with which contributions are smoothed; chosen on films with boxes."""
FILM_ONLY = frozenset(["gradcam", "occlusion"])
"""Methods that say nothing of words."""


def explain(
    study: Study,
    model: Checkpoint,
    label: str,
    *,
    methods: Sequence[str] | None = None,
    mode: Mode | None = None,
) -> tuple[Explanation, ...]:
    """Evidence for one label of one study.

    Args:
        model: the checkpoint that predicts it.
        study: as it was predicted; ``read_study`` has named its views.
        label: code of the vocabulary.
        methods: of ``METHODS``; by default those that passed their tests with this checkpoint (``explain.trust``).
            Those that explain films alone are left out where there is none.
        mode: which modalities are read; by default all that the study has.

    Returns:
        One ``Explanation`` a method, in the order of ``METHODS``.

    Raises:
        InputError: ``bad_request`` for an unknown label or method, or a mode the study lacks the parts for.
    """
    if label not in model.vocabulary.codes:
        raise InputError("bad_request", f"No label {label!r}.", f"Labels: {', '.join(model.vocabulary.codes)}.")
    methods = shown_methods(model.fingerprint, METHODS) if methods is None else methods
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError("bad_request", f"No method {unknown[0]!r}.", f"Methods: {', '.join(METHODS)}.")
    if not methods:
        return ()
    question = Target.ask(model, study, label, study_mode(study, mode))
    asked = [name for name in METHODS if name in methods]
    if not study.radiographs or question.mode == "text":
        asked = [name for name in asked if name not in FILM_ONLY]
    return tuple(_answer(question, name) for name in asked)


def _answer(question: Target, name: str) -> Explanation:
    label, fingerprint = question.checkpoint.vocabulary.codes[question.label], question.checkpoint.fingerprint
    maps, words, error = raw(question, name)
    return Explanation(
        name,
        label,
        _maps(question, maps, share=name == "integrated_gradients") if question.mode != "text" else (),
        _tokens(question, words) if words is not None else (),
        signed=name not in ("attention", "gradcam"),
        completeness_error=error,
        trust=trust_of(fingerprint, name),
    )


def raw(question: Target, name: str) -> tuple[Tensor, Tensor | None, float | None]:
    """A method's answer on the model's own raster.

    Returns:
        maps (N, m, m) over the square input of each film, m the patch grid's or the input's side; words (T,), None
        from a method that does not explain them; the completeness error of a method whose shares have a sum.
    """
    grid = question.checkpoint.model.architecture.grid
    if name == "gradcam":
        return gradcam(question), None, None
    if name == "occlusion":
        return occlusion(question), None, None
    if name == "integrated_gradients":
        return integrated_gradients(question)
    if name == "attention":
        patches, words = attention(question)
        return patches.view(-1, grid, grid), words, None
    patches, words, error = contribution(question)
    return smoothed(patches.view(-1, grid, grid)), words, error


def smoothed(maps: Tensor) -> Tensor:
    """maps (N, m, m) through a Gaussian of ``SMOOTH`` of the film, mirrored at the edges: the sum stays what it was.

    One patch more or less is noise: on films with boxes a smoothed map points better than one that is not.
    """
    side = maps.shape[-1]
    reach = torch.arange(-side, side + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (reach / (SMOOTH * side)) ** 2)
    weights /= weights.sum()
    spread = torch.zeros(side, side, dtype=torch.float64)
    for row in range(side):
        at = (row + reach.long()) % (2 * side)  # half-sample mirror: 0 1 2 2 1 0 0 1 ...
        spread[row].index_add_(0, torch.minimum(at, 2 * side - 1 - at), weights)
    return (spread @ maps.double() @ spread.T).to(maps.dtype)


def _maps(question: Target, maps: Tensor, *, share: bool = False) -> tuple[npt.NDArray[np.float32], ...]:
    """One map (H, W) over the square input per film, in that film's own pixels.

    With ``share`` the values are shares of a total and are thinned or thickened so that their sum stays what it was.
    """
    size = question.checkpoint.model.architecture.preprocessing.size
    films = question.study.radiographs if len(maps) else ()
    inside = [Letterbox.of(film.pixels, size) for film in films]
    scale = [maps.shape[-1] / max(box.rows, box.columns) if share else 1.0 for box in inside]
    return tuple(
        to_radiograph(m.numpy(), film.pixels, size) * np.float32(factor**2)
        for m, film, factor in zip(maps, films, scale, strict=True)
    )


def _tokens(question: Target, scores: Tensor) -> tuple[TokenScore, ...]:
    if question.mode == "image":
        return ()
    return tuple(
        TokenScore(start, end, float(score))
        for (start, end), score in zip(question.spans, scores.tolist(), strict=True)
        if end > start
    )
