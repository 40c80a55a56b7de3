"""Studies through the model: embeddings in every mode a study has the parts for, and calibrated predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice
from lingula.model.batch import Batch, batch_studies, legible, study_mode
from lingula.model.checkpoint import Checkpoint
from lingula.model.forward import Encoded
from lingula.model.gate import Outside, film_features, gate_of
from lingula.study import MODES, FilmJudgement, Mode, Prediction, Radiograph, Study, View, least_familiar

Vector = npt.NDArray[np.float32]


def embed(
    studies: Iterable[Study], checkpoint: Checkpoint, batch: int = 8
) -> Iterator[tuple[Study, dict[Mode, Vector]]]:
    """Studies with their embeddings.

    Args:
        studies: each with at least a radiograph or report text.
        checkpoint: the model that embeds them.
        batch: studies that are computed together.

    Returns:
        Each study, in its turn, with vectors (D,) float32 of unit norm by mode, in every mode it has the parts for.

    Raises:
        InputError: ``bad_request`` for a study with neither.
    """
    remaining = (legible(study, checkpoint.tokenizer) for study in studies)
    while group := list(islice(remaining, batch)):
        tensors = batch_studies(group, checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
        encoded = checkpoint.model.encode(tensors)
        available = [available_modes(study) for study in group]
        vectors: list[dict[Mode, Vector]] = [{} for _ in group]
        for mode in MODES:
            if rows := [row for row, modes in enumerate(available) if mode in modes]:
                output = checkpoint.model.fuse(encoded.rows(rows).only(mode))
                for row, vector in zip(rows, output.embedding, strict=True):
                    vectors[row][mode] = vector
        yield from zip(group, vectors, strict=True)


def available_modes(study: Study) -> tuple[Mode, ...]:
    """The modes in which a study can be asked about or found."""
    both = study.radiographs and study.report is not None and not study.report.is_empty
    return MODES if both else (study_mode(study),)


@dataclass(frozen=True, slots=True, eq=False)
class ModelAnswer:
    """What the model says of one study in one mode.

    Attributes:
        study: with unknown views named, and what the gate found in its films' notices.
        predictions: one a label, in the vocabulary's order. embedding: (D,) float32 of unit norm.
        films: the gate's judgements; empty where no film was read, or the model has no gate.
    """

    study: Study
    predictions: tuple[Prediction, ...]
    embedding: Vector
    films: tuple[FilmJudgement, ...] = ()

    @property
    def probabilities(self) -> dict[str, float]:
        """By label."""
        return {prediction.label: prediction.probability for prediction in self.predictions}

    @property
    def answerable(self) -> bool:
        """False where no film is a chest radiograph."""
        return least_familiar(self.films) != "not_chest"


def predict(
    study: Study, model: Checkpoint, mode: Mode | None = None, *, anyway: bool = False
) -> tuple[Prediction, ...]:
    """Calibrated probabilities and decisions for every label.

    Args:
        study: with at least a radiograph or report text.
        mode: what is read of it, ``image``, ``text`` or ``joint``; by default all that tells what it shows.
        anyway: read films, too, that are no chest radiographs.

    Returns:
        One ``Prediction`` a label, in the vocabulary's order; probabilities in [0, 1].

    Raises:
        InputError: ``bad_request`` when the study lacks what the mode reads, ``not_a_chest_film`` where no film is one.
    """
    study = legible(study, model.tokenizer)
    answer = ask_model(study, model, study_mode(study, mode), anyway=anyway)
    if not (answer.answerable or anyway):
        raise InputError("not_a_chest_film", "No film looks like a chest radiograph.", "Ask anyway=True.")
    return answer.predictions


def ask_model(study: Study, checkpoint: Checkpoint, mode: Mode, *, anyway: bool = False) -> ModelAnswer:
    """A study through the model in one mode, its films judged by the checkpoint's gate before fusion.

    A film whose view its thumbnail does not tell gets the one the gate tells, and is read with that. Films that are no
    chest radiographs are left out where others are, but ``anyway``.
    """
    gate = gate_of(checkpoint.fingerprint)
    films: tuple[FilmJudgement, ...] = ()
    tensors, encoded = _encoded(study, checkpoint, mode)
    if gate and study.radiographs and mode != "text":
        films = gate.judge(film_features(checkpoint.model, encoded, tensors), study.radiographs)
        named = with_judgements(study, films, leave_out=not anyway)
        if _as_read(named) != _as_read(study):
            _, encoded = _encoded(named, checkpoint, mode)
        study = named
    output = checkpoint.model.fuse(encoded.only(mode))
    outside = gate.outside if gate and mode == "image" and least_familiar(films) == "unlike" else None
    predictions = _predictions(checkpoint, output.logits[0], mode, outside)
    return ModelAnswer(study, predictions, output.embedding[0], films)


def _as_read(study: Study) -> list[tuple[View, bool]]:
    """What of a study's films the gate may change: as which view, and whether at all, each is read."""
    return [(film.view, film.left_out) for film in study.radiographs]


