"""The explainers by name, and their answers in the asker's coordinates: the film's pixels, the report's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.explanation.attention import attention
from lingula.explanation.contribution import contribution
from lingula.explanation.occlusion import occlusion
from lingula.explanation.target import Floats, Target
from lingula.explanation.trust import pointing_of, shown_methods, trust_of
from lingula.explanation.typical_place import TYPICAL_PLACE, typical_place
from lingula.model.batch import study_mode
from lingula.model.checkpoint import Checkpoint
from lingula.reading.preprocess import Letterbox, to_radiograph
from lingula.study import Explanation, Mode, Study, TokenScore

METHODS = ("contribution", "attention", "gradcam", "integrated_gradients", "occlusion")
QUICK = ("contribution", "attention")
"""Methods that take a pass; the others take dozens to hundreds, or need gradients."""
GRADIENT = frozenset(["gradcam", "integrated_gradients"])
"""Methods that need gradients, which a deployed model has none of, and which are answered when they are named. The
extra ``lab`` brings them by the entry point ``lingula.explanations``: a function without arguments that gives those
installed by name, each a function of a ``Target`` that answers as ``raw`` does."""
DEPLOYED = tuple(name for name in METHODS if name not in GRADIENT)
Method = Callable[[Target], tuple[Floats, Floats | None, float | None]]
SMOOTH = 1 / 10
"""Standard deviation, in sides of the film, with which contributions are smoothed; chosen on films with boxes
(``benchmarks/boxes.py --smooth``)."""
FILM_ONLY = frozenset(["gradcam", "occlusion", TYPICAL_PLACE])
"""Methods that say nothing of words."""


def explain(
    study: Study,
    model: Checkpoint,
    label: str,
    *,
    methods: Sequence[str] | None = None,
    mode: Mode | None = None,
    anyway: bool = False,
) -> tuple[Explanation, ...]:
    """Evidence for one label of one study.

    Args:
        model: the checkpoint that predicts it.
        study: as it was predicted; ``read_study`` has named its views.
        label: code of the vocabulary.
        methods: of ``METHODS``, or ``TYPICAL_PLACE``; by default those that passed their tests with this checkpoint
            (``explain.trust``) and need no gradients. Those that explain films alone are left out where there is none.
        mode: which modalities are read; by default all that the study has.
        anyway: give maps also where the label cannot be localised (``Explanation.localisable``).

    Returns:
        One ``Explanation`` a method, in the order of ``METHODS``.

    Raises:
        InputError: ``bad_request`` for an unknown label or method, one that is not installed, a mode the study lacks
            the parts for, or a label whose typical place is not known.
    """
    if label not in model.vocabulary.codes:
        raise InputError("bad_request", f"No label {label!r}.", f"Labels: {', '.join(model.vocabulary.codes)}.")
    methods = shown_methods(model.fingerprint, DEPLOYED) if methods is None else methods
    available = (*METHODS, TYPICAL_PLACE)
    if unknown := [name for name in methods if name not in available]:
        raise InputError("bad_request", f"No method {unknown[0]!r}.", f"Methods: {', '.join(available)}.")
    if lacking := [name for name in methods if name in METHODS and name not in installed_methods()]:
        raise InputError("bad_request", f"{lacking[0]} needs gradients.", "pip install 'lingula[lab]' brings it.")
    if not methods:
        return ()
    question = Target.ask(model, study, label, study_mode(study, mode))
    names = [name for name in available if name in methods]
    if not study.radiographs or question.mode == "text":
        names = [name for name in names if name not in FILM_ONLY]
    explanations = (_answer(question, name) for name in names)
    return tuple(explanations if anyway else map(withheld, explanations))


def withheld(explanation: Explanation) -> Explanation:
    """Without its maps where they were found to point nowhere."""
    return replace(explanation, maps=()) if explanation.localisable is False else explanation


def installed_methods() -> tuple[str, ...]:
    """Of ``METHODS`` those that can be asked for here."""
    return tuple(name for name in METHODS if name not in GRADIENT or name in _extensions())


@cache
def _extensions() -> dict[str, Method]:
    return {name: one for point in entry_points(group="lingula.explanations") for name, one in point.load()().items()}


def _answer(question: Target, name: str) -> Explanation:
    label, fingerprint = question.checkpoint.vocabulary.codes[question.label], question.checkpoint.fingerprint
    if name == TYPICAL_PLACE:
        return typical_place(question.study, label)
    maps, words, error = raw(question, name)
    return Explanation(
        name,
        label,
        _maps(question, maps, share=name == "integrated_gradients") if question.mode != "text" else (),
        _tokens(question, words) if words is not None else (),
        signed=name not in ("attention", "gradcam"),
        completeness_error=error,
        trust=trust_of(fingerprint, name),
        pointing=pointing_of(fingerprint, name, label) if question.mode != "text" and question.films else None,
    )


def raw(question: Target, name: str) -> tuple[Floats, Floats | None, float | None]:
    """A method's answer on the model's own raster.

    Returns:
        maps (N, m, m) over the square input of each film, m the patch grid's or the input's side; words (T,), None
        from a method that does not explain them; the completeness error of a method whose shares have a sum.
    """
    grid = question.checkpoint.model.architecture.grid
    if name in GRADIENT:
        return _extensions()[name](question)
    if name == "occlusion":
        return occlusion(question), None, None
    if name == "attention":
        patches, words = attention(question)
        return patches.reshape(-1, grid, grid), words, None
    patches, words, error = contribution(question)
    return smoothed(patches.reshape(-1, grid, grid)), words, error


def smoothed(maps: Floats) -> Floats:
    """maps (N, m, m) through a Gaussian of ``SMOOTH`` of the film, mirrored at the edges: the sum stays what it was.

    One patch more or less is noise: on films with boxes a smoothed map points better than one that is not.
    """
    side = maps.shape[-1]
    reach = np.arange(-side, side + 1)
    weights = np.exp(-0.5 * (reach / (SMOOTH * side)) ** 2)
    weights /= weights.sum()
    spread = np.zeros((side, side))
    for row in range(side):
        at = (row + reach) % (2 * side)  # half-sample mirror: 0 1 2 2 1 0 0 1 ...
        np.add.at(spread[row], np.minimum(at, 2 * side - 1 - at), weights)
    return np.asarray(spread @ maps.astype(float) @ spread.T, maps.dtype)


def _maps(question: Target, maps: Floats, *, share: bool = False) -> tuple[npt.NDArray[np.float32], ...]:
    """One map (H, W) over the square input per film, in that film's own pixels.

    With ``share`` the values are shares of a total and are thinned or thickened so that their sum stays what it was.
    """
    size = question.checkpoint.model.architecture.preprocessing.size
    films = question.study.radiographs if len(maps) else ()
    inside = [Letterbox.of(film.pixels, size) for film in films]
    scale = [maps.shape[-1] / max(box.rows, box.columns) if share else 1.0 for box in inside]
    return tuple(
        to_radiograph(m, film.pixels, size) * np.float32(factor**2)
        for m, film, factor in zip(maps, films, scale, strict=True)
    )


def _tokens(question: Target, scores: Floats) -> tuple[TokenScore, ...]:
    if question.mode == "image":
        return ()
    return tuple(
        TokenScore(start, end, float(score))
        for (start, end), score in zip(question.spans, scores.tolist(), strict=True)
        if end > start
    )
