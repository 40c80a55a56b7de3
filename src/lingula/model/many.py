"""Many studies through a model: predictions as a table, embeddings as an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.model.batch import legible, study_mode
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import ask_model, embed
from lingula.model.predictions import Predictions, StudyPredictions, Told
from lingula.study import Mode, Study


def predict_many(
    studies: Study | Iterable[Study],
    model: Checkpoint,
    mode: Mode | None = None,
    *,
    anyway: bool = False,
    progress: Told = False,
) -> Predictions:
    """Calibrated predictions for many studies.

    Args:
        studies: read one by one, so that an iterator need not hold them all.
        mode: what is read of each; by default all that tells what it shows.
        anyway: read films, too, that are no chest radiographs.
        progress: True for a bar, or a function of (done, of how many).

    Raises:
        InputError: ``bad_request`` for a study that lacks what the mode reads.
    """
    said = []
    for study in _counted(studies, progress):
        study = legible(study, model.tokenizer)
        asked = study_mode(study, mode)
        answer = ask_model(study, model, asked, anyway=anyway)
        known = answer.predictions if answer.answerable or anyway else ()
        said.append(StudyPredictions(study.study_id, asked, known, answer.films))
    return Predictions(tuple(said), model.vocabulary.codes)


def embed_many(
    studies: Study | Iterable[Study], model: Checkpoint, mode: Mode | None = None, *, progress: Told = False
) -> npt.NDArray[np.float32]:
    """Embeddings of many studies as one array, (N, D) float32 of unit norm, in the order given.

    Args:
        mode: ``image``, ``text`` or ``joint``; by default of each study the one that reads most of it.
        progress: as for ``predict_many``.

    Raises:
        InputError: ``bad_request`` for a study without what the mode reads.
    """
    rows = []
    for study, vectors in embed(_counted(studies, progress), model):
        fullest: Mode = "joint" if "joint" in vectors else next(iter(vectors))
        chosen: Mode = fullest if mode is None else mode
        if chosen not in vectors:
            raise InputError("bad_request", f"study {study.study_id} has nothing that the mode {chosen} reads.")
        rows.append(vectors[chosen])
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _counted(studies: Study | Iterable[Study], progress: Told) -> Iterator[Study]:
    """The studies, one told when the next is asked for."""
    given = [studies] if isinstance(studies, Study) else studies
    total = len(given) if isinstance(given, Sized) else None
    with _teller(progress, total) as tell:
        for done, study in enumerate(given, 1):
            yield study
            tell(done, total)


@contextmanager
def _teller(progress: Told, total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, of: None
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Studies", total=total)
            yield lambda done, of: bar.update(task, completed=done)
