"""The whole evaluation of a checkpoint: encode once, then every table from the cache, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.labels.vocabulary import SHIPPED, Vocabulary
from lingula.library import Library
from lingula.openi import scan
from lingula.openi.splits import SPLITS, SplitName
from lingula_lab.evaluation.deployed import library_table
from lingula_lab.evaluation.encode import Reading, fingerprint_of
from lingula_lab.evaluation.inputs import Inputs, Request, Told
from lingula_lab.evaluation.searches import NAMES, name_of
from lingula_lab.evaluation.subgroups import groups, read_facts
from lingula_lab.evaluation.tables import classification, retrieval
from lingula_lab.evaluation.tables.calibration import calibration_table
from lingula_lab.evaluation.tables.classification import Judged, System
from lingula_lab.evaluation.tables.published import published_classification, published_retrieval
from lingula_lab.evaluation.tables.retrieval import (
    GALLERY,
    PROTOCOLS,
    RULE_TITLES,
    CodedStudies,
    Ground,
    Protocol,
    Ranking,
    Search,
)
from lingula_lab.evaluation.tables.sources import sources_table
from lingula_lab.evaluation.trec import DEPTH, RANDOM, write_all_qrels, write_run
from lingula_lab.gate.films import GateFilms
from lingula_lab.measures.classification import supported
from lingula_lab.measures.relevance import any_label, rules
from lingula_lab.measures.table import Bars, Plot, Table
from lingula_lab.report.cases import RetrievalCase, choose
from lingula_lab.report.plots import classification_plots, retrieval_plots

Floats = npt.NDArray[np.float32]
HEADLINE: Reading = "image"
"""The reading of the detailed tables: films alone."""
CALIBRATED = (NAMES["image"], NAMES["report"], NAMES["image_report"])
"""The checkpoint's own modes, whose ways to calibrate are compared."""
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
        cases: retrievals to look at: image asks image, test asks test.
    """

    about: dict[str, Any]
    tables: tuple[Table, ...]
    plots: tuple[Plot | Bars, ...]
    arrays: dict[str, npt.NDArray[np.float64]]
    cases: tuple[RetrievalCase, ...] = ()


def evaluate(request: Request, out: Path, told: Told = lambda what, done, of: None) -> Evaluation:
    """Measure everything. Encoded studies are kept in ``out/encoded``, qrels and runs written to ``out/trec``.

    Args:
        told: progress, called with (what is being done, how far, of how many).

    Raises:
        InputError: ``bad_request`` when study set, split and checkpoint do not fit each other.
        LibraryError: ``model_mismatch`` when another model filled the library.
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
    cases: tuple[RetrievalCase, ...] = ()
    grounds: dict[Protocol, Ground] = {}
    for protocol in PROTOCOLS:
        ground = Ground.of(protocol, inputs.coded("test"), inputs.coded(GALLERY[protocol]), relevance)
        grounds[protocol] = ground
        write_all_qrels(ground, out / "trec")
        rankings, shown = _rank(inputs, ground, _each(searches, told, f"Ranking, {protocol}"), out / "trec")
        cases = cases or shown
        tables += [retrieval.retrieval_table(ground, rankings, rule, inputs.draws) for rule in relevance]
        by_label = retrieval.by_label_table(ground, rankings, inputs.draws, inputs.vocabulary)
        tables.append(by_label)
        plots += retrieval_plots(by_label, inputs.vocabulary)
        arrays |= {f"retrieval/{protocol}/{each.search}": each.values["jaccard"] for each in rankings}
    keys = inputs.data.text_keys()[parts.test]
    tables.append(
        retrieval.pair_table([each for each in searches if each.name in PAIRS], keys, inputs.draws, request.seed)
    )
    if request.library:
        with Library.open(request.library, model=request.checkpoint.fingerprint) as library:
            tables.append(library_table(library, inputs.encoded))
    if request.sources:
        films = GateFilms.load(request.sources)
        tables.append(sources_table(films, request.checkpoint, _codes_by_study(inputs)))
    others = _other_labels(inputs)
    tables.append(_chance(inputs, grounds, others))
    tables += _published(inputs, systems, searches, others)
    return Evaluation(_about(inputs), tuple(tables), tuple(plots), arrays, cases)


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
        classification.abstention_table(judged, parts, draws, vocabulary),
        calibration_table([each.system for each in judged if each.system.name in CALIBRATED], parts, draws),
        classification.subgroup_table(headline, parts, draws, members, vocabulary),
        *(classification.system_table(e, parts, vocabulary, detail=e is not headline) for e in judged),
    ]


