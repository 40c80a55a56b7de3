"""What anyone can do without our model: word counts, word vectors, thumbnails, a frozen ImageNet trunk.

Each is fitted on the training studies only. A choice that must be made is made on validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import randomized_svd

from lingula.reading.preprocess import resize
from lingula.study import Report, SectionName
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.encode import Floats, Progress, Rows, fingerprint_of, in_chunks
from lingula_lab.measures.classification import macro_auroc
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.training.mobilenet import load_trunk

Doubles = npt.NDArray[np.float64]

REPORT: tuple[SectionName, ...] = ("findings", "impression")
INDICATION: tuple[SectionName, ...] = ("indication",)
LEVELS = (5, 9, 21, 25)
"""Layers of MobileNetV1 (numbered as hidden states) whose outputs are pooled: 128, 256, 512 and 1,024 channels."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Rows of a study set by part, without the studies that nobody coded, and their targets, complete, (N, L)."""

    train: Rows
    validation: Rows
    test: Rows
    train_targets: Floats
    validation_targets: Floats
    test_targets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A system's scores for the labels of validation and of test, (N, L); any scale, higher is more likely."""

    validation: Doubles
    test: Doubles


def prevalence(parts: Parts) -> Scores:
    """The share of training studies with each label, as log-odds, whatever the study."""
    share = (parts.train_targets.sum(0) + 1) / (len(parts.train_targets) + 2)
    odds = np.log(share / (1 - share)).astype(np.float64)
    return Scores(np.tile(odds, (len(parts.validation), 1)), np.tile(odds, (len(parts.test), 1)))


def text_of(report: Report | None, sections: Sequence[SectionName]) -> str:
    return "\n".join(report.section(name) for name in sections) if report else ""


def texts(data: StudySet, rows: Rows, sections: Sequence[SectionName]) -> list[str]:
    return [text_of(data.reports[row], sections) for row in rows]


def tf_idf(data: StudySet, train: Rows) -> TfidfVectorizer:
    """Word and word-pair counts of the training reports (every section a model may read), sublinear, L2-normed."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float64)
    return vectorizer.fit(texts(data, train, (*INDICATION, *REPORT)))


def tf_idf_scores(data: StudySet, parts: Parts, sections: Sequence[SectionName]) -> Scores:
    """TF-IDF of these sections and one logistic regression a label (C = 10)."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float64)
    train = vectorizer.fit_transform(texts(data, parts.train, sections))
    others = (vectorizer.transform(texts(data, rows, sections)) for rows in (parts.validation, parts.test))
    return _logistic(train, parts.train_targets, *others, penalty=10.0)


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """Vectors of the words of the training reports; a text is the IDF-weighted mean of its words, of unit norm.

    Positive pointwise mutual information of words in one report, factored by a truncated SVD (Levy and Goldberg 2014).
    """

    counter: CountVectorizer
    vectors: Doubles

    @classmethod
    def fit(cls, documents: Sequence[str], *, dimension: int = 128, seed: int = 0) -> WordVectors:
        counter = CountVectorizer(min_df=3, binary=True, dtype=np.float64)
        seen: csr_matrix = counter.fit_transform(documents)  # (documents, words)
        frequency = np.asarray(seen.sum(0)).ravel()
        together = (seen.T @ seen).tocoo()
        ratio = together.data * len(documents) / (frequency[together.row] * frequency[together.col])
        information = csr_matrix((np.maximum(np.log(ratio), 0), (together.row, together.col)), together.shape)
        dimension = min(dimension, len(frequency) - 1)
        left, strength, _ = randomized_svd(information, dimension, random_state=seed)
        idf = np.log(len(documents) / frequency)
        return cls(counter, left * np.sqrt(strength) * idf[:, None])

    def __call__(self, documents: Sequence[str]) -> Doubles:
        return unit(np.asarray(self.counter.transform(documents) @ self.vectors))


def word_vector_scores(vectors: WordVectors, data: StudySet, parts: Parts, sections: Sequence[SectionName]) -> Scores:
    train, validation, test = (
        vectors(texts(data, rows, sections)) for rows in (parts.train, parts.validation, parts.test)
    )
    scaler = StandardScaler().fit(train)
    train, validation, test = (scaler.transform(part) for part in (train, validation, test))
    return _logistic(train, parts.train_targets, validation, test, penalty=0.1)


def thumbnails(data: StudySet, rows: Rows, side: int = 32) -> Doubles:
    """The first frontal film of each study, (N, side * side), in [0, 1]; grey where there is none."""
    found = np.full((len(rows), side * side), 0.5)
    for place, row in enumerate(rows):
        frontal = [film for film in data.films_of(row) if data.views[film] != "lateral"]
        if frontal:
            film = np.asarray(data.films[frontal[0]], np.float32) / 255
            found[place] = resize(film.astype(np.float32), side, side).ravel()
    return found


