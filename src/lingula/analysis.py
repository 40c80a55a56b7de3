"""One call from a study to findings, similar cases and evidence: what the command line, the page and Python share."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, Notice
from lingula.explanation import QUICK, explain, shown_methods
from lingula.library import shipped_gallery as gallery
from lingula.model.batch import legible, study_mode
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import ModelAnswer, ask_model, predict
from lingula.retrieval import Answer, Judge, Query, QueryEmbedding, Searched, ask
from lingula.retrieval.judge import judge, require_model
from lingula.retrieval.query_study import QueryStudy, query_study
from lingula.retrieval.relevance import relevance_of
from lingula.retrieval.similar_studies import known_labels
from lingula.study import Analysis, Explanation, Mode, Neighbour, Prediction, Report, Study, unique_notices

Vector = npt.NDArray[np.float32]


def search(
    query: Query | Study | str,
    model: Checkpoint,
    library: Searched,
    study: Study | None = None,
    *,
    exclude: Collection[str] = (),
) -> Answer:
    """Answer a question to a library.

    Args:
        query: words are read by ``Query.read``; a study alone asks for studies like it.
        model: the checkpoint that filled the library.
        library: a ``Library``, or the ``ReadyGallery`` of the checkpoint.
        study: a film, report or both to be like, beside what the query asks; it never answers itself.
        exclude: study ids that may not answer.

    Returns:
        The neighbours, ranked from 1 by ``(-score, study_id)``, and how many studies were searched and match.

    Raises:
        InputError: ``bad_request`` when nothing is asked. LibraryError: ``study_unknown``, ``library_empty``.
        ModelError: ``model_mismatch`` when another model filled the library.
    """
    started = time.perf_counter()
    if isinstance(query, Study):
        study, query = query, Query()
    query = Query.read(query) if isinstance(query, str) else query
    if study is None:
        query.require_something()
    require_model(library, model)
    embedding: QueryEmbedding | None = None
    notices: tuple[Notice, ...] = ()
    if study is not None:
        study = legible(study, model.tokenizer)
        looks: Mode | None = "image" if query.aim != "similar" and study.radiographs else None
        mode = study_mode(study, query.source or looks)
        answer = ask_model(study, model, mode)
        embedding, notices, study = _query_embedding(answer, mode), answer.study.all_notices, answer.study
    elif not query.like and (sentence := query.text if query.is_sentence else query.sentence()):
        question = Study("question", report=Report.from_sections(findings=sentence))
        answer = ask_model(question, model, "text")
        sentence_labels = answer.probabilities if query.wanted else {}
        embedding = QueryEmbedding(answer.embedding, "text", sentence=sentence_labels)
    with library.held():
        if query.like and study is None:
            embedding = _stored(library, query, judge(model))
        if query.aim != "similar" and (embedding is None or not embedding.expected):
            raise InputError("bad_request", f"{query.aim} is asked of a study.", "Name a film, or a study to be like.")
        neighbours, matching, ranking_notices = _answers(query, embedding, study, model, library, exclude)
        return Answer(
            query=query,
            neighbours=neighbours,
            matching=matching,
            searched=len(library),
            notices=unique_notices((*notices, *ranking_notices)),
            model=model.fingerprint,
            library=library.fingerprint,
            seconds=time.perf_counter() - started,
        )


def _answers(
    query: Query,
    embedding: QueryEmbedding | None,
    study: Study | None,
    model: Checkpoint,
    library: Searched,
    exclude: Collection[str] = (),
) -> tuple[tuple[Neighbour, ...], int, tuple[Notice, ...]]:
    """Neighbours, how many studies match, and what the reader should know; ``study`` itself never answers."""
    own = query_study(study, embedding, model, library) if study is not None and embedding is not None else QueryStudy()
    neighbours, matching, notices = ask(
        library, query, embedding, judge=judge(model), exclude={*own.study_ids, *exclude},
        birth_key=_born(library, study, query.like), bank=partial(gallery.bank, model.fingerprint),
        relevance=relevance_of(model.fingerprint),
    )  # fmt: skip
    return neighbours, matching, (*own.notices, *notices)


def _born(library: Searched, study: Study | None, like: str = "") -> str:
    """What stands in the library for the birth date of the study asked with; empty when it is unknown."""
    if study is None:
        return next((summary.birth_key for summary in library.summaries([like]).values()), "") if like else ""
    return library.birth_key(next((image.birth_date for image in study.radiographs if image.birth_date), ""))


def _query_embedding(answer: ModelAnswer, mode: Mode) -> QueryEmbedding:
    return QueryEmbedding(answer.embedding, mode, answer.probabilities)


def _stored(library: Searched, query: Query, judged_by: Judge | None) -> QueryEmbedding:
    """The stored embedding of the study that the query names, in the mode asked for or the one that has read most."""
    modes: tuple[Mode, ...] = (query.source,) if query.source else ("joint", "image", "text")
    for mode in modes:
        for vector in library.vectors([query.like], mode).values():
            return QueryEmbedding(vector, mode, known_labels(library, [query.like], judged_by)[query.like])
    library.get(query.like)  # an unknown study is refused by name
    raise InputError("bad_request", f"study {query.like} has no {' or '.join(modes)} embedding.")


def leading_label(predictions: Sequence[Prediction], normal: str | None) -> str:
    """The label worth explaining first: the abnormal one furthest above its threshold, in odds; empty without any."""

    def margin(prediction: Prediction) -> float:
        def log_odds(value: float) -> float:
            value = min(max(value, 1e-6), 1 - 1e-6)
            return float(np.log(value / (1 - value)))

        return log_odds(prediction.probability) - log_odds(prediction.threshold)

    leading = max((p for p in predictions if p.label != normal), key=margin, default=None)
    return leading.label if leading else ""


def analyze(
    study: Study,
    model: Checkpoint,
    library: Searched | None = None,
    *,
    label: str | None = None,
    methods: Sequence[str] | None = None,
    k: int = 10,
    mode: Mode | None = None,
    anyway: bool = False,
) -> Analysis:
    """Findings, similar cases and evidence for one study; none of them where no film is a chest radiograph.

    Args:
        library: where to look for similar cases; none are given without it.
        label: which label to explain; by default the flagged one that stands out most, and none where none is flagged.
        methods: of ``explanation.METHODS``; by default the quick ones that passed their tests with this model.
        k: how many similar cases, at most 100; the study itself is never one of them.
        mode: what is read of the study; by default all that tells what it shows.
        anyway: read films, too, that are no chest radiographs, and give maps of a finding that cannot be
            localised.

    Returns:
        The whole answer; ``to_json`` is what the command line and the API give.

    Raises:
        InputError: ``bad_request`` for a study without what the mode reads, an unknown label or method.
        ModelError: ``model_mismatch`` when another model filled the library. LibraryError: ``library_empty``.
    """
    started = time.perf_counter()
    study = legible(study, model.tokenizer)
    mode = study_mode(study, mode)
    answer = ask_model(study, model, mode, anyway=anyway)
    study, predictions = answer.study, answer.predictions
    neighbours: tuple[Neighbour, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    notices = list(study.all_notices)
    if library is not None:
        require_model(library, model)
    if not (answer.answerable or anyway):
        predictions = ()
    else:
        if library is not None:
            with library.held():
                embedding = _query_embedding(answer, mode)
                neighbours, _, ranking_notices = _answers(Query(k=k), embedding, study, model, library)
            notices += ranking_notices
        flagged = [prediction for prediction in predictions if prediction.flagged]
        label = label or leading_label(flagged, model.vocabulary.normal)
        methods = shown_methods(model.fingerprint, QUICK) if methods is None else methods
        explanations = explain(study, model, label, methods=methods, mode=mode, anyway=anyway) if label else ()
    if study.report and not study.report.is_empty and model.tokenizer(study.report).cut:
        notices.append(Notice("text_cut", "The report is longer than the model reads; its end is left out."))
    return Analysis(
        study=study,
        mode=mode,
        predictions=predictions,
        neighbours=neighbours,
        explanations=explanations,
        model=model.fingerprint,
        library=library.fingerprint if library is not None else "",
        notices=_gate_first(unique_notices(notices)),
        seconds=time.perf_counter() - started,
        films=answer.films,
    )


def _gate_first(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """What decides whether the answer can be trusted at all stands before everything else."""
    order = ("not_a_chest_film", "unlike_training_films")
    return tuple(sorted(notices, key=lambda notice: order.index(notice.code) if notice.code in order else len(order)))


__all__ = ["analyze", "leading_label", "predict", "search"]
