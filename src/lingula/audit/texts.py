"""Report texts that two parts share: exactly, in the same words, or nearly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lingula.audit.collision import Collision, Parts, across, crossing
from lingula.openi.splits import NEAR_DUPLICATE, SplitStudy, normalise, shingles


def text_collisions(studies: Sequence[SplitStudy], parts: Parts) -> Iterator[Collision]:
    """One collision a shared text, naming every study that has it; texts without a word are nothing to share."""
    words = {study.study_id: normalise(study.text) for study in studies}
    raw = {study.study_id: study.text.strip() if words[study.study_id] else "" for study in studies}
    for _, ids in crossing(raw.items(), parts):
        yield Collision("same_text", ids, f"The same findings and impression in {across(ids, parts)}.")
    for _, ids in crossing(words.items(), parts):
        if len({raw[study_id] for study_id in ids}) > 1:
            yield Collision("same_words", ids, f"The same words in {across(ids, parts)}, digits and punctuation aside.")
    for one, other, similarity in near_texts({text for text in words.values() if text}):
        ids = tuple(study_id for study_id, text in words.items() if text in (one, other))
        if len({parts[study_id] for study_id in ids}) > 1:
            detail = f"Texts in {across(ids, parts)} share {similarity:.0%} of their word triples."
            yield Collision("near_text", ids, detail)


def near_texts(texts: set[str], threshold: float = NEAR_DUPLICATE) -> Iterator[tuple[str, str, float]]:
    """Pairs of different normalised texts with shingle Jaccard >= threshold, and that Jaccard.

    All pairs are compared, by one sparse product of the text-by-shingle table with itself: MinHash, which the split is
    made with, overlooks some of the pairs near its threshold.
    """
    from scipy.sparse import csr_matrix

    ordered = sorted(texts)
    columns: Mapping[str, int] = defaultdict(lambda: len(columns))
    cells = [(row, columns[shingle]) for row, text in enumerate(ordered) for shingle in shingles(text)]
    if not cells:
        return
    table = csr_matrix((np.ones(len(cells), np.int32), tuple(zip(*cells, strict=True))))
    size = np.asarray(table.sum(axis=1)).ravel()
    shared = (table @ table.T).tocoo()
    jaccard = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    for i in np.flatnonzero((shared.row < shared.col) & (jaccard >= threshold)):
        yield ordered[shared.row[i]], ordered[shared.col[i]], float(jaccard[i])
