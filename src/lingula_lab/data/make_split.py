"""Train / validation / test by study, made so that no two parts share texts or birth dates.

Studies that share a report text (exactly or nearly) or a birth date are one group, and a group is never divided. Groups
are dealt to the parts by iterative stratification over labels (Sechidis et al. 2011), so that rare labels are spread
in proportion.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, product
from typing import Any

import numpy as np

from lingula.labels.vocabulary import Vocabulary
from lingula.openi.collection import Collection, StudyFiles
from lingula.openi.splits import SPLITS, LabelSeal, Split, SplitName, natural_order

UNKNOWN = "unknown"
"""Stands for the labels of a study that nobody coded."""


NEAR_DUPLICATE = 0.7
"""Jaccard similarity of word 3-shingles from which two report texts count as near duplicates."""


@dataclass(frozen=True, slots=True)
class SplitStudy:
    """What the split needs of a study: findings + impression text, birth date (or empty), label codes."""

    study_id: str
    text: str
    birth_date: str
    labels: tuple[str, ...]


def normalise(text: str) -> str:
    """Lower-case words only; removed words (XXXX), digits and punctuation dropped."""
    return " ".join(re.findall(r"[a-z]+", text.lower().replace("xxxx", " ")))


def shingles(text: str, width: int = 3) -> frozenset[str]:
    """Word n-grams of a normalised text; a shorter text is one shingle."""
    words = text.split()
    return frozenset(" ".join(words[i : i + width]) for i in range(max(1, len(words) - width + 1)))


def near_texts(texts: set[str], threshold: float = NEAR_DUPLICATE) -> Iterator[tuple[str, str, float]]:
    """Pairs of different normalised texts with shingle Jaccard >= threshold, and that Jaccard.

    All pairs are compared, by one sparse product of the text-by-shingle table with itself. That is exact, and for a few
    thousand reports as quick as MinHash, which overlooks a tenth of the pairs near its threshold.
    """
    from scipy.sparse import csr_matrix

    ordered = sorted(text for text in texts if text)
    columns: dict[str, int] = {}
    cells = [
        (row, columns.setdefault(shingle, len(columns)))
        for row, text in enumerate(ordered)
        for shingle in shingles(text)
    ]
    if not cells:
        return
    table = csr_matrix((np.ones(len(cells), np.int32), tuple(zip(*cells, strict=True))))
    size = np.asarray(table.sum(axis=1)).ravel()
    shared = (table @ table.T).tocoo()
    jaccard = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    for i in np.flatnonzero((shared.row < shared.col) & (jaccard >= threshold)):
        yield ordered[shared.row[i]], ordered[shared.col[i]], float(jaccard[i])


def links(studies: Sequence[SplitStudy]) -> Iterator[tuple[str, str]]:
    """Pairs of study ids that must not be parted: equal or near-equal text, equal birth date. No text is like none."""
    by_text: dict[str, list[str]] = defaultdict(list)
    by_birth: dict[str, list[str]] = defaultdict(list)
    for study in studies:
        if text := normalise(study.text):
            by_text[text].append(study.study_id)
        if study.birth_date:
            by_birth[study.birth_date].append(study.study_id)
    for alike in (*by_text.values(), *by_birth.values()):
        yield from combinations(alike, 2)
    for one, other, _ in near_texts(set(by_text)):
        yield from product(by_text[one], by_text[other])


def group(studies: Sequence[SplitStudy]) -> list[list[SplitStudy]]:
    """Connected components under ``links``, largest first."""
    parent = {study.study_id: study.study_id for study in studies}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, other in links(studies):
        parent[root(one)] = root(other)
    groups: dict[str, list[SplitStudy]] = defaultdict(list)
    for study in studies:
        groups[root(study.study_id)].append(study)
    return sorted(groups.values(), key=lambda members: (-len(members), natural_order(members[0].study_id)))


def mended(split: Split, studies: Sequence[SplitStudy]) -> Split:
    """The same split without the few studies that two parts share by text or birth date.

    For a split that was in use before a stricter look: whoever learnt from its training part has still never seen its
    test part. The study with most links across is left out first, one of train before one of another part.
    """
    part = {study_id: name for name in SPLITS for study_id in split.ids(name)}
    crossing = {pair for pair in links(studies) if len({part[key] for key in pair if key in part}) > 1}
    left_out = set()
    while crossing:
        count = Counter(chain.from_iterable(crossing))
        worst = max(count, key=lambda key: (count[key], part[key] == "train", natural_order(key)))
        left_out.add(worst)
        crossing = {pair for pair in crossing if worst not in pair}
    train, validation, test = (tuple(key for key in split.ids(name) if key not in left_out) for name in SPLITS)
    return Split(split.name, split.seed, train, validation, test)


def make_split(
    studies: Sequence[SplitStudy],
    *,
    name: str,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> Split:
    """Deal whole groups to train, validation and test so that each label keeps its proportions."""
    codes = sorted({code for study in studies for code in study.labels})
    column = {code: i for i, code in enumerate(codes)}
    groups = group(studies)
    random.Random(seed).shuffle(groups)

    def counts(members: Sequence[SplitStudy]) -> np.ndarray[Any, np.dtype[np.float64]]:
        vector = np.zeros(len(codes) + 1)
        vector[-1] = len(members)  # the size of a split is stratified like a label
        for study in members:
            for code in study.labels:
                vector[column[code]] += 1
        return vector

    total = counts(studies)
    wanted = np.outer(fractions, total)  # (3, labels + 1): what each split still lacks
    weight = 1 / np.maximum(np.outer(fractions, total), 1e-9)  # a shortfall counts in proportion to what was wanted
    dealt: dict[SplitName, list[str]] = {split: [] for split in SPLITS}
    vectors = [counts(members) for members in groups]
    # Large groups first, then those with the rarest labels: the last ones dealt should be easy to place.
    rarest = [float((vector / np.maximum(total, 1)).max()) for vector in vectors]
    order = sorted(range(len(groups)), key=lambda i: (-len(groups[i]) // 8, -rarest[i]))
    for i in order:
        after = ((wanted - np.eye(3)[:, :, None] * vectors[i]) ** 2 * weight).sum((1, 2))
        best = int(after.argmin()) if len(codes) else int(wanted[:, -1].argmax())
        wanted[best] -= vectors[i]
        dealt[SPLITS[best]] += [study.study_id for study in groups[i]]
    train, validation, test = (tuple(sorted(dealt[split], key=natural_order)) for split in SPLITS)
    return Split(name, seed, train, validation, test)


def split_studies(collection: Collection, vocabulary: Vocabulary) -> list[SplitStudy]:
    """The studies that take part: those with a frontal film and findings or impression."""
    frontal = (files for files in collection if any(image.view == "frontal" for image in files.images))
    return [study for files in frontal if (study := split_study(files, vocabulary)).text.strip()]


def split_study(files: StudyFiles, vocabulary: Vocabulary) -> SplitStudy:
    """What the split needs of a study. An uncoded one is marked, so that these too are dealt in
    proportion."""
    report = files.report.report
    text = f"{report.section('findings')}\n{report.section('impression')}"
    coded = not np.isnan(vocabulary.encode(files.report.terms)).any()
    labels = vocabulary.present(files.report.terms) if coded else (UNKNOWN,)
    birth_date = next((image.birth_date for image in files.images if image.birth_date), "")
    return SplitStudy(files.study_id, text, birth_date, labels)


def label_seal(studies: Iterable[SplitStudy], vocabulary: Vocabulary) -> LabelSeal:
    """The seal of the labels that studies have now."""
    return LabelSeal.over({study.study_id: study.labels for study in studies}, vocabulary.name, vocabulary.digest)


def sealed(split: Split, studies: Iterable[SplitStudy], vocabulary: Vocabulary) -> Split:
    """The same split with the seal of the labels its studies have now."""
    members = {study_id for name in SPLITS for study_id in split.ids(name)}
    return replace(split, labels=label_seal((s for s in studies if s.study_id in members), vocabulary))
