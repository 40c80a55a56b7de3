"""The whole evaluation of a checkpoint: encode once, then every table from the cache, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.evaluation import tables_classification as classification
from lingula.evaluation import tables_retrieval as retrieval
from lingula.evaluation.classification import supported
from lingula.evaluation.encode import Reading, fingerprint_of
from lingula.evaluation.inputs import Inputs, Request, Told
from lingula.evaluation.plots import classification_plots, retrieval_plots
from lingula.evaluation.relevance import Rule, rules
from lingula.evaluation.searches import NAMES, name_of
from lingula.evaluation.subgroups import groups, read_facts
from lingula.evaluation.table import Bars, Plot, Table
from lingula.evaluation.tables_classification import Judged, System
from lingula.evaluation.tables_published import published_classification, published_retrieval
from lingula.evaluation.tables_retrieval import PROTOCOLS, Ground, Protocol, Ranking, Search
from lingula.evaluation.trec import DEPTH, write_qrels, write_run
from lingula.labels.vocabulary import Vocabulary
from lingula.openi import scan
from lingula.openi.splits import SPLITS

Floats = npt.NDArray[np.float32]
HEADLINE: Reading = "image"
"""The reading that the detailed tables speak of: films alone."""
RANDOM = "random ranking"
PAIRS = (name_of("image", "report"), name_of("report", "image"), "TF-IDF: indication → report")
"""Searches in which a study's other half can be asked for."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything found.

    Attributes:
        about: where the figures come from, plain data: command, seed, fingerprints, digests, counts.
        arrays: per study, for a paired comparison: ``scores/<system>`` (N, L), ``targets`` (N, L),
            ``retrieval/<protocol>/<search>`` (N, M).
    """

    about: dict[str, Any]
    tables: tuple[Table, ...]
    plots: tuple[Plot | Bars, ...]
    arrays: dict[str, npt.NDArray[np.float64]]


def evaluate(request: Request, out: Path, told: Told = lambda what, done, of: None) -> Evaluation:
    """Measure everything. Encoded studies are kept in ``out/encoded``, qrels and runs written to ``out/trec``.

    Args:
        told: called with (what is being done, how far, of how many).

    Raises:
        InputError: ``bad_request`` when study set, split and checkpoint do not fit each other.
    """
    inputs = Inputs(request, out / "encoded", told)
    parts = inputs.parts
    systems, searches = inputs.systems(), inputs.searches()
    judged = [
        classification.judge(system, parts, inputs.draws, inputs.normal)
        for system in _each(systems, told, "Judging findings")
    ]
    tables = _classification(inputs, judged)
    plots = classification_plots(judged, parts, inputs.draws, inputs.vocabulary)
    arrays = {f"scores/{each.name}": each.scores.test for each in systems}
    arrays["targets"] = parts.test_targets.astype(np.float64)
    relevance = rules(inputs.vocabulary, parts.train_targets)
    for protocol in PROTOCOLS:
        ground = _ground(inputs, protocol, relevance)
        rankings = _rank(inputs, ground, _each(searches, told, f"Ranking, {protocol}"), out / "trec")
        tables += [retrieval.retrieval_table(ground, rankings, rule, inputs.draws) for rule in relevance]
        by_label = retrieval.by_label_table(ground, rankings, inputs.draws, inputs.vocabulary)
        tables.append(by_label)
        plots += retrieval_plots(by_label, inputs.vocabulary)
        arrays |= {f"retrieval/{protocol}/{each.search}": each.values["jaccard"] for each in rankings}
    keys = inputs.data.text_keys()[parts.test]
    tables.append(retrieval.pair_table([each for each in searches if each.name in PAIRS], keys, inputs.draws))
    tables += _published(inputs, systems, searches)
    return Evaluation(_about(inputs), tuple(tables), tuple(plots), arrays)


def _each(items: Sequence[T], told: Told, what: str) -> Iterator[T]:
    for done, item in enumerate(items):
        told(what, done, len(items))
        yield item
    told(what, len(items), len(items))


def _classification(inputs: Inputs, judged: Sequence[Judged]) -> list[Table]:
    parts, draws, vocabulary, data = inputs.parts, inputs.draws, inputs.vocabulary, inputs.data
    headline = next(each for each in judged if each.system.name == NAMES[HEADLINE])
    facts = read_facts(inputs.request.collection) if inputs.request.collection else {}
    lateral = np.array([any(data.views[film] == "lateral" for film in data.films_of(row)) for row in parts.test])
    members = groups(inputs.encoded["test"].ids, lateral, facts)
    return [
        classification.overview(judged, parts, vocabulary),
        classification.label_table(judged, parts, vocabulary),
        classification.conformal_table(judged, parts, draws),
        classification.conformal_labels(headline, parts, draws, vocabulary),
        classification.abstention_table(judged, parts, draws),
        classification.subgroup_table(headline, parts, draws, members, vocabulary),
        *(classification.system_table(e, parts, vocabulary, detail=e is not headline) for e in judged),
    ]


def _ground(inputs: Inputs, protocol: Protocol, relevance: Sequence[Rule]) -> Ground:
    parts = inputs.parts
    gallery = parts.train_targets if protocol == "historical" else parts.test_targets
    return Ground.of(protocol, parts.test_targets, gallery, relevance)


def _rank(inputs: Inputs, ground: Ground, searches: Iterator[Search], folder: Path) -> list[Ranking]:
    """Rank and judge every search, and write qrels and runs. Only the random run is written in full."""
    queries = inputs.encoded["test"].ids
    gallery = inputs.encoded["train" if ground.protocol == "historical" else "test"].ids
    for rule, grades in ground.grades.items():
        ask = np.flatnonzero(ground.asks[rule])
        path = folder / f"qrels-{ground.protocol}-{rule}.txt.gz"
        write_qrels(path, [queries[row] for row in ask], gallery, grades[ask])
    rankings = []
    for search, scores, order in retrieval.ranked(ground, searches):
        rankings.append(ground.judge(search, order))
        able = np.flatnonzero(search.able)
        path = folder / f"run-{ground.protocol}-{_file_name(search.name)}.txt.gz"
        depth = len(gallery) if search.name == RANDOM else DEPTH
        write_run(path, search.name, [queries[row] for row in able], gallery, order[able], scores[able], depth)
    return rankings


def _published(inputs: Inputs, systems: Sequence[System], searches: Sequence[Search]) -> list[Table]:
    parts, draws, seed = inputs.parts, inputs.draws, inputs.request.seed
    shown = (
        name_of("image", "image"),
        "TF-IDF: report → report",
        name_of("report", "report"),
        name_of("image_report", "image_report"),
    )
    some = [each for name in shown for each in searches if each.name == name]
    names = ("prevalence (chance)", NAMES["image"], "TF-IDF of the report", NAMES["image_report"])
    judged = [each for name in names for each in systems if each.name == name]
    labels = {inputs.vocabulary.name: (parts.test_targets, parts.train_targets)} | _card_labels(inputs)
    tables = []
    for name, (test, train) in labels.items():
        protocols: dict[Protocol, tuple[Floats, Floats]] = {"generalization": (test, test), "historical": (test, train)}
        tables.append(published_retrieval(name, protocols, some, draws, seed))
    return [*tables, published_classification(judged, parts.validation_targets, parts.test_targets, draws)]


def _card_labels(inputs: Inputs) -> dict[str, tuple[Floats, Floats]]:
    """The card's 22 groups by MeSH heading, of test and of train; needs the collection's coding."""
    if inputs.request.collection is None:
        return {}
    card = Vocabulary.load("card22")
    terms = {files.study_id: files.report.terms for files in scan(inputs.request.collection)}

    def encode(ids: Sequence[str]) -> Floats:
        return np.nan_to_num(np.stack([card.encode(terms.get(study_id)) for study_id in ids]))

    return {card.name: (encode(inputs.encoded["test"].ids), encode(inputs.encoded["train"].ids))}


def _about(inputs: Inputs) -> dict[str, Any]:
    request, parts, vocabulary = inputs.request, inputs.parts, inputs.vocabulary
    headline = supported(parts.test_targets)
    targets = (parts.train_targets, parts.validation_targets, parts.test_targets)
    counts = {part: len(inputs.rows[part]) for part in SPLITS}
    return {
        "command": request.command,
        "lingula": version("lingula"),
        "model": request.checkpoint.fingerprint,
        "split": {"name": request.split.name, "sha256": request.split.digest},
        "vocabulary": {"name": vocabulary.name, "sha256": vocabulary.digest},
        "data": {
            "sha256": inputs.digest,
            "labels": fingerprint_of(*(str(each.astype(np.int64).tolist()) for each in targets)),
            "studies": counts,
            "not_coded": {p: len(inputs.data.rows(request.split.ids(p))) - counts[p] for p in SPLITS},
        },
        "bootstrap": {"resamples": request.resamples, "seed": request.seed, "unit": "study", "interval": "95 %"},
        "headline_labels": [code for code, yes in zip(vocabulary.codes, headline, strict=True) if yes],
    }


def _file_name(name: str) -> str:
    plain = name.replace("→", " to ").replace("×", " x ").replace("+", " and ")
    return "-".join("".join(c if c.isalnum() else " " for c in plain.lower()).split())


__all__ = ["Evaluation", "Request", "evaluate"]
