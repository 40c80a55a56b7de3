"""Report texts that two parts share: exactly, in the same words, or nearly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lingula.openi.splits import SplitStudy, near_texts, normalise
from lingula_lab.audit.collision import Collision, Parts, across, crossing


def text_collisions(studies: Sequence[SplitStudy], parts: Parts) -> Iterator[Collision]:
    """One collision a shared text, naming every study that has it; texts without a word are nothing to share."""
    words = {study.study_id: normalise(study.text) for study in studies}
    raw = {study.study_id: study.text.strip() if words[study.study_id] else "" for study in studies}
    for _, ids in crossing(raw.items(), parts):
        yield Collision("same_text", ids, f"The same findings and impression in {across(ids, parts)}.")
    for _, ids in crossing(words.items(), parts):
        if len({raw[study_id] for study_id in ids}) > 1:
            yield Collision("same_words", ids, f"The same words in {across(ids, parts)}, digits and punctuation aside.")
    for one, other, similarity in near_texts(set(words.values())):
        ids = tuple(study_id for study_id, text in words.items() if text in (one, other))
        if len({parts[study_id] for study_id in ids}) > 1:
            detail = f"Texts in {across(ids, parts)} share {similarity:.0%} of their word triples."
            yield Collision("near_text", ids, detail)
