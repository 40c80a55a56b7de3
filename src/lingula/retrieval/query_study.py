"""Is the asked study one that a library holds, or one that the model learnt from?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lingula.errors import LibraryError, Notice
from lingula.library import shipped_gallery as gallery
from lingula.library.record import StudyRecord
from lingula.retrieval.matching import Searched
from lingula.retrieval.ranking import QueryEmbedding, same_pictures
from lingula.study import Study

if TYPE_CHECKING:
    from lingula.model.checkpoint import Checkpoint

SAME = 0.9995
"""Cosine of image embeddings from which two studies have the same films, whatever files they came in. Below 1, since a
gallery keeps its vectors in half precision; chosen, not measured. Pictures, where they are kept, decide."""


@dataclass(frozen=True, slots=True)
class QueryStudy:
    """Under which ids a library holds the asked study, which may not answer itself; and what a reader should know."""

    study_ids: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()


def query_study(study: Study, embedding: QueryEmbedding, model: Checkpoint, library: Searched) -> QueryStudy:
    """By its identifier, by the digests of its films' files, and by films that are read as the same."""
    same = set(library.holding(study))
    if embedding.source == "image":
        same |= _same_films(study, embedding, library)
    own_ids = sorted(same)
    notices = []
    if own_ids and own_ids != [study.study_id]:
        message = f"This study is in the library as {', '.join(own_ids)}, which is left out of the answers."
        notices.append(Notice("film_in_library", message))
    if learnt := sorted({study.study_id, *own_ids} & gallery.study_ids(model.fingerprint)):
        message = f"The model learnt from this study ({', '.join(learnt)}): its answers are better than on a new film."
        notices.append(Notice("training_film", message))
    return QueryStudy(frozenset({*own_ids, *library.ids_of(study)}), tuple(notices))


def _same_films(study: Study, embedding: QueryEmbedding, library: Searched) -> set[str]:
    """Studies read as the same whose pictures, where they are kept, are the same, too."""
    try:
        nearest = library.nearest(embedding.vector, mode="image", k=3, exclude=(), within=None)
    except LibraryError as error:
        if error.code != "library_empty":
            raise
        return set()
    films = [film.pixels for film in study.radiographs]
    return {name for name, cosine in nearest if cosine >= SAME and _alike(films, library.get(name))}


def _alike(films: list[npt.NDArray[np.float32]], other: StudyRecord) -> bool:
    stored = [each.radiograph().pixels for each in other.radiographs]
    return not stored or same_pictures(films, stored)
