"""One call from a study to findings, similar cases and evidence: what the command line, the page and Python share."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lingula.errors import InputError, ModelError, Notice
from lingula.explanation import QUICK, explain, shown_methods
from lingula.library import Library
from lingula.model.checkpoint import MODES, Checkpoint
from lingula.model.study_model import batch_studies, legible, study_mode
from lingula.reading.view_classifier import with_views
from lingula.retrieval import Answer, Asked, Judge, Query, Searched, ask, gallery
from lingula.study import Analysis, Mode, Neighbour, Prediction, Report, Study, unique_notices

Vector = npt.NDArray[np.float32]
NORM_STUDIES = 200
"""Studies from which the mean length of an image state is taken."""


def embed(
    checkpoint: Checkpoint, studies: Iterable[Study], batch: int = 8
) -> Iterator[tuple[Study, dict[Mode, Vector]]]:
    """Each study with its embeddings, (D,) float32 of unit norm, in every mode it has the parts for."""
    remaining = (legible(study, checkpoint.tokenizer) for study in studies)
    while group := list(islice(remaining, batch)):
        tensors = batch_studies(group, checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
        with torch.inference_mode():
            outputs = checkpoint.model(tensors, MODES)
        for row, study in enumerate(group):
            yield study, {mode: outputs[mode].embedding[row].numpy() for mode in available_modes(study)}


def available_modes(study: Study) -> tuple[Mode, ...]:
    """The modes in which a study can be asked about or found."""
    both = study.radiographs and study.report is not None and not study.report.is_empty
    return MODES if both else (study_mode(study),)


def predict(checkpoint: Checkpoint, study: Study, mode: Mode | None = None) -> tuple[Prediction, ...]:
    """Calibrated probabilities and decisions for every label, in the vocabulary's order."""
    study = _ready(study, checkpoint)
    return _ask(checkpoint, study, study_mode(study, mode))[0]


def _ready(study: Study, checkpoint: Checkpoint) -> Study:
    """The study with its views named, and without a report of which the model knows nothing."""
    return legible(with_views(study), checkpoint.tokenizer)


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
        calibration.interval(probabilities).tolist(),
        strict=True,
    )
    predictions = tuple(
        Prediction(label.code, label.name, float(p), float(t), said, None if np.isnan(low) else (low, high))
        for label, p, t, said, (low, high) in rows
    )
    return predictions, output.embedding[0].numpy()


def search(
    query: Query | str,
    checkpoint: Checkpoint,
    library: Searched,
    study: Study | None = None,
    *,
    exclude: Collection[str] = (),
) -> Answer:
    """Answer a question to a library.

    Args:
        query: words are read by ``Query.read``.
        library: a ``Library``, or the ``ReadyGallery`` of the checkpoint.
        study: a film, report or both to be like; it never answers itself.
        exclude: study ids that may not answer.

    Raises:
        InputError: ``bad_request`` when nothing is asked. LibraryError: ``study_unknown``, ``library_empty``.
        ModelError: ``model_mismatch`` when another model filled the library.
    """
    started = time.perf_counter()
    query = Query.read(query) if isinstance(query, str) else query
    if study is None:
        query.require_something()
    require_model(library, checkpoint)
    asked: Asked | None = None
    notices: tuple[Notice, ...] = ()
    if study is not None:
        study = _ready(study, checkpoint)
        mode = study_mode(study, query.source)
        asked, notices = Asked(_ask(checkpoint, study, mode)[1], mode), study.all_notices
        exclude = {study.study_id, *exclude}
    elif not query.like and (sentence := query.sentence()):
        said = Study("question", report=Report.from_sections(findings=sentence))
        asked = Asked(_ask(checkpoint, said, "text")[1], "text")
    with library.held():
        if query.like and study is None:
            asked = _stored(library, query)
        born = _born(library, study, query.like)
        neighbours, matching, told = ask(
            library, query, asked, judge=judge(checkpoint), exclude=exclude, birth_key=born,
            bank=partial(gallery.bank, checkpoint.fingerprint),
        )  # fmt: skip
        return Answer(
            query=query,
            neighbours=neighbours,
            matching=matching,
            searched=len(library),
            notices=unique_notices((*notices, *told)),
            model=checkpoint.fingerprint,
            library=library.fingerprint,
            seconds=time.perf_counter() - started,
        )


