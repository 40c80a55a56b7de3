from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.evaluation.retrieval import MEASURES, measure, random_scores, rank
from lingula.evaluation.trec import read_qrels, read_run, score_run, write_qrels, write_run

IDS = [f"CXR{number}" for number in range(60)]


@pytest.fixture
def grades(rng: np.random.Generator) -> np.ndarray:
    made = np.where(rng.random((60, 60)) < 0.2, rng.integers(1, 1001, (60, 60)), 0)
    made[np.arange(60), (np.arange(60) + 1) % 60] = 7
    np.fill_diagonal(made, 0)
    return made


@pytest.fixture
def qrels(tmp_path: Path, grades: np.ndarray) -> Path:
    write_qrels(tmp_path / "qrels.txt.gz", IDS, IDS, grades)
    return tmp_path / "qrels.txt.gz"


def test_a_written_run_scores_what_was_measured(tmp_path: Path, grades: np.ndarray, qrels: Path) -> None:
    scores = random_scores(60, 60, 5)
    order = rank(scores, np.arange(60))
    write_run(tmp_path / "run.txt", "a system", IDS, IDS, order, scores, depth=60)
    table = score_run(read_qrels(qrels), read_run(tmp_path / "run.txt"), "a system", resamples=100)
    for name, value in zip(MEASURES, measure(grades, order).mean(0), strict=True):
        assert table.figure("a system", name).value == pytest.approx(value, abs=1e-9)


def test_a_random_run_gets_the_chance_row(tmp_path: Path, qrels: Path) -> None:
    scores = random_scores(60, 60, 1)
    write_run(tmp_path / "run.gz", "random", IDS, IDS, rank(scores), scores, depth=60)  # with the query itself
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
    with pytest.raises(InputError, match="no relevant"):
        score_run(read_qrels(tmp_path / "qrels"), {}, "x")


def test_the_same_bytes_each_time(tmp_path: Path, grades: np.ndarray, qrels: Path) -> None:
    write_qrels(tmp_path / "again.txt.gz", IDS, IDS, grades)
    assert (tmp_path / "again.txt.gz").read_bytes() == qrels.read_bytes()
