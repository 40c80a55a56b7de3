"""What an audit finds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lingula.openi.splits import SPLITS, Split, SplitName

Kind = Literal[
    "same_study",
    "same_text",
    "same_words",
    "near_text",
    "birth_date",
    "same_file",
    "same_film",
    "inverted_film",
    "mirrored_film",
    "labels_edited",
    "gallery",
    "other_model",
    "other_split",
    "thresholds",
]
Parts = Mapping[str, SplitName]
"""The part of each study."""


@dataclass(frozen=True, slots=True)
class Collision:
    """One way in which the parts of a split are not independent.

    Attributes:
        kind: ``same_study`` an id in two parts; ``same_text``, ``same_words`` (after normalisation), ``near_text``
            findings and impression; ``birth_date``; ``same_file`` byte for byte, ``same_film`` re-encoded or resized,
            ``inverted_film``, ``mirrored_film``; ``labels_edited`` since the split was sealed; ``gallery`` a library
            holds studies of another part; ``other_model`` filled it; ``other_split`` trained the checkpoint;
            ``thresholds`` not fitted on validation.
        study_ids: the studies concerned, of all parts; empty where it is not about single studies.
        detail: one sentence for a reader; no report text and no date.
    """

    kind: Kind
    study_ids: tuple[str, ...]
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "study_ids": list(self.study_ids), "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome.

    Attributes:
        split, sha256: name and digest of the split.
        studies, films: how many were looked at.
        collisions: what was found; empty when the split is clean.
        unchecked: what could not be looked at, a sentence each. Clean means clean but for these.
    """

    split: str
    sha256: str
    studies: int
    films: int
    collisions: tuple[Collision, ...]
    unchecked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "split": {"name": self.split, "sha256": self.sha256},
            "studies": self.studies,
            "films": self.films,
            "collisions": [collision.to_json() for collision in self.collisions],
            "unchecked": list(self.unchecked),
        }


def parts_of(split: Split) -> Parts:
    """The part of each study; of a study in two, the last one."""
    return {study_id: name for name in SPLITS for study_id in split.ids(name)}


def crossing(keyed: Iterable[tuple[str, str]], parts: Parts) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(key, study ids) of every key that studies of several parts share.

    Args:
        keyed: (study id, key); an empty key is nothing to share.
    """
    owners: dict[str, dict[str, None]] = defaultdict(dict)
    for study_id, key in keyed:
        if key:
            owners[key][study_id] = None
    for key, ids in owners.items():
        if len({parts[study_id] for study_id in ids}) > 1:
            yield key, tuple(ids)


def across(study_ids: Iterable[str], parts: Parts) -> str:
    """``train and test``, the parts these studies are in."""
    present = {parts[study_id] for study_id in study_ids}
    return " and ".join(name for name in SPLITS if name in present)
