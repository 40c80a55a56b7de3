"""Qrels and runs as TREC files, so that any system can be scored, with a model or without.

Our qrels name every study that may be returned, grade 0 included: the pool. What a run returns outside it (such as the
query itself) is left out, and chance follows from the pool. Files end in ``.gz`` or not.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.evaluation import retrieval
from lingula.evaluation.bootstrap import RESAMPLES, SEED, Resamples, figures, ratio
from lingula.evaluation.retrieval import MEASURES
from lingula.evaluation.table import Row, Table

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]

DEPTH = 100
"""Answers of each query that an exported run holds."""


def write_qrels(path: Path, queries: Sequence[str], gallery: Sequence[str], grades: npt.NDArray[np.int64]) -> None:
    """``query 0 study grade`` for every query and study but the query itself. grades (Q, G)."""
    _write(
        path,
        (
            f"{query} 0 {study} {grade}"
            for query, row in zip(queries, grades.tolist(), strict=True)
            for study, grade in zip(gallery, row, strict=True)
            if study != query
        ),
    )


def write_run(
    path: Path,
    name: str,
    queries: Sequence[str],
    gallery: Sequence[str],
    order: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    depth: int = DEPTH,
) -> None:
    """``query Q0 study rank score name`` for the first answers of each query. order (Q, G) of scores (Q, G)."""
    tag = "_".join(name.split())
    _write(
        path,
        (
            f"{query} Q0 {gallery[column]} {place} {row[column]:.6f} {tag}"
            for query, ranked, row in zip(queries, order[:, :depth].tolist(), scores, strict=True)
            for place, column in enumerate(ranked, 1)
        ),
    )


def _write(path: Path, lines: Iterator[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(body, 6, mtime=0) if path.suffix == ".gz" else body)


def read_qrels(path: Path) -> Qrels:
    """Grades by query and study.

    Raises:
        InputError: ``not_found``, or ``bad_request`` with the line that is not ``query 0 study grade``.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        try:
            query, _, study, grade = line.split()
            qrels.setdefault(query, {})[study] = max(int(grade), 0)
        except ValueError as error:
            raise InputError("bad_request", f"{path.name}, line {number}: not 'query 0 study grade'.") from error
    return qrels


def read_run(path: Path) -> Run:
    """Scores by query and study.

    Raises:
        InputError: as ``read_qrels``; also for a study named twice, or a score that is no finite number.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in _lines(path):
        try:
            query, _, study, _, score, _ = line.split()
            value = float(score)
        except ValueError as error:
            message = f"{path.name}, line {number}: not 'query Q0 study rank score name'."
            raise InputError("bad_request", message) from error
        answers = run.setdefault(query, {})
        if study in answers or not math.isfinite(value):
            raise InputError("bad_request", f"{path.name}, line {number}: {study} twice, or a score that is no number.")
        answers[study] = value
    return run


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise InputError("not_found", f"No file {path}.")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from ((number, line.decode()) for number, line in enumerate(file, 1) if line.strip())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError("bad_request", f"{path.name} cannot be read: {type(error).__name__}.") from error


def score_run(qrels: Qrels, run: Run, name: str, *, resamples: int = RESAMPLES, seed: int = SEED) -> Table:
    """A run against qrels, with ir-measures, beside what a random order of the pool scores.

    A query without a relevant study is left out; one the run does not answer counts as 0. Equal scores stand by study
    id.
    """
    import ir_measures

    queries = sorted(query for query, grades in qrels.items() if any(grades.values()))
    if not queries:
        raise InputError("bad_request", "The qrels name no relevant study.")
    ranked, outside = {}, 0
    for query in queries:
        answers = run.get(query, {})
        kept = sorted((study for study in answers if study in qrels[query]), key=lambda one: (-answers[one], one))
        outside += len(answers) - len(kept)
        ranked[query] = {study: -float(place) for place, study in enumerate(kept)}
    measures = [ir_measures.parse_measure(each) for each in MEASURES]
    found = np.zeros((len(queries), len(MEASURES)))
    place = {query: row for row, query in enumerate(queries)}
    judged = {query: dict(qrels[query]) for query in queries}
    for metric in ir_measures.iter_calc(measures, judged, ranked):
        found[place[metric.query_id], measures.index(metric.measure)] = metric.value
    expected = np.concatenate([retrieval.chance(np.array([list(qrels[query].values())])) for query in queries])
    draws = Resamples.draw(len(queries), resamples=resamples, seed=seed)
    means, by_chance = draws.mean(found), draws.mean(expected)
    rows = (
        Row(name, figures(means, len(queries))),
        Row("chance, expected", figures(by_chance, len(queries))),
        Row("lift over chance", figures(ratio(means, by_chance), len(queries))),
    )
    about = (
        f"{len(queries)} queries, {len(queries) - len(set(run) & set(queries))} of them not in the run (0). "
        f"{outside} answers outside the pool were left out. Intervals: 95 %, {resamples} bootstrap resamples of "
        f"queries, seed {seed}. AP is over the run as deep as it is."
    )
    return Table("run", f"Run {name}", about, "ranking", MEASURES, rows)
