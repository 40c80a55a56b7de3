"""Qrels and runs as TREC files, so that any system can be scored: without a model, and without the collection.

Our qrels name every study that may be returned, grade 0 included: the pool. What a run returns outside it (such as the
query itself) is left out, and chance follows from the pool. Files end in ``.gz`` or not.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.openi.splits import SPLITS, Split
from lingula_lab.data.label_file import LabelFile
from lingula_lab.evaluation.tables.retrieval import (
    EXPECTED,
    GALLERY,
    PROTOCOL_ABOUT,
    PROTOCOLS,
    RULE_TITLES,
    CodedStudies,
    Ground,
    Protocol,
)
from lingula_lab.measures import retrieval
from lingula_lab.measures.bootstrap import RESAMPLES, SEED, Resamples, figures, ratio
from lingula_lab.measures.relevance import rules
from lingula_lab.measures.retrieval import MEASURES
from lingula_lab.measures.table import Row, Table

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]

DEPTH = 100
"""Answers of each query that an exported run holds."""
RANDOM = "random ranking"


def grounds(split: Split, labels: LabelFile) -> dict[Protocol, Ground]:
    """What rankings are judged by, from the published labels of a split alone."""
    vocabulary = Vocabulary.load(labels.seal.vocabulary)
    parts = {}
    for part in SPLITS:
        ids = np.array(sorted(split.ids(part)))
        targets = labels.targets(ids.tolist(), vocabulary)
        known = ~np.isnan(targets).any(1)
        parts[part] = CodedStudies(tuple(ids[known].tolist()), targets[known])
    relevance = rules(vocabulary, parts["train"].targets)
    return {protocol: Ground.of(protocol, parts["test"], parts[GALLERY[protocol]], relevance) for protocol in PROTOCOLS}


def qrels_of(ground: Ground, rule: str) -> Qrels:
    """Grades of every study that may answer, by query; a query is not in its own pool."""
    ask = np.flatnonzero(ground.asks[rule])
    return {
        ground.queries[row]: {
            study: grade
            for study, grade in zip(ground.answers, ground.grades[rule][row].tolist(), strict=True)
            if study != ground.queries[row]
        }
        for row in ask
    }


def write_qrels(path: Path, qrels: Qrels) -> None:
    """``query 0 study grade``, a line a pair."""
    _write(path, (f"{query} 0 {study} {grade}" for query, row in qrels.items() for study, grade in row.items()))


def write_run(
    path: Path,
    name: str,
    ground: Ground,
    order: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    able: npt.NDArray[np.bool_],
    depth: int = DEPTH,
) -> None:
    """``query Q0 study rank score name`` for the first answers of each query that is able to ask.

    Args:
        order: (N, <= G) of scores (N, G).
    """
    tag = "_".join(name.split())
    _write(
        path,
        (
            f"{ground.queries[row]} Q0 {ground.answers[column]} {place} {scores[row, column]:.6f} {tag}"
            for row in np.flatnonzero(able)
            for place, column in enumerate(order[row, :depth].tolist(), 1)
        ),
    )


def write_all_qrels(ground: Ground, folder: Path) -> list[Path]:
    """``qrels-PROTOCOL-RULE.txt.gz`` for every rule."""
    paths = []
    for rule in ground.grades:
        paths.append(folder / f"qrels-{ground.protocol}-{rule}.txt.gz")
        write_qrels(paths[-1], qrels_of(ground, rule))
    return paths


def write_random_run(ground: Ground, folder: Path, seed: int) -> Path:
    """A random ranking, in full: what it scores is chance."""
    scores = retrieval.random_scores(len(ground.queries), len(ground.answers), seed)
    path = folder / f"run-{ground.protocol}-random-ranking.txt.gz"
    everyone = np.ones(len(scores), bool)
    write_run(path, RANDOM, ground, retrieval.rank(scores, ground.own), scores, everyone, len(ground.answers))
    return path


def _write(path: Path, lines: Iterator[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(body, 1, mtime=0) if path.suffix == ".gz" else body)


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


def score_on(ground: Ground, run: Run, name: str, *, resamples: int = RESAMPLES, seed: int = SEED) -> list[Table]:
    """A run under every relevance rule of a protocol, a table each."""
    tables = []
    for rule in ground.grades:
        found = score_run(qrels_of(ground, rule), run, name, resamples=resamples, seed=seed)
        title = f"Run {name}: {ground.protocol}, {RULE_TITLES[rule]}"
        about = f"{PROTOCOL_ABOUT[ground.protocol]} {found.about}"
        tables.append(replace(found, key=f"run_{ground.protocol}_{rule}", title=title, about=about))
    return tables


def score_run(qrels: Qrels, run: Run, name: str, *, resamples: int = RESAMPLES, seed: int = SEED) -> Table:
    """A run against qrels, with ir-measures, and what a random order of the pool scores.

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
    if outside and not any(ranked.values()):
        message = f"None of the {outside} answers of {name} is in the pool of its query."
        raise InputError("bad_request", message, "Is it of the other --protocol?")
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
        Row(EXPECTED, figures(by_chance, len(queries))),
        Row("lift over chance", figures(ratio(means, by_chance), len(queries))),
    )
    about = (
        f"{len(queries)} queries, {len(queries) - len(set(run) & set(queries))} of them not in the run (0). "
        f"{outside} answers outside the pool were left out. Intervals: 95 %, {resamples} bootstrap resamples of "
        f"queries, seed {seed}. AP is over the run as deep as it is."
    )
    return Table("run", f"Run {name}", about, "ranking", MEASURES, rows)