def thumbnail_scores(data: StudySet, parts: Parts, seed: int = 0) -> Scores:
    """32 x 32 pixels, 96 principal components, one logistic regression a label (C = 0.01)."""
    train = thumbnails(data, parts.train)
    components = min(96, *train.shape)
    pca = PCA(components, whiten=True, svd_solver="randomized", random_state=seed).fit(train)
    others = (pca.transform(thumbnails(data, rows)) for rows in (parts.validation, parts.test))
    return _logistic(pca.transform(train), parts.train_targets, *others, penalty=0.01)


def trunk_features(
    data: StudySet, rows: Rows, trunk: Path, cache: Path, data_digest: str, name: str, progress: Progress
) -> dict[str, Floats]:
    """Pooled features of a frozen ImageNet MobileNetV1: "frontal" and "lateral", (N, C) each, 0 where there is no film.

    Mean and maximum over the grid at ``LEVELS``; several films of one view are averaged.
    """
    file = hashlib.sha256(trunk.read_bytes()).hexdigest()
    side = data.films.shape[-1]
    config = {"model_type": "mobilenet_v1", "num_channels": 1, "image_size": side}
    encoder = ImageEncoder(config, 8, grid=7, levels=LEVELS, fold=True).eval()
    load_trunk(encoder, trunk)

    def read(some: Rows) -> dict[str, Floats]:
        return _trunk_chunk(encoder, data, some)

    return in_chunks(cache / f"trunk-{fingerprint_of(file, data_digest, str(LEVELS))}", name, rows, read, progress)


@torch.inference_mode()
def _trunk_chunk(encoder: ImageEncoder, data: StudySet, rows: Rows) -> dict[str, Floats]:
    films = [film for row in rows for film in data.films_of(row)]
    pooled: dict[int, Floats] = {}
    for start in range(0, len(films), 16):
        some = films[start : start + 16]
        pixels = torch.from_numpy(data.films[some])[:, None].float() / 127.5 - 1
        states = encoder.backbone(pixels, output_hidden_states=True).hidden_states
        parts = [pool for level in LEVELS for pool in (states[level].mean((2, 3)), states[level].amax((2, 3)))]
        pooled |= dict(zip(some, torch.cat(parts, 1).numpy(), strict=True))
    channels = len(next(iter(pooled.values()))) if pooled else 1
    found = {view: np.zeros((len(rows), channels), np.float32) for view in ("frontal", "lateral")}
    for place, row in enumerate(rows):
        for view, features in found.items():
            own = [
                pooled[film] for film in data.films_of(row) if (data.views[film] == "lateral") == (view == "lateral")
            ]
            if own:
                features[place] = np.mean(own, 0)
    return found


def ridge_scores(train: Floats, validation: Floats, test: Floats, parts: Parts) -> Scores:
    """Ridge regression on standardised features; the penalty with the best macro AUROC on validation."""
    scaler = StandardScaler().fit(train)
    train, validation, test = (scaler.transform(part) for part in (train, validation, test))

    def fit(penalty: float) -> Ridge:
        return Ridge(alpha=penalty).fit(train, parts.train_targets)

    def quality(model: Ridge) -> float:
        return macro_auroc(model.predict(validation), parts.validation_targets, 5)

    best = max((fit(penalty) for penalty in (1e2, 1e3, 1e4, 1e5)), key=quality)
    return Scores(best.predict(validation), best.predict(test))


def unit(vectors: npt.NDArray[np.floating]) -> Doubles:
    """Rows of unit norm; a row of zeros stays one."""
    vectors = vectors.astype(np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float64)


def _logistic(
    train: npt.NDArray[np.floating] | csr_matrix,
    targets: Floats,
    validation: npt.NDArray[np.floating] | csr_matrix,
    test: npt.NDArray[np.floating] | csr_matrix,
    *,
    penalty: float,
) -> Scores:
    """One regression a label; a label without both classes in training gets 0 throughout."""
    scores = Scores(np.zeros((validation.shape[0], targets.shape[1])), np.zeros((test.shape[0], targets.shape[1])))
    for label in range(targets.shape[1]):
        goal = targets[:, label]
        if 0 < goal.sum() < len(goal):
            model = LogisticRegression(C=penalty, solver="liblinear", random_state=0).fit(train, goal)
            scores.validation[:, label] = model.decision_function(validation)
            scores.test[:, label] = model.decision_function(test)
    return scores
