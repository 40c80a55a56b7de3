"""What an evaluation compares, prepared once: the studies, their encodings, every system and every search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import SPLITS, Split, SplitName
from lingula.retrieval.relevance import relevance_of
from lingula.study import Mode
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation import baselines, searches
from lingula_lab.evaluation.baselines import INDICATION, REPORT, Parts, Scores, texts
from lingula_lab.evaluation.encode import EncodedPart, Progress, Reading, digest, encode_part, indication_of
from lingula_lab.evaluation.searches import NAMES, READS_REPORT
from lingula_lab.evaluation.tables.classification import System
from lingula_lab.evaluation.tables.retrieval import CodedStudies, Flags, Protocol, Search
from lingula_lab.measures.bootstrap import RESAMPLES, SEED, Resamples
from lingula_lab.measures.classification import LEAST, supported
from lingula_lab.relevance import READ, ComparedStudies

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Told = Callable[[str, int, int], None]
"""Called with (what is being done, how far, of how many)."""
SHIPPED_AS: dict[Reading, Mode] = {
    "image_frontal": "image",
    "image": "image",
    "report": "text",
    "image_report": "joint",
}
"""The mode whose calibration answers a reading. What adds or reads the indication alone is calibrated here."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is evaluated, on what, how.

    Attributes:
        collection: folder of the collection, for the published label set and the subgroups; None leaves these out.
        trunk: weights of a frozen ImageNet MobileNetV1 for the baseline; None leaves it out.
        library: filled by this checkpoint, to be held against the tables; None leaves that out.
        sources: films of other sources as ``lingula gate --features`` kept them, for the table by source.
        command: as a reader would type it.
    """

    checkpoint: Checkpoint
    data: StudySet
    split: Split
    collection: Path | None = None
    trunk: Path | None = None
    library: str | None = None
    sources: Path | None = None
    resamples: int = RESAMPLES
    seed: int = SEED
    command: str = ""


class Inputs:
    """Everything that the tables are made from. Building it encodes what the cache lacks.

    Attributes:
        parts: the coded studies, sorted by study id. draws: resamples of the test studies.
        normal: column of the label of studies without a finding, or None.
        encoded: by part of the split, the rows of ``parts``.
        able: which test studies have what a reading reads.
    """

    def __init__(self, request: Request, cache: Path, told: Told) -> None:
        self.request, self.data, self.vocabulary = request, request.data, request.checkpoint.vocabulary
        if self.data.labels.shape[1] != len(self.vocabulary):
            message = f"The study set has {self.data.labels.shape[1]} labels, the model {len(self.vocabulary)}."
            raise InputError("bad_request", message, "Prepare the studies with the model's vocabulary.")
        self.digest = digest(self.data)
        self.parts = coded_parts(self.data, request.split)
        _require_enough(self.parts)
        self.rows: dict[SplitName, Rows] = {
            "train": self.parts.train,
            "validation": self.parts.validation,
            "test": self.parts.test,
        }
        self.draws = Resamples.draw(len(self.parts.test), resamples=request.resamples, seed=request.seed)
        normal = self.vocabulary.normal
        self.normal = self.vocabulary.codes.index(normal) if normal else None
        self.able = able(self.data, self.parts.test)
        self.encoded = {part: self._encode(part, cache, _bar(told, f"Encoding {part}")) for part in SPLITS}
        self.features = self._trunk_features(cache, told) if request.trunk else {}
        documents = texts(self.data, self.parts.train, searches.TEXT)
        try:
            self.words = baselines.WordVectors.fit(documents, seed=request.seed)
        except ValueError as error:
            reports = sum(bool(text.strip()) for text in documents)
            message = f"Of {len(documents)} training studies {reports} have a report; the tables compare with reports."
            hint = "Prepare more studies with reports; what films alone reach on validation is told by lingula adapt."
            raise InputError("bad_request", message, hint) from error

    def _encode(self, part: SplitName, cache: Path, progress: Progress) -> EncodedPart:
        """Encoded studies of a part, the coded ones only, sorted by study id as ``parts`` is."""
        request = self.request
        whole = encode_part(request.checkpoint, self.data, request.split, part, cache, progress)
        place = {row: position for position, row in enumerate(whole.rows)}
        take = [place[row] for row in self.rows[part]]
        return EncodedPart(
            tuple(whole.ids[position] for position in take),
            self.rows[part],
            {reading: values[take] for reading, values in whole.embeddings.items()},
            {reading: values[take] for reading, values in whole.logits.items()},
        )

    def _trunk_features(self, cache: Path, told: Told) -> dict[SplitName, dict[str, Floats]]:
        """By part: features "frontal" and "both"."""
        assert self.request.trunk is not None
        found: dict[SplitName, dict[str, Floats]] = {}
        for part in SPLITS:
            bar = _bar(told, f"Frozen trunk, {part}")
            read = baselines.trunk_features(
                self.data, self.rows[part], self.request.trunk, cache, self.digest, part, bar
            )
            found[part] = {"frontal": read["frontal"], "both": np.concatenate([read["frontal"], read["lateral"]], 1)}
        return found

    def coded(self, part: SplitName) -> CodedStudies:
        return CodedStudies(self.encoded[part].ids, self.data.labels[self.rows[part]])

    def systems(self) -> list[System]:
        """Everything that scores labels; chance and what reads no report first."""
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
        worded = baselines.word_vector_scores(self.words, data, parts, REPORT)
        return [
            *made,
            own["image_frontal"],
            own["image"],
            own["image_indication"],
            System("TF-IDF of the report", True, baselines.tf_idf_scores(data, parts, REPORT)),
            System("word vectors of the report", True, worded),
            own["report"],
            own["image_report"],
        ]

    def _own(self, reading: Reading) -> System:
        validation, test = (self.encoded[part].logits[reading].astype(np.float64) for part in ("validation", "test"))
        checkpoint, mode = self.request.checkpoint, SHIPPED_AS.get(reading)
        shipped = checkpoint.calibration[mode] if mode and self.same_split else None
        return System(NAMES[reading], reading in READS_REPORT, Scores(validation, test), shipped)

    @property
    def same_split(self) -> bool:
        """Whether the checkpoint names this split as the one it was trained and calibrated on this split."""
        return bool(self.request.checkpoint.training.get("split", {}).get("sha256") == self.request.split.digest)

    def searches(self) -> list[Search]:
        """Every way to ask for similar studies; chance first."""
        test, train = self.encoded["test"], self.encoded["train"]
        sizes: dict[Protocol, int] = {"generalization": len(test.ids), "historical": len(train.ids)}
        made = [searches.random_search(sizes, len(test.ids), self.request.seed)]
        made += searches.text_searches(self.data, self.parts, self.able["indication"], self.words)
        made.append(searches.thumbnail_search(self.data, self.parts))
        if self.features:
            both = (self.features["test"]["both"], self.features["train"]["both"])
            made.append(searches.feature_search("frozen MobileNetV1: image → image", *both))
        made += searches.model_searches(dict(test.embeddings), dict(train.embeddings), self.able)
        if relevance := relevance_of(self.request.checkpoint.fingerprint):
            asked, answering = self._compared("test"), self._compared("train")
            bank = {mode: vectors[vectors.any(1)] for mode, vectors in answering.embeddings.items()}
            made += searches.relevance_searches(relevance, self.vocabulary, asked, answering, bank, self.able)
        abnormal = np.array([code != self.vocabulary.normal for code in self.vocabulary.codes])
        said = (test.logits["image"], train.logits["image"])
        made.append(searches.label_search(*said, abnormal, self.able["image"]))
        return made

    def _compared(self, part: SplitName) -> ComparedStudies:
        """The studies of a part for the relevance model."""
        encoded, calibration = self.encoded[part], self.request.checkpoint.calibration
        return ComparedStudies(
            {mode: encoded.embeddings[reading] for mode, reading in READ.items()},
            {m: calibration[m].probabilities(encoded.logits[r].astype(np.float64)) for m, r in READ.items()},
            self.data.labels[self.rows[part]],
        )


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


def _require_enough(parts: Parts) -> None:
    """Refuse what is too little to measure anything on.

    Raises:
        InputError: ``bad_request`` when no finding is there and not there often enough in the test part, or few studies
            are in another.
    """
    counts = {part: len(targets) for part, targets in zip(SPLITS, (parts.train, parts.validation), strict=False)}
    if few := [f"{part} {count}" for part, count in counts.items() if count < LEAST]:
        message = f"Too few coded studies: {', '.join(few)}; at least {LEAST} are needed."
        raise InputError("bad_request", message, "Prepare more studies, or name another split.")
    enough = supported(parts.test_targets) & supported(1 - parts.test_targets, 1)
    if not enough.any():
        message = f"Of {len(parts.test)} coded test studies no label has {LEAST} with it, and one without."
        raise InputError("bad_request", message, "Prepare more studies, or name another split.")


def able(data: StudySet, rows: Rows) -> dict[Reading, Flags]:
    """Which of these studies have what a reading reads, (N,) each."""
    films = [[data.views[film] for film in data.films_of(row)] for row in rows]
    reports = [data.reports[row] for row in rows]
    image = np.array([bool(own) for own in films])
    frontal = np.array([any(view != "lateral" for view in own) for own in films])
    report = np.array([report is not None and not report.is_empty for report in reports])
    indication = np.array([indication_of(report) is not None for report in reports])
    return {
        "image_frontal": frontal,
        "image": image,
        "image_indication": image & indication,
        "indication": indication,
        "report": report,
        "image_report": image & report,
    }


def _bar(told: Told, what: str) -> Progress:
    return lambda done, of: told(what, done, of)
