"""How fast the nearest vectors are found, and how many of the true ones, on the product's own embeddings.

    python benchmarks/vector_search.py LIBRARY

7,500 vectors: embeddings of a library as they are (joint, then image, then text), searched exactly by FAISS and numpy
in turns, one thread, one query at a time; and the same 7,500 in PostgreSQL.

1,000,000 vectors are grown from the joint embeddings: each is a convex mixture (Dirichlet weights) of three of the ten
nearest neighbours of a random study, plus 0.7 of the difference between another study and one of *its* neighbours. So
the noise has the length and the directions by which real neighbours differ, and neither fills all dimensions evenly
(needlessly hard) nor repeats studies (needlessly easy); 0.7 is where the intrinsic dimension (TwoNN, Facco et al. 2017,
Sci Rep 7:12140) of as many grown vectors as there are studies is that of the studies. Both are told beside. The queries
are studies left out of all growing.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lingula.library import Entry, FaissQuantised, Library, NumpyExact
from lingula.library.database_url import database_at
from lingula.library.engines import PROBES
from lingula.library.ivf import LISTS, Cells
from lingula.library.store import Store
from lingula.study import Study
from machine import write_result

Vectors = npt.NDArray[np.float32]
SMALL, LARGE, QUERIES, K, NEAR, SHARE = 7_500, 1_000_000, 200, 10, 10, 0.7


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def neighbours(vectors: Vectors, count: int) -> npt.NDArray[np.int64]:
    """(N, count) nearest others of each vector."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    found = flat.search(vectors, count + 1)[1]
    return np.array([row[row != at][:count] for at, row in enumerate(found)])


def grown(vectors: Vectors, count: int, seed: int = 0) -> Vectors:
    rng, near = np.random.default_rng(seed), neighbours(vectors, NEAR)
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 50_000):
        some = min(50_000, count - start)
        anchors, others = rng.integers(len(vectors), size=(2, some))
        mixed = near[anchors[:, None], rng.integers(NEAR, size=(some, 3))]  # (some, 3)
        weights = rng.dirichlet([1, 1, 1], some).astype(np.float32)
        centre = np.einsum("nk,nkd->nd", weights, vectors[mixed])
        apart = vectors[others] - vectors[near[others, rng.integers(NEAR, size=some)]]
        made[start : start + some] = unit(centre + np.float32(SHARE) * apart)
    return made


def intrinsic_dimension(vectors: Vectors) -> float:
    """TwoNN: from the ratio of the second to the first neighbour's distance."""
    flat = faiss.IndexFlatL2(vectors.shape[1])
    flat.add(vectors)
    squared = flat.search(vectors, 3)[0]  # itself first
    ratio = np.sqrt(squared[:, 2] / np.maximum(squared[:, 1], 1e-12))
    ratio = np.sort(ratio[squared[:, 1] > 1e-9])[: int(0.9 * len(vectors))]
    return round(float(len(ratio) / np.log(ratio).sum()), 1)


def milliseconds(*searches: Callable[[Vectors], Any], queries: Vectors) -> list[dict[str, float]]:
    """Median and 95th percentile of each search, query by query in turns."""
    took: list[list[float]] = [[] for _ in searches]
    for query in queries:
        for times, search in zip(took, searches, strict=True):
            begun = perf_counter()
            search(query)
            times.append(1000 * (perf_counter() - begun))
    return [{"p50_ms": round(float(np.median(t)), 3), "p95_ms": round(float(np.percentile(t, 95)), 3)} for t in took]


def recall(found: Callable[[Vectors], npt.NDArray[np.int64]], truth: npt.NDArray[np.int64], queries: Vectors) -> float:
    same = [len(set(found(query).tolist()) & set(rows.tolist())) for query, rows in zip(queries, truth, strict=True)]
    return round(sum(same) / truth.size, 4)


