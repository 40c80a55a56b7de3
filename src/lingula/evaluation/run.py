"""The whole evaluation of a checkpoint: encode once, then every table from the cache, the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.evaluation import baselines, searches
from lingula.evaluation import tables_classification as classification
from lingula.evaluation import tables_retrieval as retrieval
from lingula.evaluation.baselines import INDICATION, REPORT, Parts, Scores, texts
from lingula.evaluation.bootstrap import RESAMPLES, SEED, Resamples
from lingula.evaluation.classification import supported
from lingula.evaluation.encode import EncodedPart, Progress, Reading, digest, encode_part, fingerprint_of
from lingula.evaluation.relevance import rules
from lingula.evaluation.searches import NAMES, READS_REPORT
from lingula.evaluation.subgroups import groups, read_facts
from lingula.evaluation.table import Bars, Plot, Table
from lingula.evaluation.tables_classification import Judged, System
from lingula.evaluation.tables_published import published_classification, published_retrieval
from lingula.evaluation.tables_retrieval import PROTOCOLS, Ground, Protocol, Ranking, Search
from lingula.evaluation.trec import write_qrels, write_run
from lingula.labels.vocabulary import Vocabulary
from lingula.models.checkpoint import Checkpoint
from lingula.openi import scan
from lingula.openi.splits import SPLITS, Split, SplitName
from lingula.training.data import StudySet

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
HEADLINE: Reading = "image"
"""The reading that the detailed tables speak of: films alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is evaluated, on what, how.

    Attributes:
        collection: folder of the collection, for the published label set and the subgroups; None leaves these out.
        trunk: weights of a frozen ImageNet MobileNetV1 for the baseline; None leaves it out.
        command: as a reader would type it.
    """

    checkpoint: Checkpoint
    data: StudySet
    split: Split
    collection: Path | None = None
    trunk: Path | None = None
    resamples: int = RESAMPLES
    seed: int = SEED
    command: str = ""


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


def evaluate(request: Request, out: Path, progress: Callable[[str, int, int], None] = lambda *at: None) -> Evaluation:
    """Measure everything. Encoded studies are kept in ``out/encoded``, qrels and runs written to ``out/trec``.

    Args:
        progress: called with (what is done, how far, of how many).

    Raises:
        InputError: ``bad_request`` when study set, split and checkpoint do not fit each other.
    """
    work = _Work(request, out, progress)
    systems = work.systems()
    judged = [
        classification.judge(system, work.parts, work.draws, work.normal)
        for system in work.told(systems, "Judging findings")
    ]
    found = [*work.classification_tables(judged)]
    arrays = {"targets": work.parts.test_targets.astype(np.float64)}
    arrays |= {f"scores/{each.name}": each.scores.test for each in systems}
    plots: list[Plot | Bars] = []
    asked = work.searches()
    for protocol in PROTOCOLS:
        tables, rankings, bars = work.retrieval_tables(protocol, asked)
        found += tables
        plots += bars
        arrays |= {f"retrieval/{protocol}/{each.search}": each.values["jaccard"] for each in rankings}
    across = [each for each in asked if each.name in work.crossing]
    found.append(retrieval.pair_table(across, work.data.text_keys()[work.parts.test], work.draws))
    found += work.published(systems, asked)
    return Evaluation(work.about(), tuple(found), (*work.plots(judged), *plots), arrays)


class _Work:
    """The inputs, prepared once."""

    def __init__(self, request: Request, out: Path, progress: Callable[[str, int, int], None]) -> None:
        self.request, self.out, self.progress = request, out, progress
        self.data, self.vocabulary = request.data, request.checkpoint.vocabulary
        if self.data.labels.shape[1] != len(self.vocabulary):
            message = f"The study set has {self.data.labels.shape[1]} labels, the model {len(self.vocabulary)}."
            raise InputError("bad_request", message, "Prepare the studies with the model's vocabulary.")
        self.digest = digest(self.data)
        self.parts = coded_parts(self.data, request.split)
        self.draws = Resamples.draw(len(self.parts.test), resamples=request.resamples, seed=request.seed)
        normal = self.vocabulary.normal
        self.normal = self.vocabulary.codes.index(normal) if normal else None
        self.encoded = {part: self._encode(part) for part in SPLITS}
        self.rules = rules(self.vocabulary, self.parts.train_targets)
        self.able = _able(self.data, self.parts.test)
        self.words = baselines.WordVectors.fit(texts(self.data, self.parts.train, searches.TEXT), seed=request.seed)
        self.features = self._trunk_features()

    def told(self, items: Sequence[Any], what: str) -> Any:
        for done, item in enumerate(items):
            self.progress(what, done, len(items))
            yield item
        self.progress(what, len(items), len(items))

    def _bar(self, what: str) -> Progress:
        return lambda done, of: self.progress(what, done, of)

    def _encode(self, part: SplitName) -> EncodedPart:
        """Encoded studies of a part, coded ones only, sorted by study id as ``parts`` is."""
        request = self.request
        bar = self._bar(f"Encoding {part}")
        whole = encode_part(request.checkpoint, self.data, request.split, part, self.out / "encoded", bar)
        place = {row: position for position, row in enumerate(whole.rows)}
        rows = {"train": self.parts.train, "validation": self.parts.validation, "test": self.parts.test}[part]
        take = [place[row] for row in rows]
        return EncodedPart(
            tuple(whole.ids[position] for position in take),
            rows,
            {reading: values[take] for reading, values in whole.embeddings.items()},
            {reading: values[take] for reading, values in whole.logits.items()},
        )

    def _trunk_features(self) -> dict[str, dict[str, Floats]]:
        """By part: features "frontal" and "both"."""
        if self.request.trunk is None:
            return {}
        found: dict[str, dict[str, Floats]] = {}
        for part in SPLITS:
            rows = {"train": self.parts.train, "validation": self.parts.validation, "test": self.parts.test}[part]
            read = baselines.trunk_features(
                self.data,
                rows,
                self.request.trunk,
                self.out / "encoded",
                self.digest,
                part,
                self._bar(f"Trunk, {part}"),
            )
            found[part] = {"frontal": read["frontal"], "both": np.concatenate([read["frontal"], read["lateral"]], 1)}
        return found

    # -- what is compared

    def systems(self) -> list[System]:
        """Chance and what reads no report first."""
        data, parts = self.data, self.parts
        own = {reading: self._own(reading) for reading in NAMES}
        made = [
            System("prevalence (chance)", False, baselines.prevalence(parts)),
            System("TF-IDF of the indication", False, baselines.tf_idf_scores(data, parts, INDICATION)),
            own["indication"],
            System("32 × 32 pixels, frontal", False, baselines.thumbnail_scores(data, parts, self.request.seed)),
        ]
        for key, name in (("frontal", "frontal"), ("both", "frontal + lateral")) if self.features else ():
            train, validation, test = (self.features[part][key] for part in SPLITS)
            scores = baselines.ridge_scores(train, validation, test, parts)
            made.append(System(f"frozen MobileNetV1, {name}", False, scores))
        made += [own["image_frontal"], own["image"], own["image_indication"]]
        made += [
            System("TF-IDF of the report", True, baselines.tf_idf_scores(data, parts, REPORT)),
            System("word vectors of the report", True, baselines.word_vector_scores(self.words, data, parts, REPORT)),
        ]
        return [*made, own["report"], own["image_report"]]

    def _own(self, reading: Reading) -> System:
        validation, test = (self.encoded[part].logits[reading].astype(np.float64) for part in ("validation", "test"))
        return System(NAMES[reading], reading in READS_REPORT, Scores(validation, test))

    def searches(self) -> list[Search]:
        test, train = self.encoded["test"], self.encoded["train"]
        sizes: dict[Protocol, int] = {"generalization": len(test.ids), "historical": len(train.ids)}
        abnormal = np.array([code != self.vocabulary.normal for code in self.vocabulary.codes])
        made = [searches.random_search(sizes, len(test.ids), self.request.seed)]
        made += searches.text_searches(self.data, self.parts, self.able["indication"], self.words)
        made.append(searches.thumbnail_search(self.data, self.parts))
        if self.features:
            name = "frozen MobileNetV1: image → image"
            made.append(searches.feature_search(name, self.features["test"]["both"], self.features["train"]["both"]))
        made += searches.model_searches(dict(test.embeddings), dict(train.embeddings), self.able)
        able = self.able["image"]
        made.append(searches.label_search(test.logits["image"], train.logits["image"], abnormal, able))
        return made

    @property
    def crossing(self) -> tuple[str, ...]:
        """Searches in which a study's other half can be asked for."""
        names = (searches.name_of("image", "report"), searches.name_of("report", "image"))
        return (*names, "TF-IDF: indication → report")

    # -- tables

    def classification_tables(self, judged: Sequence[Judged]) -> list[Table]:
        parts, draws, vocabulary = self.parts, self.draws, self.vocabulary
        headline = next(each for each in judged if each.system.name == NAMES[HEADLINE])
        facts = read_facts(self.request.collection) if self.request.collection else {}
        lateral = np.array([any(self.data.views[f] == "lateral" for f in self.data.films_of(r)) for r in parts.test])
        members = groups(self.encoded["test"].ids, lateral, facts)
        return [
            classification.overview(judged, parts, vocabulary),
            classification.label_table(judged, parts, vocabulary),
            classification.conformal_table(judged, parts, draws),
            classification.conformal_labels(headline, parts, draws, vocabulary),
            classification.abstention_table(judged, parts, draws),
            classification.subgroup_table(headline, parts, draws, members, vocabulary),
            *(classification.system_table(each, parts, vocabulary, detail=each is not headline) for each in judged),
        ]

    def retrieval_tables(
        self, protocol: Protocol, asked: Sequence[Search]
    ) -> tuple[list[Table], list[Ranking], list[Bars]]:
        test, gallery = self.encoded["test"], self.encoded["train" if protocol == "historical" else "test"]
        gallery_targets = self.parts.train_targets if protocol == "historical" else self.parts.test_targets
        ground = Ground.of(protocol, self.parts.test_targets, gallery_targets, self.rules)
        self._write_qrels(ground, test.ids, gallery.ids)
        rankings = []
        bar = self.told(asked, f"Ranking, {protocol}")
        for search, scores, order in retrieval.ranked(ground, bar):
            rankings.append(ground.judge(search, order))
            depth = len(gallery.ids) if search.name == "random ranking" else 100
            path = self.out / "trec" / f"run-{protocol}-{_file_name(search.name)}.txt.gz"
            able = np.flatnonzero(search.able)
            queries = [test.ids[int(row)] for row in able]
            write_run(path, search.name, queries, gallery.ids, order[able], scores[able], depth)
        tables = [retrieval.retrieval_table(ground, rankings, rule, self.draws) for rule in self.rules]
        tables.append(retrieval.by_label_table(ground, rankings, self.draws, self.vocabulary))
        return tables, rankings, []

    def _write_qrels(self, ground: Ground, queries: Sequence[str], gallery: Sequence[str]) -> None:
        for rule in self.rules:
            ask = np.flatnonzero(ground.asks[rule.name])
            path = self.out / "trec" / f"qrels-{ground.protocol}-{rule.name}.txt.gz"
            write_qrels(path, [queries[int(row)] for row in ask], gallery, ground.grades[rule.name][ask])

    def published(self, systems: Sequence[System], asked: Sequence[Search]) -> list[Table]:
        parts = self.parts
        shown = {searches.name_of("image_report", "image_report"), searches.name_of("image", "image")}
        some = [each for each in asked if each.name in shown or each.name == "TF-IDF: report → report"]
        names = ("prevalence (chance)", NAMES["image"], "TF-IDF of the report", NAMES["image_report"])
        judged = [next(each for each in systems if each.name == name) for name in names]
        labels = {self.vocabulary.name: (parts.test_targets, parts.train_targets)} | self._card_labels()
        return [
            *(
                published_retrieval(
                    name,
                    {"generalization": (test, test), "historical": (test, train)},
                    some,
                    self.draws,
                    self.request.seed,
                )
                for name, (test, train) in labels.items()
            ),
            published_classification(judged, parts.validation_targets, parts.test_targets, self.draws),
        ]

    def _card_labels(self) -> dict[str, tuple[Floats, Floats]]:
        """The card's 22 groups by MeSH heading, of test and of train; needs the collection's coding."""
        if self.request.collection is None:
            return {}
        card = Vocabulary.load("card22")
        terms = {files.study_id: files.report.terms for files in scan(self.request.collection)}

        def encode(rows: npt.NDArray[np.int64]) -> Floats:
            return np.nan_to_num(np.stack([card.encode(terms.get(self.data.ids[row])) for row in rows]))

        return {card.name: (encode(self.parts.test), encode(self.parts.train))}

    def plots(self, judged: Sequence[Judged]) -> list[Plot | Bars]:
        return []

    def about(self) -> dict[str, Any]:
        request, parts = self.request, self.parts
        headline = supported(parts.test_targets)
        targets = (parts.train_targets, parts.validation_targets, parts.test_targets)
        rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
        return {
            "command": request.command,
            "lingula": version("lingula"),
            "model": request.checkpoint.fingerprint,
            "split": {"name": request.split.name, "sha256": request.split.digest},
            "vocabulary": {"name": self.vocabulary.name, "sha256": self.vocabulary.digest},
            "data": {
                "sha256": self.digest,
                "labels": fingerprint_of(*(str(each.astype(np.int64).tolist()) for each in targets)),
                "studies": {part: len(rows[part]) for part in SPLITS},
                "not_coded": {part: len(self.data.rows(request.split.ids(part))) - len(rows[part]) for part in SPLITS},
            },
            "bootstrap": {"resamples": request.resamples, "seed": request.seed, "unit": "study", "interval": "95 %"},
            "headline_labels": [c for c, yes in zip(self.vocabulary.codes, headline, strict=True) if yes],
        }


