"""Which studies go into a set: named ones, those that answer a question, those like one."""

from __future__ import annotations

from collections.abc import Sequence

from lingula.analysis import search
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.retrieval import Query


def gathered(
    library: Library,
    checkpoint: Checkpoint,
    *,
    study_ids: Sequence[str] = (),
    query: str = "",
    like: str = "",
    count: int = 10,
) -> tuple[str, ...]:
    """Ids of studies: the named ones first, then those that answer, best first, each once.

    Args:
        query: a question in words. like: a study to be like; it comes itself, too. count: 1 to 100 of the answer.

    Raises:
        InputError: ``bad_request`` for a question nothing is understood of. LibraryError: ``study_unknown``.
    """
    found = [*study_ids, *([like] if like else [])]
    if query or like:
        asked = Query.read(query).with_options(k=count, **({"like": like} if like else {}))
        found += [neighbour.study_id for neighbour in search(asked, checkpoint, library).neighbours]
    return tuple(dict.fromkeys(found))
