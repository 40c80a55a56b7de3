from __future__ import annotations

import gzip
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.openi.splits import Split
from lingula_lab.data.label_file import LabelFile
from lingula_lab.evaluation.tables.retrieval import CodedStudies, Ground
from lingula_lab.evaluation.trec import (
    grounds,
    qrels_of,
    read_qrels,
    read_run,
    score_on,
    score_run,
    write_all_qrels,
    write_qrels,
    write_random_run,
    write_run,
)
from lingula_lab.measures.relevance import RelevanceRule
from lingula_lab.measures.retrieval import MEASURES, measure, random_scores, rank

IDS = tuple(sorted(f"CXR{number}" for number in range(60)))
ALL = np.ones(60, bool)


@pytest.fixture
def grades(rng: np.random.Generator) -> np.ndarray:
    made = np.where(rng.random((60, 60)) < 0.2, rng.integers(1, 1001, (60, 60)), 0)
    made[np.arange(60), (np.arange(60) + 1) % 60] = 7
    np.fill_diagonal(made, 0)
    return made


@pytest.fixture
def ground(grades: np.ndarray) -> Ground:
    """Sixty studies that ask each other, with these grades."""
    rule = RelevanceRule("jaccard", "", np.ones(1, bool), np.eye(1), np.ones(1))
    made = Ground.of("generalization", CodedStudies(IDS, np.ones((60, 1))), CodedStudies(IDS, np.ones((60, 1))), [rule])
    return replace(made, grades={"jaccard": grades})


@pytest.fixture
def qrels(tmp_path: Path, ground: Ground) -> Path:
    write_qrels(tmp_path / "qrels.txt.gz", qrels_of(ground, "jaccard"))
    return tmp_path / "qrels.txt.gz"


def test_a_written_run_scores_what_was_measured(tmp_path: Path, ground: Ground, qrels: Path) -> None:
    scores = random_scores(60, 60, 5)
    order = rank(scores, np.arange(60))
    write_run(tmp_path / "run.txt", "a system", ground, order, scores, ALL, depth=60)
    table = score_run(read_qrels(qrels), read_run(tmp_path / "run.txt"), "a system", resamples=100)
    for name, value in zip(MEASURES, measure(ground.grades["jaccard"], order).mean(0), strict=True):
        assert table.figure("a system", name).value == pytest.approx(value, abs=1e-9)


def test_a_random_run_gets_the_chance_row(tmp_path: Path, ground: Ground, qrels: Path) -> None:
    scores = random_scores(60, 60, 1)
    write_run(tmp_path / "run.gz", "random", ground, rank(scores), scores, ALL, depth=60)  # with the query itself
    table = score_run(read_qrels(qrels), read_run(tmp_path / "run.gz"), "random")
    for name in MEASURES:
        found, expected = table.figure("random", name), table.figure("chance, expected", name)
        assert found.low <= expected.value <= found.high, name
    assert "60 answers outside the pool" in table.about


