"""Ranking, exclusion, and searching while others write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lingula.errors import InputError, LibraryError
from lingula.library import Entry, Index, Library, NumpyExact
from lingula.study import Study

Specimen = Callable[[int], Entry]
AXES = np.eye(16, dtype=np.float32)


@pytest.fixture
def engine() -> type[Index]:
    return NumpyExact


def test_ranks_by_score_then_plain_id(library: Library, place: str, engine: type[Index]) -> None:
    """40 equal studies, added backwards: ties go by id as a string (S10 before S2), also where k cuts them."""
    for number in reversed(range(1, 41)):
        library.add(Study(f"S{number}"), {"joint": AXES[0]})
    library.add(Study("Z"), {"joint": 0.6 * AXES[0] + 0.8 * AXES[1]})
    library.add(Study("A"), {"image": AXES[0]})
    with Library.open(place, engine=engine) as opened:
        found = opened.search(AXES[0], k=4, exclude=["S11", "nobody"])
        assert [(one.rank, one.study_id, one.score) for one in found] == [
            (1, "S1", 1.0), (2, "S10", 1.0), (3, "S12", 1.0), (4, "S13", 1.0),
        ]  # fmt: skip
        last = opened.search(AXES[0], k=100)[-1]
        assert (last.rank, last.study_id, last.score) == (41, "Z", 0.6)
        assert [one.study_id for one in opened.search(AXES[0], mode="image")] == ["A"]


def test_answers_carry_what_a_reader_needs(library: Library, specimen: Specimen) -> None:
    library.add_many([specimen(number) for number in range(12)])
    (best, *_) = library.search(specimen(7).embeddings["text"], mode="text", k=3)
    study = specimen(7).study
    assert (best.study_id, best.score, best.report) == ("S7", 1.0, study.report)
    assert (best.labels, best.image_ids) == (("normal", "cardiomegaly"), ("S7_1", "S7_2"))
    assert "S7" not in [one.study_id for one in library.search(specimen(7).embeddings["joint"], exclude=["S7"])]


def test_refuses_k_and_emptiness(library: Library) -> None:
    with pytest.raises(LibraryError, match="no study") as empty:
        library.search(AXES[0])
    assert empty.value.code == "library_empty"
    library.add(Study("a"), {"joint": AXES[0]})
    assert library.search(AXES[0], exclude=["a"]) == ()
    with pytest.raises(LibraryError, match="text embedding"):
        library.search(AXES[0], mode="text")
    for k in (0, 101):
        with pytest.raises(InputError, match="bad_request"):
            library.search(AXES[0], k=k)


def test_a_question_compared_by_rows_finds_what_the_nearest_are(library: Library, specimen: Specimen) -> None:
    library.add_many([specimen(number) for number in range(12)])
    library.add(Study("late"), {"joint": AXES[3]})
    query, roster = specimen(50).embeddings["joint"], library.roster
    rows = roster.rows(["S7", "nobody", "late", "S0"])
    for mode in ("joint", "text"):
        compared = library.compared(roster, query, mode=mode)
        there, cosines = compared.cosines(rows, exactly=True)
        held = library.vectors([roster.ids[row] for row in rows], mode)
        expected = [float(held[study] @ query) if (study := roster.ids[row]) in held else 0.0 for row in rows]
        assert [roster.ids[row] in held for row in rows] == there.tolist()
        assert cosines == pytest.approx(expected, abs=1e-6)
        assert compared.cosines(rows, exactly=False)[1] == pytest.approx(cosines, abs=1e-4)
        for k, within in ((3, None), (3, {"S1", "S3", "S4", "S9", "late"}), (50, None)):
            near = library.nearest(query, mode=mode, k=k, exclude=["S3"], within=within)
            assert {roster.ids[row] for row in compared.nearest(k, ["S3"], within)} == {study for study, _ in near}


def test_sees_what_another_connection_wrote(library: Library, place: str) -> None:
    library.add(Study("a"), {"joint": AXES[0]})
    with Library.open(place) as other:
        assert len(other.search(AXES[0])) == 1
        library.add(Study("b"), {"joint": AXES[0]})
        assert [one.study_id for one in other.search(AXES[0])] == ["a", "b"]
        assert other.fingerprint == library.fingerprint


def test_four_threads_search_while_one_imports(library: Library, specimen: Specimen) -> None:
    library.add_many([specimen(number) for number in range(10)])
    done = threading.Event()

    def search(seed: int) -> int:
        rng, largest = np.random.default_rng(seed), 0
        while not done.is_set():
            number = int(rng.integers(10))
            found = library.search(specimen(number).embeddings["joint"], k=100)
            assert found[0].study_id == f"S{number}"
            ranked = [(-one.score, one.study_id) for one in found]
            assert ranked == sorted(ranked)
            assert len({one.study_id for one in found}) == len(found) >= largest  # a gallery only grows
            largest = len(found)
        return largest

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search, seed) for seed in range(4)]
        try:
            for number in range(10, 60):
                entry = specimen(number)
                library.add(entry.study, entry.embeddings, entry.labels)
        finally:
            done.set()
        assert all(10 <= future.result() <= 60 for future in searching)
    assert len(library.search(AXES[0], k=100)) == 60
    assert library.verify() == ()
