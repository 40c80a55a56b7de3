"""Which studies go into a set: named ones, those that answer a question or one against another, those like one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from lingula.analysis import search
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.retrieval import Query

_AGAINST = re.compile(r"\s+(?:against|versus|vs\.?)\s+", re.IGNORECASE)
MOST = 2
"""Times as many answers are asked for as are taken, where those of several questions are left out."""


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
        query: a question in words, or several with "against" between them: "nodule against granuloma" gives as many
            of either, in turn, none that answers both. like: a study to be like; it comes itself, too. count: 1 to
            100 of the answer.

    Raises:
        InputError: ``bad_request`` for a question nothing is understood of. LibraryError: ``study_unknown``.
    """
    found = [*study_ids, *([like] if like else [])]
    sides = [each for each in _AGAINST.split(query) if each.strip()]
    if len(sides) > 1:
        return tuple(dict.fromkeys([*found, *_in_turn(library, checkpoint, sides, count)]))
    if query or like:
        asked = Query.read(query).with_options(k=count, **({"like": like} if like else {}))
        found += [neighbour.study_id for neighbour in search(asked, checkpoint, library).neighbours]
    return tuple(dict.fromkeys(found))


def _in_turn(library: Library, checkpoint: Checkpoint, sides: Sequence[str], count: int) -> list[str]:
    """The best of each question in turn, without those that answer several of them."""
    asked = [Query.read(side).with_options(k=MOST * count) for side in sides]
    answers = [[each.study_id for each in search(one, checkpoint, library).neighbours] for one in asked]
    often = Counter(study for answer in answers for study in answer)
    alone = [[study for study in answer if often[study] == 1] for answer in answers]
    return [study for turn in zip_longest(*alone) for study in turn if study is not None][:count]
