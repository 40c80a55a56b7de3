"""Every way to ask for similar studies that the tables compare: the model's, and those that need no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingula.labels.vocabulary import Vocabulary
from lingula.retrieval.hubness import SHARE, across, nearness
from lingula.retrieval.relevance import Relevance
from lingula.study import Mode
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.baselines import INDICATION, REPORT, Parts, WordVectors, texts, tf_idf, thumbnails, unit
from lingula_lab.evaluation.encode import Reading
from lingula_lab.evaluation.tables.retrieval import Flags, Protocol, Search, Vectors
from lingula_lab.measures.retrieval import random_scores
from lingula_lab.relevance import READ, ComparedStudies, Pairs

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Pair = dict[Reading, Floats]

DEFAULT = "default search"
TEXT = (*INDICATION, *REPORT)
NAMES: dict[Reading, str] = {
    "image_frontal": "image, frontal",
    "image": "image, frontal + lateral",
    "image_indication": "image + indication",
    "indication": "indication",
    "report": "report",
    "image_report": "image + report",
}
ASKED: tuple[tuple[Reading, Reading], ...] = (
    ("image_frontal", "image"),
    ("image", "image"),
    ("image_indication", "image_report"),
    ("indication", "report"),
    ("image", "report"),
    ("report", "image"),
    ("report", "report"),
    ("image_report", "image_report"),
)
"""What the query reads, and what of the gallery was read: the library's own choice, and across."""
READS_REPORT: frozenset[Reading] = frozenset({"report", "image_report"})


def name_of(query: Reading, gallery: Reading) -> str:
    """The search's name; "image" stands for all films of a study."""
    return " → ".join("image" if each == "image" else NAMES[each] for each in (query, gallery))


def model_searches(test: Pair, train: Pair, able: dict[Reading, Flags]) -> list[Search]:
    """The model's embeddings, test and train sorted by study id; across modes corrected for hubness, as the
    library ranks."""
    made = []
    for query, gallery in ASKED:
        reads = _reads(query in READS_REPORT, gallery in READS_REPORT)
        asked = test[query].astype(np.float64)
        galleries: dict[Protocol, Vectors] = {
            "generalization": test[gallery].astype(np.float64),
            "historical": train[gallery].astype(np.float64),
        }
        if {query, gallery} == {"image", "report"}:
            bank = train[query][train[query].any(1)]
            taken = {name: SHARE * nearness(found.astype(np.float32), bank) for name, found in galleries.items()}
            asked = np.c_[asked, -np.ones(len(asked))]
            galleries = {name: np.c_[found, taken[name]] for name, found in galleries.items()}
        made.append(Search(name_of(query, gallery), reads, asked, galleries, able[query]))
    return made


def relevance_searches(
    relevance: Relevance, vocabulary: Vocabulary, test: ComparedStudies, train: ComparedStudies,
    bank: dict[Mode, Floats],
    able: dict[Reading, Flags],
) -> list[Search]:  # fmt: skip
    """The search by default of a study: the relevance model, of a library whose studies are reported and coded.

    Args:
        bank: questions by mode, against hubness.
    """
    made = []
    for mode, reading in READ.items():
        scores: dict[Protocol, Doubles] = {}
        odds: dict[Protocol, Doubles] = {}
        galleries: dict[Protocol, ComparedStudies] = {"generalization": test, "historical": train}
        for protocol, gallery in galleries.items():

            def taken(other: Mode, asked: Mode = mode, found: ComparedStudies = gallery) -> Floats:
                if not across(asked, other):
                    return np.zeros(len(found.targets), np.float32)
                return np.float32(SHARE) * nearness(found.embeddings[other], bank[asked])

            pairs = Pairs.between(test, gallery, mode, True, vocabulary, taken)
            weights = relevance.weights[mode, True]
            scores[protocol] = pairs.evidence.astype(np.float64) @ np.array(weights.score)
            log_odds = pairs.evidence.astype(np.float64) @ np.array(weights.odds) + weights.offset
            odds[protocol] = 1 / (1 + np.exp(-log_odds))
        nothing = np.zeros((len(test.targets), 1))
        name, reads = f"{DEFAULT}: {NAMES[reading]}", "gallery" if mode == "image" else "both"
        empty: dict[Protocol, Vectors] = {p: np.zeros((len(g.targets), 1)) for p, g in galleries.items()}
        made.append(Search(name, reads, nothing, empty, able[reading], scores, odds))
    return made


def label_search(test: Floats, train: Floats, abnormal: Flags, able: Flags) -> Search:
    """Image to image by the predicted abnormal labels: their logits, standardised by those of training."""
    mean, spread = train.mean(0), train.std(0) + 1e-9
    asked, found = (unit(((part - mean) / spread)[:, abnormal]) for part in (test, train))
    galleries: dict[Protocol, Vectors] = {"generalization": asked, "historical": found}
    return Search("image → image, by predicted labels", "none", asked, galleries, able)


def feature_search(name: str, test: Floats, train: Floats) -> Search:
    """Features of a frozen trunk, standardised by those of training."""
    mean, spread = train.mean(0), train.std(0) + 1e-6
    asked, found = (unit((part - mean) / spread) for part in (test, train))
    return Search(name, "none", asked, {"generalization": asked, "historical": found}, np.ones(len(test), bool))


def text_searches(data: StudySet, parts: Parts, able: Flags, words: WordVectors) -> list[Search]:
    """Word counts and word vectors. ``able`` says which test studies have an indication."""
    counter = tf_idf(data, parts.train)
    everyone = np.ones(len(parts.test), bool)
    whole_test, whole_train = (counter.transform(texts(data, rows, TEXT)) for rows in (parts.test, parts.train))
    asked = counter.transform(texts(data, parts.test, INDICATION))
    told_test, told_train = (counter.transform(texts(data, rows, REPORT)) for rows in (parts.test, parts.train))
    word_test, word_train = (words(texts(data, rows, TEXT)) for rows in (parts.test, parts.train))
    told: dict[Protocol, Vectors] = {"generalization": told_test, "historical": told_train}
    whole: dict[Protocol, Vectors] = {"generalization": whole_test, "historical": whole_train}
    worded: dict[Protocol, Vectors] = {"generalization": word_test, "historical": word_train}
    return [
        Search("TF-IDF: indication → report", "gallery", asked, told, able),
        Search("TF-IDF: report → report", "both", whole_test, whole, everyone),
        Search("word vectors: report → report", "both", word_test, worded, everyone),
    ]


def thumbnail_search(data: StudySet, parts: Parts) -> Search:
    """32 x 32 pixels of the frontal film, mean of training taken off."""
    train = thumbnails(data, parts.train)
    asked, found = (unit(part - train.mean(0)) for part in (thumbnails(data, parts.test), train))
    galleries: dict[Protocol, Vectors] = {"generalization": asked, "historical": found}
    return Search("32 × 32 pixels: image → image", "none", asked, galleries, np.ones(len(asked), bool))


def random_search(sizes: dict[Protocol, int], queries: int, seed: int) -> Search:
    """A random order: each query has a dimension of its own, in which the gallery lies at random."""
    galleries: dict[Protocol, Vectors] = {p: random_scores(queries, size, seed).T for p, size in sizes.items()}
    return Search("random ranking", "none", np.eye(queries), galleries, np.ones(queries, bool))


def _reads(query: bool, gallery: bool) -> str:
    return "both" if query and gallery else "query" if query else "gallery" if gallery else "none"