def small(vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    """FAISS alone beside numpy with the answer ranked, as the product searches."""
    flat, exact = faiss.IndexFlatIP(vectors.shape[1]), NumpyExact(vectors)
    flat.add(vectors)
    ours, numpy = milliseconds(lambda q: flat.search(q[None], K), lambda q: exact.search(q[None], K), queries=queries)
    return {"n": len(vectors), "faiss": ours, "numpy": numpy}


def large(vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    faiss.omp_set_num_threads(2)
    with threadpool_limits(2):
        truth = np.concatenate(
            [NumpyExact(vectors).search(queries[at : at + 20], K)[1] for at in range(0, len(queries), 20)]
        )
        begun = perf_counter()
        cells = Cells.learned(vectors)
        learned = perf_counter()
        index = FaissQuantised(vectors, cells)
        built = perf_counter()
    faiss.omp_set_num_threads(1)
    (speed,) = milliseconds(lambda q: index.search(q[None], K), queries=queries)
    return {
        "n": len(vectors), "lists": LISTS, "probes": PROBES, **speed,
        "recall10": recall(lambda q: index.search(q[None], K)[1][0], truth, queries),
        "learn_seconds": round(learned - begun, 1), "fill_seconds": round(built - learned, 1),
        "vectors_mb": round(vectors.nbytes / 1e6), "index_mb": round((vectors.size + 8 * len(vectors)) / 1e6),
        "cells_file_mb": round((cells.centroids.nbytes + 4 * len(vectors)) / 1e6, 1),
    }  # fmt: skip


def postgres(vectors: Vectors, queries: Vectors) -> dict[str, Any]:
    try:
        import pgserver
    except ImportError:
        return {"left_out": "pgserver is not installed"}
    folder = tempfile.mkdtemp(prefix="lingula")
    server = pgserver.get_server(folder)
    url, about = server.get_uri(), {"model": "m", "vocabulary": "v", "labels": (), "dimension": vectors.shape[1]}
    truth = NumpyExact(vectors).search(queries, K)[1]
    begun = perf_counter()
    with Library.create(url, **about) as library:
        for start in range(0, len(vectors), 100):
            some = vectors[start : start + 100]
            library.add_many([Entry(Study(f"{start + at:07d}"), {"joint": one}) for at, one in enumerate(some)])
    filled = perf_counter() - begun
    figures: dict[str, Any] = {"n": len(vectors), "fill_seconds": round(filled, 1)}
    for name, exact in (("scan", len(vectors)), ("hnsw", 0)):
        database = database_at(url)
        database.exact = exact  # type: ignore[attr-defined]
        with Library(Store.open(database), None) as library:

            def found(query: Vectors, library: Library = library) -> npt.NDArray[np.int64]:
                return np.array([int(study_id) for study_id, _ in library.nearest(query, k=K)])

            milliseconds(found, queries=queries[:20])
            (speed,) = milliseconds(found, queries=queries)
            figures[name] = {**speed, "recall10": recall(found, truth, queries)}
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
    return figures


def main() -> None:
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else LARGE
    faiss.omp_set_num_threads(1)
    with Library.open(sys.argv[1]) as library:
        joint, image, text = (library.gallery(mode).vectors for mode in ("joint", "image", "text"))
    shuffled = np.random.default_rng(1).permutation(len(joint))
    asked, kept = joint[shuffled[:QUERIES]], joint[shuffled[QUERIES:]]
    real = np.ascontiguousarray(np.concatenate([kept, image, text])[:SMALL])
    with threadpool_limits(1):
        figures: dict[str, Any] = {"dimension": joint.shape[1], "queries": QUERIES, "k": K, "exact": small(real, asked)}
        figures["postgresql"] = postgres(real, asked)
        crowd = grown(kept, wanted)
        figures["intrinsic_dimension"] = {
            "real": intrinsic_dimension(kept), "grown": intrinsic_dimension(crowd[: len(kept)])
        }  # fmt: skip
    figures["grown"] = large(crowd, asked)
    figures["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if wanted != LARGE:
        sys.stdout.write(f"{figures}\n")  # a trial: not written down
        return
    write_result("vector_search", figures, {
        "search_ms_7500": {"value": figures["exact"]["numpy"]["p50_ms"], "unit": "ms", "n": len(real)},
        "faiss_search_ms_7500": {"value": figures["exact"]["faiss"]["p50_ms"], "unit": "ms", "n": len(real)},
        "search_ms_1m": {"value": figures["grown"]["p50_ms"], "unit": "ms", "n": len(crowd)},
        "search_recall10_1m": {"value": figures["grown"]["recall10"], "unit": "recall@10", "n": QUERIES},
    })  # fmt: skip


if __name__ == "__main__":
    main()
