"""Splits: groups stay whole, proportions are kept, and a file cannot be edited unnoticed."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.openi import scan
from lingula.openi.splits import SPLITS, Split
from lingula_lab.data.make_split import (
    SplitStudy,
    group,
    label_seal,
    make_split,
    mended,
    near_texts,
    normalise,
    sealed,
    shingles,
    split_studies,
)

WORDS = [a + b for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "ne") for b in ("bar", "den", "fil", "gor", "kum")]
LABELS = ("normal", "opacity", "fracture", "unknown")


def studies(seed: int, count: int = 60) -> list[SplitStudy]:
    """Made-up studies of which some share a text, a text but for one word, or a birth date."""
    chosen = random.Random(seed)
    made: list[SplitStudy] = []
    for number in range(count):
        text = " ".join(chosen.choices(WORDS, k=chosen.randint(3, 40)))
        if made and chosen.random() < 0.3:
            text = chosen.choice(made).text
        if chosen.random() < 0.2:
            text += " quux"
        if chosen.random() < 0.2:
            text = text.upper().replace(" ", ", 3 ")
        born = f"19{chosen.randint(0, 99):02}0101" if chosen.random() < 0.3 else ""
        made.append(SplitStudy(f"CXR{number}", text, born, tuple(chosen.sample(LABELS, chosen.randint(0, 2)))))
    return made


def test_films_without_reports_are_dealt_to_all_parts() -> None:
    """They share no text: XXXX, which stands for a removed word, is none either."""
    made = [SplitStudy(f"S{n}", ("", "XXXX.")[n % 2], f"patient {n // 2}", ("normal",)) for n in range(60)]
    dealt = make_split(made, name="films")
    assert [len(dealt.ids(part)) for part in SPLITS] == [42, 6, 12]
    part = {study_id: name for name in SPLITS for study_id in dealt.ids(name)}
    assert all(part[f"S{n}"] == part[f"S{n + 1}"] for n in range(0, 60, 2))  # a patient's studies stay together


def alike(one: SplitStudy, other: SplitStudy) -> bool:
    """Whether two studies must stay together, by the definition."""
    if one.birth_date and one.birth_date == other.birth_date:
        return True
    if normalise(one.text) == normalise(other.text):
        return True
    a, b = shingles(normalise(one.text)), shingles(normalise(other.text))
    return len(a & b) >= 0.7 * len(a | b)


def parts(split: Split) -> dict[str, str]:
    return {study_id: name for name in SPLITS for study_id in split.ids(name)}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_what_is_alike_is_in_one_part_and_every_study_in_exactly_one(seed: int) -> None:
    made = studies(seed)
    split = make_split(made, name="made-up", seed=seed)
    dealt = parts(split)
    assert sum(len(split.ids(name)) for name in SPLITS) == len(dealt) == len(made)
    for place, one in enumerate(made):
        for other in made[place + 1 :]:
            if alike(one, other):
                assert dealt[one.study_id] == dealt[other.study_id]
    for members in group(made):
        assert len({dealt[study.study_id] for study in members}) == 1


def test_alike_by_hand() -> None:
    words = " ".join(WORDS[:30])
    made = [
        SplitStudy("CXR1", words, "19400101", ()),
        SplitStudy("CXR2", words.upper().replace(" ", " 5. "), "", ()),  # the same words as 1
        SplitStudy("CXR3", words + " quux", "", ()),  # near 1: 28 of 29 shingles
        SplitStudy("CXR4", "other words altogether", "19400101", ()),  # the birth date of 1
        SplitStudy("CXR5", "other words altogether here", "", ()),  # half the shingles of 4
        SplitStudy("CXR6", "nothing shared", "", ()),
    ]
    found = [{study.study_id for study in members} for members in group(made)]
    assert found == [{"CXR1", "CXR2", "CXR3", "CXR4"}, {"CXR5"}, {"CXR6"}]


def test_near_texts_agree_with_comparing_every_pair() -> None:
    chosen = random.Random(0)
    base = [chosen.choices(WORDS, k=chosen.randint(1, 40)) for _ in range(15)]
    texts = {
        " ".join(words[: chosen.randint(1, 40)] + chosen.choices(WORDS, k=chosen.randint(0, 4))) for words in base * 8
    }
    ordered = sorted(texts)
    naive = set()
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            a, b = shingles(one), shingles(other)
            if len(a & b) / len(a | b) >= 0.7:
                naive.add((one, other))
    assert len(naive) > 5
    assert {(one, other) for one, other, _ in near_texts(texts)} == naive


def test_mending_leaves_out_the_few_that_tie_parts_together() -> None:
    words = " ".join(WORDS[:30])
    made = [
        SplitStudy("CXR1", words, "", ()),
        SplitStudy("CXR2", words + " quux", "", ()),  # near 1, 3 and 4
        SplitStudy("CXR3", words.upper(), "", ()),
        SplitStudy("CXR4", words, "", ()),
        SplitStudy("CXR5", "some other words", "19400101", ()),
        SplitStudy("CXR6", "nothing shared", "19400101", ()),  # born with 5
        SplitStudy("CXR7", "all alone here", "", ()),
    ]
    split = Split("made-up", 0, train=("CXR1", "CXR3", "CXR4", "CXR5"), validation=("CXR6",), test=("CXR2", "CXR7"))
    after = mended(split, made)
    assert after.train == ("CXR1", "CXR3", "CXR4")  # of 5 and 6, one each, the training study goes
    assert after.validation == ("CXR6",)
    assert after.test == ("CXR7",)  # 2 has three links across, the others one
    assert mended(after, made) == after


def test_sizes_and_labels_are_in_proportion() -> None:
    chosen = random.Random(0)
    made = [
        SplitStudy(
            f"CXR{n}",
            " ".join(chosen.choices(WORDS, k=30)),
            "",
            tuple(
                code
                for code, share in (("normal", 0.4), ("opacity", 0.2), ("fracture", 0.03))
                if chosen.random() < share
            ),
        )
        for n in range(1000)
    ]
    split = make_split(made, name="made-up")
    dealt = parts(split)
    whole = Counter(code for study in made for code in study.labels)
    for name, fraction in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert len(split.ids(name)) == pytest.approx(1000 * fraction, abs=10)
        here = Counter(code for study in made if dealt[study.study_id] == name for code in study.labels)
        for code, count in whole.items():
            assert here[code] == pytest.approx(count * fraction, abs=2)


def test_equal_seeds_give_equal_splits() -> None:
    made = studies(3)
    assert make_split(made, name="a", seed=5) == make_split(made, name="a", seed=5)
    assert make_split(made, name="a", seed=5).digest != make_split(made, name="a", seed=6).digest


def test_a_file_comes_back_and_an_edit_of_its_ids_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    split = make_split(studies(1), name="made-up", seed=1)
    split.save(file)
    assert Split.load(file) == split
    body = json.loads(file.read_text())
    body["test"].append(body["train"].pop())
    file.write_text(json.dumps(body))
    with pytest.raises(InputError, match="edited"):
        Split.load(file)


def test_the_seal_travels_and_knows_an_edited_label(tmp_path: Path) -> None:
    vocabulary, made = Vocabulary.load("openi22"), studies(2)
    plain = make_split(made, name="made-up")
    fresh = sealed(plain, made, vocabulary)
    assert fresh.digest == plain.digest
    fresh.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == fresh
    outside = SplitStudy("CXR999", "of no part", "", ("normal",))
    assert sealed(plain, [*reversed(made), outside], vocabulary).labels == fresh.labels
    edited = [replace(made[0], labels=(*made[0].labels, "hernia")), *made[1:]]
    assert label_seal(edited, vocabulary).sha256 != label_seal(made, vocabulary).sha256


def test_the_shipped_split_comes_from_the_real_collection(shared_data: Path) -> None:
    vocabulary = Vocabulary.load("openi22")
    real = split_studies(scan(shared_data / "openi"), vocabulary)
    shipped = Split.load("openi-v1")
    assert shipped.digest.startswith("81080a53")
    assert sealed(mended(shipped, real), real, vocabulary) == shipped
    assert sum(len(shipped.ids(part)) for part in SPLITS) == len(real) - 12