def coded_parts(data: StudySet, split: Split) -> Parts:
    """The coded studies of each part, sorted by study id as plain strings, and their targets.

    Raises:
        InputError: ``bad_request`` when a part has none.
    """
    found = {}
    for part in SPLITS:
        rows = data.rows(sorted(split.ids(part)))
        rows = rows[~np.isnan(data.labels[rows]).any(1)]
        if not len(rows):
            raise InputError("bad_request", f"The study set has no coded study of the {part} part of {split.name}.")
        found[part] = rows
    targets = (data.labels[found[part]] for part in SPLITS)
    return Parts(found["train"], found["validation"], found["test"], *targets)


def _able(data: StudySet, rows: npt.NDArray[np.int64]) -> dict[Reading, Flags]:
    """Which studies have what a reading reads."""
    films = [[data.views[film] for film in data.films_of(row)] for row in rows]
    reports = [data.reports[row] for row in rows]
    image = np.array([bool(own) for own in films])
    frontal = np.array([any(view != "lateral" for view in own) for own in films])
    report = np.array([report is not None and not report.is_empty for report in reports])
    indication = np.array([bool(report and report.section("indication").strip()) for report in reports])
    return {
        "image_frontal": frontal,
        "image": image,
        "image_indication": image & indication,
        "indication": indication,
        "report": report,
        "image_report": image & report,
    }


def _file_name(name: str) -> str:
    plain = name.replace("→", "to").replace("×", "x").replace("+", "and")
    return "-".join("".join(c if c.isalnum() else " " for c in plain.lower()).split())


__all__ = ["Evaluation", "Request", "evaluate"]