def _rank(
    inputs: Inputs, ground: Ground, searches: Iterator[Search], folder: Path
) -> tuple[list[Ranking], tuple[RetrievalCase, ...]]:
    """Rank and judge every search, write the runs, and choose what to look at. Only the random run is in full."""
    rankings: list[Ranking] = []
    cases: tuple[RetrievalCase, ...] = ()
    for search, scores, order in retrieval.ranked(ground, searches):
        rankings.append(ground.judge(search, order))
        path = folder / f"run-{ground.protocol}-{_file_name(search.name)}.txt.gz"
        depth = len(ground.answers) if search.name == RANDOM else DEPTH
        write_run(path, search.name, ground, order, scores, search.able, depth)
        if search.name == name_of(HEADLINE, HEADLINE):
            cases = choose(ground, rankings[-1], order, scores, inputs.vocabulary)
    return rankings, cases


def _chance(inputs: Inputs, grounds: dict[Protocol, Ground], others: Sequence[LabelledStudies]) -> Table:
    """Every relevance rule of the tables, and any shared label of each vocabulary."""
    judges = {RULE_TITLES[rule]: _under(grounds, rule) for rule in grounds["generalization"].grades}
    own = LabelledStudies(inputs.vocabulary, {part: inputs.coded(part) for part in ("test", "train")})
    for each in (own, *others):
        rule, parts = any_label(each.vocabulary), each.parts
        judges[f"any shared label of {each.vocabulary.name}"] = {
            protocol: Ground.of(protocol, parts["test"], parts[GALLERY[protocol]], [rule]) for protocol in PROTOCOLS
        }
    return retrieval.chance_table(judges, inputs.draws, inputs.request.seed)


def _codes_by_study(inputs: Inputs) -> dict[str, tuple[str, ...]]:
    """Label codes of every coded study of the set."""
    data, codes = inputs.data, inputs.vocabulary.codes
    return {
        study: tuple(code for code, yes in zip(codes, row, strict=True) if yes == 1)
        for study, row in zip(data.ids, data.labels, strict=True)
        if not np.isnan(row).all()
    }


def _under(grounds: dict[Protocol, Ground], rule: str) -> dict[Protocol, Ground]:
    return {protocol: ground.under(rule) for protocol, ground in grounds.items()}


def _published(
    inputs: Inputs, systems: Sequence[System], searches: Sequence[Search], others: Sequence[LabelledStudies]
) -> list[Table]:
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
    card = [each for each in others if each.vocabulary.name == "card22"]
    own = LabelledStudies(inputs.vocabulary, {part: inputs.coded(part) for part in ("test", "train")})
    tables = []
    for each in (own, *card):
        test, train = (each.parts[part].targets for part in ("test", "train"))
        protocols: dict[Protocol, tuple[Floats, Floats]] = {"generalization": (test, test), "historical": (test, train)}
        tables.append(published_retrieval(each.vocabulary.name, protocols, some, draws, seed))
    return [*tables, published_classification(judged, parts.validation_targets, parts.test_targets, draws)]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledStudies:
    """The same studies in the labels of some vocabulary, test and train."""

    vocabulary: Vocabulary
    parts: dict[SplitName, CodedStudies]


def _other_labels(inputs: Inputs) -> list[LabelledStudies]:
    """The vocabularies for comparison; needs the collection's coding. What they leave unknown counts as absent."""
    if inputs.request.collection is None:
        return []
    terms = {files.study_id: files.report.terms for files in scan(inputs.request.collection)}
    found = []
    for name in SHIPPED:
        if name != inputs.vocabulary.name:
            vocabulary = Vocabulary.load(name)
            parts: dict[SplitName, CodedStudies] = {}
            for part in ("test", "train"):
                ids = inputs.encoded[part].ids
                encoded = np.stack([vocabulary.encode(terms.get(study_id)) for study_id in ids])
                parts[part] = CodedStudies(ids, np.nan_to_num(encoded))
            found.append(LabelledStudies(vocabulary, parts))
    return found


def _about(inputs: Inputs) -> dict[str, Any]:
    request, parts, vocabulary = inputs.request, inputs.parts, inputs.vocabulary
    headline = supported(parts.test_targets)
    targets = (parts.train_targets, parts.validation_targets, parts.test_targets)
    counts = {part: len(inputs.rows[part]) for part in SPLITS}
    return {
        "command": request.command,
        "lingula": version("lingula"),
        "model": request.checkpoint.fingerprint,
        "trained_on_this_split": inputs.same_split,
        "split": {"name": request.split.name, "sha256": request.split.digest},
        "vocabulary": {"name": vocabulary.name, "sha256": vocabulary.digest},
        "data": {
            "sha256": inputs.digest,
            "collection": {"name": inputs.data.provenance.name, "licence": inputs.data.provenance.licence},
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
