"""One call from a study to findings, similar cases and evidence: what the command line, the page and Python share."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from lingula.errors import ModelError, Notice
from lingula.explain import METHODS, explain
from lingula.library import Library
from lingula.models.checkpoint import MODES, Checkpoint
from lingula.models.study_model import batch_studies, study_mode
from lingula.models.view import with_views
from lingula.study import Analysis, Mode, Neighbour, Prediction, Study, unique_notices

Vector = npt.NDArray[np.float32]


def embed(
    checkpoint: Checkpoint, studies: Iterable[Study], batch: int = 8
) -> Iterator[tuple[Study, dict[Mode, Vector]]]:
    """Each study with its embeddings, (D,) float32 of unit norm, in every mode it has the parts for."""
    remaining = iter(studies)
    while group := list(islice(remaining, batch)):
        tensors = batch_studies(group, checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
        with torch.inference_mode():
            outputs = checkpoint.model(tensors, MODES)
        for row, study in enumerate(group):
            yield study, {mode: outputs[mode].embedding[row].numpy() for mode in available_modes(study)}


def available_modes(study: Study) -> tuple[Mode, ...]:
    """The modes in which a study can be asked about or found."""
    mode = study_mode(study)
    return MODES if mode == "joint" else (mode,)


def predict(checkpoint: Checkpoint, study: Study, mode: Mode | None = None) -> tuple[Prediction, ...]:
    """Calibrated probabilities and decisions for every label, in the vocabulary's order."""
    return _ask(checkpoint, with_views(study), study_mode(study, mode))[0]


def _ask(checkpoint: Checkpoint, study: Study, mode: Mode) -> tuple[tuple[Prediction, ...], Vector]:
    tensors = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    with torch.inference_mode():
        output = checkpoint.model(tensors, (mode,))[mode]
    calibration = checkpoint.calibration[mode]
    probabilities = calibration.probabilities(output.logits[0].numpy())
    rows = zip(
        checkpoint.vocabulary.labels,
        probabilities,
        calibration.threshold,
        calibration.decide(probabilities),
        strict=True,
    )
    predictions = tuple(Prediction(label.code, label.name, float(p), float(t), said) for label, p, t, said in rows)
    return predictions, output.embedding[0].numpy()


def search(
    checkpoint: Checkpoint,
    library: Library,
    study: Study,
    *,
    k: int = 5,
    mode: Mode | None = None,
    gallery: Mode | None = None,
    exclude: Collection[str] = (),
) -> tuple[Neighbour, ...]:
    """The nearest studies of a library.

    Args:
        mode: what of the query is read; by default all it has.
        gallery: which embeddings are searched; by default those of the query's own mode.
        exclude: study ids that may not answer; the study itself never does.
    """
    mode = study_mode(study, mode)
    require_model(library, checkpoint)
    embedding = _ask(checkpoint, with_views(study), mode)[1]
    return library.search(embedding, mode=gallery or mode, k=k, exclude={study.study_id, *exclude})


def require_model(library: Library, checkpoint: Checkpoint) -> None:
    """Raise ModelError ``model_mismatch`` unless this very checkpoint filled the library."""
    if library.about.model != checkpoint.fingerprint:
        raise ModelError(
            "model_mismatch",
            f"The library was filled by model {library.about.model}, the query is read by {checkpoint.fingerprint}.",
            "Use that model, or import the studies again.",
        )


def leading_label(predictions: Sequence[Prediction], normal: str | None) -> str:
    """The label worth explaining first: the abnormal one furthest above its threshold, in odds."""

    def margin(prediction: Prediction) -> float:
        def log_odds(value: float) -> float:
            value = min(max(value, 1e-6), 1 - 1e-6)
            return float(np.log(value / (1 - value)))

        return log_odds(prediction.probability) - log_odds(prediction.threshold)

    return max((p for p in predictions if p.label != normal), key=margin).label


def analyze(
    study: Study,
    checkpoint: Checkpoint,
    library: Library | None = None,
    *,
    label: str | None = None,
    methods: Sequence[str] = METHODS,
    k: int = 5,
    mode: Mode | None = None,
) -> Analysis:
    """Findings, similar cases and evidence for one study.

    Args:
        library: where to look for similar cases; none are given without it.
        label: which label to explain; by default the abnormal one that stands out most.
        k: how many similar cases, at most 100; the study itself is never one of them.
    """
    started = time.perf_counter()
    study = with_views(study)
    mode = study_mode(study, mode)
    predictions, embedding = _ask(checkpoint, study, mode)
    neighbours: tuple[Neighbour, ...] = ()
    if library is not None:
        require_model(library, checkpoint)
        neighbours = library.search(embedding, mode=mode, k=k, exclude=(study.study_id,))
    label = label or leading_label(predictions, checkpoint.vocabulary.normal)
    explanations = explain(checkpoint, study, label, methods=methods, mode=mode)
    notices = list(study.all_notices)
    if study.report and not study.report.is_empty and checkpoint.tokenizer(study.report).cut:
        notices.append(Notice("text_cut", f"The report is longer than the {checkpoint.tokenizer.length} tokens read."))
    return Analysis(
        study=study,
        mode=mode,
        predictions=predictions,
        neighbours=neighbours,
        explanations=explanations,
        model=checkpoint.fingerprint,
        library=library.fingerprint if library is not None else "",
        notices=unique_notices(notices),
        seconds=time.perf_counter() - started,
    )