def with_judgements(study: Study, films: Sequence[FilmJudgement], *, leave_out: bool) -> Study:
    """The study with unknown views named as the gate sees them, and its warnings in place of the thumbnail's.

    leave_out: have films that are no chest radiographs not read, where others are.
    """
    names = [f"Film {number}" for number in range(1, len(films) + 1)] if len(films) > 1 else ["This film"] * len(films)
    some = leave_out and least_familiar(films) != "not_chest"
    annotated = (_annotated(*named, some) for named in zip(names, study.radiographs, films, strict=True))
    return replace(study, radiographs=tuple(annotated))


def _annotated(name: str, film: Radiograph, judgement: FilmJudgement, some: bool) -> Radiograph:
    others = tuple(each for each in film.notices if each.code not in ("out_of_distribution", "view_uncertain"))
    view: View = film.view
    if view == "unknown" and judgement.familiarity != "not_chest":
        view = "lateral" if judgement.projection == "lateral" else "frontal"
    left_out = some and judgement.familiarity == "not_chest"
    warning, more = _WARNINGS.get(judgement.familiarity), _LEFT_OUT if left_out else ""
    added = (Notice(warning[0], f"{name} {warning[1]}{more}"),) if warning else ()
    return replace(film, view=view, notices=(*added, *others), left_out=left_out)


_LEFT_OUT = " It is not read: the answer rests on the other films."
_WARNINGS = {
    "not_chest": ("not_a_chest_film", "does not look like a chest radiograph, upright and whole."),
    "unlike": (
        "unlike_training_films",
        "is unlike the chest films that the model learnt from. Findings are told less well on such films; those that "
        "cannot be judged on them are marked so.",
    ),
}


def _encoded(study: Study, checkpoint: Checkpoint, mode: Mode) -> tuple[Batch, Encoded]:
    """The study as far as the mode reads it."""
    study = study.text_only() if mode == "text" else study.image_only() if mode == "image" else study
    tensors = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    return tensors, checkpoint.model.encode(tensors)


def _predictions(
    checkpoint: Checkpoint, logits: npt.NDArray[np.floating], mode: Mode, outside: Outside | None
) -> tuple[Prediction, ...]:
    """One prediction a label, (L,) logits calibrated for the mode, or for films from elsewhere."""
    calibration = checkpoint.calibration[mode]
    probabilities, threshold = calibration.probabilities(logits), calibration.threshold
    decisions, intervals = calibration.decide(probabilities), calibration.interval(probabilities)
    if outside is not None:
        there, judged = outside.calibration, outside.judged
        elsewhere = there.probabilities(logits)
        measured, decided = ~np.isnan(elsewhere), zip(judged, there.decide(elsewhere), strict=True)
        decisions = tuple(decision if judge else "cannot_judge" for judge, decision in decided)
        intervals = np.where(measured[:, None], there.interval(elsewhere), np.nan)
        probabilities = np.where(measured, elsewhere, probabilities)
        threshold = np.where(judged, there.threshold, threshold)
    rows = zip(checkpoint.vocabulary.labels, probabilities, threshold, decisions, intervals.tolist(), strict=True)
    return tuple(
        Prediction(label.code, label.name, float(p), float(t), decision, None if np.isnan(low) else (low, high))
        for label, p, t, decision, (low, high) in rows
    )
