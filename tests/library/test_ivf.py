"""Large galleries: held against exact search, kept in a file that may be damaged, added to while they are searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lingula.library import Entry, FaissQuantised, Library, NumpyExact
from lingula.library.ivf import Cells
from lingula.study import Study


@pytest.fixture(scope="module")
def crowd() -> np.ndarray:
    """3,000 vectors around 100 centres; 200 of them alike."""
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(100, 1, 24)) + 0.7 * rng.normal(size=(100, 30, 24))).reshape(-1, 24)
    vectors[:200] = vectors[0]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_held_against_exact_search(crowd: np.ndarray) -> None:
    """Looking into every cell finds nearly all; whatever is found has its exact score and order."""
    queries, exact = crowd[::100], NumpyExact(crowd)
    quantised = FaissQuantised(crowd, probes=75)
    scores, rows = quantised.search(queries, 10)
    best, wanted = exact.search(queries, 10)
    np.testing.assert_allclose(scores[2:], best[2:], atol=0.002)
    agreed = [len(set(a) & set(b)) for a, b in zip(rows[2:].tolist(), wanted[2:].tolist(), strict=True)]
    assert sum(agreed) / (10 * len(agreed)) >= 0.98
    for query, row, score in zip(queries, rows, scores, strict=True):
        np.testing.assert_allclose(crowd[row] @ query, score, atol=2e-6)
        assert list(zip(-score, row, strict=True)) == sorted(zip(-score, row, strict=True))
    few = FaissQuantised(crowd, probes=1).search(queries, 2000)[1]
    np.testing.assert_array_equal(few, exact.search(queries, 2000)[1])  # more than one cell holds


def test_cells_are_kept_and_mended(crowd: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "joint.cells"
    learned = Cells.kept(file, crowd)
    content = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Cells, "learned", lambda _: pytest.fail("learned twice"))
        again = Cells.kept(file, crowd)
    np.testing.assert_array_equal(again.assigned, learned.assigned)
    spoilt = bytearray(content)
    spoilt[-5] ^= 1
    for damage in (b"", content[:-9], b"\xff" * 999, bytes(spoilt)):
        file.write_bytes(damage)
        np.testing.assert_array_equal(Cells.kept(file, crowd).assigned, learned.assigned)
        assert file.read_bytes() == content
    Cells.kept(file, crowd[::-1])  # other vectors
    assert file.read_bytes() != content


def test_a_large_library_takes_more_while_it_is_searched(
    crowd: np.ndarray,
    in_a_file: Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("library", "search"):
        monkeypatch.setattr(f"lingula.library.{module}.EXACT", 500)
    vectors = crowd[:, :16] / np.linalg.norm(crowd[:, :16], axis=1, keepdims=True)
    studies = [Entry(Study(f"S{at:04d}"), {"joint": vector}) for at, vector in enumerate(vectors)]
    in_a_file.add_many(studies[:1500])
    in_a_file.search(vectors[0])
    settled = in_a_file.gallery("joint").index
    assert isinstance(settled, FaissQuantised)
    for entry in studies[1500:1560]:
        in_a_file.add_many([entry])
        assert in_a_file.search(entry.embeddings["joint"], k=1)[0].study_id == entry.study.study_id
    assert in_a_file.gallery("joint").index is settled  # nothing was learned anew for a few
    assert "S1555" in in_a_file.gallery("joint")
    assert in_a_file.verify() == ()
    fingerprint = in_a_file.fingerprint
    in_a_file.add_many(studies[1560:])
    assert len(in_a_file.gallery("joint").ids) == 3000
    with Library.open(tmp_path / "gallery") as again:
        assert again.fingerprint != fingerprint
        assert again.search(vectors[2000], k=1)[0].study_id == "S2000"