def _born(library: Searched, study: Study | None, like: str = "") -> str:
    """What stands in the library for the birth date of the study asked with; empty when it is unknown."""
    if study is None:
        return next((known.birth_key for known in library.summaries([like]).values()), "") if like else ""
    return library.birth_key(next((image.birth_date for image in study.radiographs if image.birth_date), ""))


def _stored(library: Searched, query: Query) -> Asked:
    """The stored embedding of the study that the query names, in the mode asked for or the one that has read most."""
    modes: tuple[Mode, ...] = (query.source,) if query.source else ("joint", "image", "text")
    for mode in modes:
        for vector in library.vectors([query.like], mode).values():
            return Asked(vector, mode)
    library.get(query.like)  # an unknown study is refused by name
    raise InputError("bad_request", f"study {query.like} has no {' or '.join(modes)} embedding.")


def judge(checkpoint: Checkpoint) -> Judge | None:
    """What judges studies that nobody reported or coded: the image head on their stored embeddings.

    The embedding lacks the length of the state it was made from; the mean length over the checkpoint's gallery stands
    for it. None for a checkpoint without one.
    """
    norm = gallery.typical_norm(checkpoint.fingerprint)
    if norm is None:
        return None
    head, calibration = checkpoint.model.head, checkpoint.calibration["image"]
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()  # (L, D), (L,)
    return Judge(
        checkpoint.vocabulary.codes,
        calibration.threshold,
        lambda vectors: calibration.probabilities(norm * vectors @ weight.T + bias),
    )


def export_gallery(
    checkpoint: Checkpoint,
    library: Library,
    ids: Iterable[str],
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write the gallery that ships with a checkpoint, ``<fingerprint>.safetensors``; others in the folder are removed.

    Args:
        library: filled by the checkpoint; of ``ids`` those it lacks, or that nobody coded, are left out.
        folder: by default that of the package.
        progress: called with (films read for the mean length of an image state, of how many).
    """
    require_model(library, checkpoint)
    wanted = sorted(set(ids) & set(library.ids()))
    some = wanted[:: max(1, len(wanted) // NORM_STUDIES)]
    norms = []
    for done, study_id in enumerate(some, 1):
        if (study := library.study(study_id)).radiographs:
            tensors = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
            with torch.inference_mode():
                norms.append(float(checkpoint.model(tensors, ("image",))["image"].state.norm()))
        progress(done, len(some))
    folder = folder or gallery.FOLDER
    path = gallery.export(library, wanted, folder / f"{checkpoint.fingerprint}.safetensors", float(np.mean(norms)))
    for other in folder.glob("*.safetensors"):
        if other != path:
            other.unlink()
    return path


def require_model(library: Searched, checkpoint: Checkpoint) -> None:
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
    library: Searched | None = None,
    *,
    label: str | None = None,
    methods: Sequence[str] | None = None,
    k: int = 5,
    mode: Mode | None = None,
) -> Analysis:
    """Findings, similar cases and evidence for one study.

    Args:
        library: where to look for similar cases; none are given without it.
        label: which label to explain; by default the abnormal one that stands out most.
        methods: of ``explain.METHODS``; by default the quick ones that passed their tests with this checkpoint.
        k: how many similar cases, at most 100; the study itself is never one of them.
    """
    started = time.perf_counter()
    study = _ready(study, checkpoint)
    mode = study_mode(study, mode)
    predictions, embedding = _ask(checkpoint, study, mode)
    neighbours: tuple[Neighbour, ...] = ()
    if library is not None:
        require_model(library, checkpoint)
        with library.held():
            born, asked = _born(library, study), Asked(embedding, mode)
            neighbours, _, _ = ask(library, Query(k=k), asked, exclude=(study.study_id,), birth_key=born)
    label = label or leading_label(predictions, checkpoint.vocabulary.normal)
    methods = shown_methods(checkpoint.fingerprint, QUICK) if methods is None else methods
    explanations = explain(checkpoint, study, label, methods=methods, mode=mode)
    notices = list(study.all_notices)
    if study.report and not study.report.is_empty and checkpoint.tokenizer(study.report).cut:
        notices.append(Notice("text_cut", "The report is longer than the model reads; its end is left out."))
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
