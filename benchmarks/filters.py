"""A million studies searched within filters: how long, and whether the answers are those of a loop over all.

    python benchmarks/filters.py [STUDIES] [--stores sqlite,postgresql] [--filters 200] [--keep FOLDER]

A library of made-up records is written into each store: findings drawn as often as radiographs' reports assert them,
each with polarity, side, place and section; labels, views, ages, reports, and unit vectors of 256 dimensions around
2,000 centres. The filters are drawn until ``--filters`` of them select between .01 and 90 % of the studies, evenly over
that range on a logarithmic scale: findings that must be shown, must not, or are open, at a side or place, labels,
views, ages, coded or not, and their denials, one to three together. Measured is ``Library.matching`` and
``Library.nearest`` (k = 10) together, each filter with another query vector; what is remembered of an earlier answer is
forgotten before. The columns are read before: how long that takes is told beside, and so is how long the first search
takes after another process wrote a batch. Every answer is compared with numpy's over the arrays the records were made
of.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from lingula.library import Aged, AnyOf, Asserts, Coded, Condition, Entry, Labelled, Library, Not, Reported, Shows
from lingula.library.record import unit
from lingula.library.schema import EmbeddingRow, FindingRow, LabelRow, RadiographRow, StudyRow, vector_checksum
from lingula.study import Study
from machine import earlier_result, write_result

STORES = ("sqlite", "postgresql")
MILLION, DIMENSION, CENTRES, K, SEED, BATCH = 1_000_000, 256, 2_000, 10, 0, 5_000
LOW, HIGH = 1e-4, 0.9
FINDINGS = tuple(f"finding{number:02d}" for number in range(24))
SHARES = np.geomspace(0.6, 0.0005, len(FINDINGS))
POLARITIES, SIDES = ("present", "likely", "uncertain", "absent"), (None, "left", "right", "bilateral")
PLACES, SECTIONS = (None, "base", "apex", "hilum", "mid"), ("findings", "impression", "indication")
LABELS, VIEWS = tuple(f"label{number:02d}" for number in range(22)), ("frontal", "lateral", "unknown")
LABEL_SHARES = np.geomspace(0.4, 0.001, len(LABELS))
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """The records as arrays over N studies; a finding is asserted once a study at most."""

    vectors: npt.NDArray[np.float32]
    said: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]]  # rows, (M, 5) polarity past side place section
    labels: dict[str, Mask]
    coded: Mask
    reported: Mask
    view: npt.NDArray[np.int8]
    age: npt.NDArray[np.int16]  # -1: unknown

    @classmethod
    def drawn(cls, count: int) -> Made:
        rng = np.random.default_rng(SEED)
        centres = rng.standard_normal((CENTRES, DIMENSION), dtype=np.float32)
        vectors = np.empty((count, DIMENSION), np.float32)
        for start in range(0, count, 50_000):
            part = vectors[start : start + 50_000]
            noise = rng.standard_normal(part.shape, dtype=np.float32)
            part[:] = centres[rng.integers(CENTRES, size=len(part))] + np.float32(0.7) * noise
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        reported = rng.random(count) < 0.9
        said = {}
        for finding, share in zip(FINDINGS, SHARES, strict=True):
            rows = np.flatnonzero(reported & (rng.random(count) < share))
            parts = [
                rng.choice(size, p=p, size=len(rows))
                for size, p in ((4, [0.3, 0.1, 0.1, 0.5]), (2, [0.95, 0.05]), (4, [0.4, 0.25, 0.25, 0.1]),
                                (5, [0.6, 0.2, 0.1, 0.05, 0.05]), (3, [0.7, 0.25, 0.05]))
            ]  # fmt: skip
            said[finding] = rows, np.stack(parts, axis=1).astype(np.int8)
        coded = rng.random(count) < 0.7
        labels = {label: coded & (rng.random(count) < share) for label, share in zip(LABELS, LABEL_SHARES, strict=True)}
        view = rng.choice(3, p=[0.6, 0.35, 0.05], size=count).astype(np.int8)
        age = np.where(rng.random(count) < 0.85, rng.integers(0, 91, count), -1).astype(np.int16)
        return cls(vectors, said, labels, coded, reported, view, age)

    def __len__(self) -> int:
        return len(self.vectors)

    def meeting(self, condition: Condition) -> Mask:
        """The condition read anew, for the comparison."""
        mask = np.zeros(len(self), np.bool_)
        match condition:
            case Asserts():
                rows, parts = self.said[condition.finding]
                known: tuple[tuple[Sequence[Any], Sequence[Any]], ...] = (
                    (condition.polarities, POLARITIES), ((), ()), (condition.sides, SIDES), (condition.places, PLACES),
                    (condition.sections, SECTIONS),
                )  # fmt: skip
                keep = np.ones(len(rows), np.bool_)
                for at, (asked, values) in enumerate(known):
                    if asked:
                        keep &= np.isin(parts[:, at], [values.index(each) for each in asked])
                if condition.past is not None:
                    keep &= parts[:, 1] == condition.past
                mask[rows[keep]] = True
                return mask
            case Labelled(label):
                return self.labels[label]
            case Coded():
                return self.coded
            case Reported():
                return self.reported
            case Shows(view):
                return self.view == VIEWS.index(view)
            case Aged(youngest, oldest):
                return (self.age >= youngest) & (self.age <= oldest)
            case Not(inner):
                return ~self.meeting(inner)
            case AnyOf(several):
                for one in several:
                    mask = mask | self.meeting(one)
                return mask
        raise ValueError(condition)

    def best(self, conditions: Sequence[Condition], query: npt.NDArray[np.float32]) -> list[tuple[str, float]]:
        """The k nearest of those that meet all, from float64 products over all of them."""
        rows = np.flatnonzero(np.logical_and.reduce([self.meeting(each) for each in conditions]))
        near = rows[np.argsort(-(self.vectors[rows] @ query))[: 20 * K]]
        scores = (self.vectors[near].astype(float) * query.astype(float)).sum(axis=1).round(6)
        order = np.lexsort((near, -scores))[:K]
        return [(name(int(near[at])), float(scores[at])) for at in order]


def name(row: int) -> str:
    return f"S{row:07d}"


def drawn_filters(made: Made, count: int) -> list[tuple[tuple[Condition, ...], float]]:
    """Filters and their selectivity: as many in each of 8 equal parts of the logarithmic range, as far as they can be
    drawn; what is too rare or too frequent is told by fewer studies first."""
    rng, parts, low = np.random.default_rng(SEED + 1), 8, max(LOW, 5 / len(made))
    few = Made.drawn(min(len(made), 50_000))
    bins: list[list[tuple[tuple[Condition, ...], float]]] = [[] for _ in range(parts)]
    for _ in range(100 * count):
        if sum(map(len, bins)) >= count:
            break
        conditions = tuple(_condition(rng) for _ in range(rng.integers(1, 4)))
        at = _part(_share(few, conditions), parts, low)
        if at is None or len(bins[at]) >= -(-count // parts):
            continue
        share = _share(made, conditions)
        if (at := _part(share, parts, low)) is not None and len(bins[at]) < -(-count // parts):
            bins[at].append((conditions, share))
    found = [each for some in bins for each in some]
    return [found[at] for at in rng.permutation(len(found))[:count]]


def _share(made: Made, conditions: Sequence[Condition]) -> float:
    return float(np.logical_and.reduce([made.meeting(each) for each in conditions]).mean())


def _part(share: float, parts: int, low: float) -> int | None:
    """Which part of the range from ``low`` to ``HIGH``; None outside of it."""
    return min(int(parts * np.log(share / low) / np.log(HIGH / low)), parts - 1) if low <= share <= HIGH else None


def _condition(rng: np.random.Generator) -> Condition:
    finding = FINDINGS[rng.integers(len(FINDINGS))]
    side = ((), ("left", "bilateral"), ("right", "bilateral"))[rng.integers(3)]
    place = ((), ("base",), ("apex", "hilum"))[rng.integers(3)]
    told = SECTIONS[:2]
    kinds: tuple[Condition, ...] = (
        Asserts(finding, ("present", "likely"), past=False, sides=side, places=place, sections=told),
        AnyOf((Asserts(finding, ("present", "likely"), False, sections=told), Labelled(LABELS[rng.integers(22)]))),
        Not(Asserts(finding, ("present", "likely", "uncertain"), past=False, sections=told)),
        Asserts(finding, ("absent",)),
        Labelled(LABELS[rng.integers(22)]),
        Not(Labelled(LABELS[rng.integers(4)])),
        Shows(("frontal", "lateral")[rng.integers(2)]),
        Aged(int(rng.integers(0, 80)), 90),
        Not(Coded()),
        Reported(),
    )
    return kinds[rng.integers(len(kinds))]


def fill(library: Library, made: Made) -> float:
    """Write the records as rows, a batch a transaction."""
    started = perf_counter()
    where = {
        finding: dict(zip(rows.tolist(), range(len(rows)), strict=True)) for finding, (rows, _) in made.said.items()
    }
    for start in range(0, len(made), BATCH):
        some = range(start, min(start + BATCH, len(made)))
        with library._writing() as (connection, revision):
            for table, rows in _rows(made, where, some, revision):
                if rows:
                    connection.execute(sa.insert(table), rows)
    return perf_counter() - started


def _rows(made: Made, where: dict[str, dict[int, int]], some: range, revision: int) -> Iterator[tuple[Any, list[Any]]]:
    yield StudyRow, [
        {"study_id": name(row), "digest": "", "text": "Made up." if made.reported[row] else None, "sections": [],
         "terms": None, "labels": [each for each in LABELS if made.labels[each][row]] if made.coded[row] else None,
         "notices": [], "age": None if made.age[row] < 0 else int(made.age[row]), "birth_key": ""}
        for row in some
    ]  # fmt: skip
    yield RadiographRow, [
        {"study_id": name(row), "position": 0, "image_id": name(row), "view": VIEWS[made.view[row]], "digest": "",
         "rows": 8, "columns": 8, "decoder": "", "attributes": [], "notices": [], "png": b""}
        for row in some
    ]  # fmt: skip
    findings = []
    for at, finding in enumerate(FINDINGS):
        parts = made.said[finding][1]
        for row in some:
            if (found := where[finding].get(row)) is not None:
                polarity, past, side, place, section = parts[found].tolist()
                findings.append({
                    "study_id": name(row), "position": at, "finding": finding, "polarity": POLARITIES[polarity],
                    "past": bool(past), "side": SIDES[side], "place": PLACES[place], "section": SECTIONS[section],
                    "start": 0, "stop": 0,
                })  # fmt: skip
    yield FindingRow, findings
    yield (
        LabelRow,
        [{"label": each, "study_id": name(row)} for each in LABELS for row in some if made.labels[each][row]],
    )
    vectors = [(name(row), made.vectors[row].astype("<f4").tobytes()) for row in some]
    yield EmbeddingRow, [
        {"study_id": study, "mode": "joint", "revision": revision, "vector": vector,
         "checksum": vector_checksum(study, "joint", vector)}
        for study, vector in vectors
    ]  # fmt: skip


@contextmanager
def place_of(store: str, folder: Path) -> Iterator[str]:
    if store == "sqlite":
        yield str(folder / "library.sqlite")
        return
    import pgserver

    server = pgserver.get_server(folder / "postgresql")  # the folder's path must be short, for its socket
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def measured(place: str, made: Made, filters: list[tuple[tuple[Condition, ...], float]]) -> dict[str, Any]:
    about: dict[str, Any] = {"model": "m", "vocabulary": "v", "labels": LABELS, "dimension": DIMENSION}
    try:
        library = Library.open(place)
        filled = 0.0
    except Exception:  # there is none yet
        library = Library.create(place, **about)
        with library._writing() as (connection, _):  # another search's index, which takes hours to fill
            connection.exec_driver_sql("DROP INDEX IF EXISTS embedding_joint_hnsw")
        filled = fill(library, made)
    queries = made.vectors[np.random.default_rng(SEED + 2).integers(len(made), size=len(filters))]
    with library:
        left = [study for study in library.ids() if study.startswith("T")]  # by ``_after_a_write`` of an earlier run
        if left:
            library.delete(left)
        started = perf_counter()
        library.gallery("joint")
        vectors_read = perf_counter() - started
        started = perf_counter()
        for conditions, _ in filters:
            library.matching(*conditions)
        columns_read = perf_counter() - started
        library.nearest(queries[0], k=K, within=library.matching(*filters[0][0]))  # the rows' places
        took, cpu, equal = [], [], 0
        for (conditions, _), query in zip(filters, queries, strict=True):
            library._matching.cache_clear()
            started, used = perf_counter(), process_time()
            found = library.nearest(query, k=K, within=library.matching(*conditions))
            took.append(1000 * (perf_counter() - started))
            cpu.append(1000 * (process_time() - used))
            equal += list(found) == made.best(conditions, unit(query, DIMENSION, "the query"))
        after_write = _after_a_write(library, place, made, filters[0][0], queries[0])
    p50, p95 = (round(float(np.percentile(took, at)), 1) for at in (50, 95))
    return {
        "studies": len(made), "filters": len(filters), "equal": equal, "p50_ms": p50, "p95_ms": p95,
        "most_ms": round(max(took), 1), "p95_cpu_ms": round(float(np.percentile(cpu, 95)), 1),
        "fill_seconds": round(filled), "vectors_read_seconds": round(vectors_read, 1),
        "columns_read_seconds": round(columns_read, 1), "first_after_a_write_ms": round(after_write, 1),
    }  # fmt: skip


def _after_a_write(
    library: Library, place: str, made: Made, conditions: Sequence[Condition], query: npt.NDArray[np.float32]
) -> float:
    """Milliseconds of the first search after another handle added a hundred studies."""
    with Library.open(place) as other:
        rng = np.random.default_rng(len(library))
        batch = [Entry(Study(f"T{rng.integers(1 << 60):019d}"), {"joint": made.vectors[row]}) for row in range(100)]
        other.add_many(batch)
    started = perf_counter()
    library.nearest(query, k=K, within=library.matching(*conditions))
    return 1000 * (perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", nargs="?", type=int, default=MILLION)
    parser.add_argument("--stores", default=",".join(STORES), help="of the others the last figures are kept")
    parser.add_argument("--filters", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="where the libraries are left for the next run")
    asked = parser.parse_args()
    made = Made.drawn(asked.studies)
    filters = drawn_filters(made, asked.filters)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="lingula"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    figures: dict[str, Any] = {"seed": SEED, "k": K, "dimension": DIMENSION}
    try:
        for store in asked.stores.split(","):
            with place_of(store, folder) as place:
                figures[store] = measured(place, made, filters)
                sys.stderr.write(f"{store}: {figures[store]}\n")
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    shares = np.sort([share for _, share in filters])
    figures["selectivity"] = {"least": float(shares[0]), "median": float(np.median(shares)), "most": float(shares[-1])}
    figures["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    stores = [figures[store] for store in asked.stores.split(",")]
    if asked.studies != MILLION or any(each["equal"] < each["filters"] for each in stores):
        sys.stdout.write(f"{figures}\n")  # a trial, or wrong: not written down
        raise SystemExit(any(each["equal"] < each["filters"] for each in stores))
    earlier = earlier_result("filters")
    figures = {**{store: earlier[store] for store in STORES if store in earlier}, **figures}
    slowest = max(figures[store]["p95_ms"] for store in STORES if store in figures)
    headline = {"filter_p95_ms_1m": {"value": slowest, "unit": "ms", "n": len(filters)}}
    write_result("filters", figures, headline)


if __name__ == "__main__":
    main()