def test_equal_scores_stand_by_study_id(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q 0 B 1\nq 0 A 0\nq 0 C 0\n")
    (tmp_path / "run").write_text("q Q0 B 1 0.5 x\nq Q0 A 2 0.5 x\nq Q0 elsewhere 3 0.9 x\n")
    table = score_run(read_qrels(tmp_path / "qrels"), read_run(tmp_path / "run"), "x", resamples=100)
    assert table.figure("x", "RR").value == 0.5


def test_a_query_that_the_run_lacks_counts_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q 0 A 1\nq 0 B 0\nother 0 A 1\nother 0 B 0\n")
    (tmp_path / "run").write_text("q Q0 A 1 0.5 x\n")
    table = score_run(read_qrels(tmp_path / "qrels"), read_run(tmp_path / "run"), "x", resamples=100)
    assert table.figure("x", "P@1").value == 0.5
    assert "1 of them not in the run" in table.about


@pytest.mark.parametrize(
    "text",
    ["q Q0 A 1\n", "q Q0 A 1 high x\n", "q Q0 A 1 nan x\n", "q Q0 A 1 0.5 x\nq Q0 A 2 0.4 x\n", b"\xff\xfe\n"],
)
def test_a_bad_run_is_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "run").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match="run") as refused:
        read_run(tmp_path / "run")
    assert refused.value.code == "bad_request"


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not_found"):
        read_qrels(tmp_path / "absent")
    (tmp_path / "qrels.gz").write_bytes(gzip.compress(b"q 0 A 1\n" * 100)[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_qrels(tmp_path / "qrels.gz")
    (tmp_path / "qrels").write_text("q 0 A 0\n")
    (tmp_path / "elsewhere").write_text("q 0 A 1\n")
    with pytest.raises(InputError, match="pool of its query"):  # of the other protocol, perhaps
        score_run(read_qrels(tmp_path / "elsewhere"), {"q": {"B": 1.0}}, "x")
    with pytest.raises(InputError, match="no relevant"):
        score_run(read_qrels(tmp_path / "qrels"), {}, "x")


def test_the_same_bytes_each_time(tmp_path: Path, ground: Ground, qrels: Path) -> None:
    write_qrels(tmp_path / "again.txt.gz", qrels_of(ground, "jaccard"))
    assert (tmp_path / "again.txt.gz").read_bytes() == qrels.read_bytes()


# -- the shipped split and its labels: no model, no collection


@pytest.fixture(scope="module")
def shipped() -> dict[str, Ground]:
    split = Split.load("openi-v1")
    return grounds(split, LabelFile.load("openi-v1").checked(split))


def test_anybodys_random_ranking_gets_chance_on_the_shipped_split(shipped: dict[str, Ground], tmp_path: Path) -> None:
    """A run made without this package: every test study, in an order of ``random``."""
    ground = shipped["generalization"]
    dice = random.Random(11)
    with (tmp_path / "run.txt").open("w") as file:
        for query in Split.load("openi-v1").test:
            scores = [(dice.random(), study) for study in ground.answers]
            for rank_, (score, study) in enumerate(sorted(scores, reverse=True)[:100], 1):
                file.write(f"{query} Q0 {study} {rank_} {score:.9f} dice\n")
    for table in score_on(ground, read_run(tmp_path / "run.txt"), "dice", resamples=300):
        for measure_ in ("P@5", "P@10", "RR", "nDCG@10"):
            found, expected = table.figure("dice", measure_), table.figure("chance, expected", measure_)
            slack = 0.5 * (found.high - found.low)  # 95 % of many figures would miss now and then
            assert found.low - slack <= expected.value <= found.high + slack, (table.key, measure_)


def test_the_random_run_of_the_package_is_one(shipped: dict[str, Ground], tmp_path: Path) -> None:
    ground = shipped["generalization"]
    run = read_run(write_random_run(ground, tmp_path, seed=0))
    assert set(run) == set(ground.queries)
    assert all(query not in answers for query, answers in run.items())
    assert {len(answers) for answers in run.values()} == {len(ground.answers) - 1}


def test_qrels_by_hand(tmp_path: Path) -> None:
    """Two labels of three shared: two thirds; normal ones ask among themselves; nobody is in his own pool."""
    vocabulary = Vocabulary.load("openi22")
    codes = {
        "A": ("cardiomegaly", "scar"), "B": ("cardiomegaly", "scar", "hernia"), "C": ("normal",), "D": ("normal",),
        "E": ("unknown",), "T": ("scar",), "V": (),
    }  # fmt: skip
    split = Split("by-hand", 0, ("T",), ("V",), ("A", "B", "C", "D", "E"))
    labels = LabelFile.over(codes, vocabulary)
    found = grounds(split, labels)
    paths = write_all_qrels(found["generalization"], tmp_path)
    assert [path.name.split("-")[2] for path in paths] == [
        "jaccard.txt.gz",
        "idf.txt.gz",
        "mesh.txt.gz",
        "normal.txt.gz",
    ]
    assert read_qrels(paths[0]) == {"A": {"B": 667, "C": 0, "D": 0}, "B": {"A": 667, "C": 0, "D": 0}}
    assert read_qrels(paths[3]) == {"C": {"A": 0, "B": 0, "D": 1000}, "D": {"A": 0, "B": 0, "C": 1000}}
    assert qrels_of(found["historical"], "jaccard") == {"A": {"T": 500}, "B": {"T": 333}}
