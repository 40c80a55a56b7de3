"""Train the view, polarity and chest-film tests on the training split; say how often they are right on the test split.

    python benchmarks/view_classifier.py STUDY_SET

STUDY_SET is the folder that ``lingula prepare`` wrote from the collection. Writes src/lingula/models/view.safetensors.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from lingula.openi.splits import Split, SplitName
from lingula.reading.preprocess import resize
from lingula.reading.view_classifier import SURE, SUSPECT, THUMBNAIL, ViewClassifier
from lingula_lab.data.study_set import StudySet
from machine import write_result

AXES, MARGIN = 64, 1.02
"""Principal axes kept; how much stranger than validation's strangest a film must be to be called so."""


def thumbnails(data: StudySet, split: Split, name: SplitName) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thumbnails (N, 1024) in [-1, 1], those of the negatives, and whether each is a lateral (N,)."""
    rows = set(data.rows(split.ids(name)).tolist())
    films = [film for film in range(len(data.films)) if data.owner[film] in rows and data.views[film] != "unknown"]
    upright = np.stack([thumbnail(data.films[film]) for film in films])
    negative = np.stack([thumbnail(turned(data.films[film])) for film in films])
    return upright, negative, np.array([data.views[film] == "lateral" for film in films])


def thumbnail(film: np.ndarray) -> np.ndarray:
    return THUMBNAIL.normalised(resize(np.asarray(film, np.float32) / 255, 32, 32).ravel())


def turned(film: np.ndarray) -> np.ndarray:
    """The negative of a letterboxed film. Its padding stays black, as in use: white padding would give it away."""
    negative = 255 - np.asarray(film)
    for axis in (0, 1):
        empty = ~film.any(1 - axis)
        if edge := int(min(empty.argmin(), empty[::-1].argmin())):
            across = (slice(None),) * axis
            negative[(*across, slice(edge))] = negative[(*across, slice(-edge, None))] = 0
    return negative


def main() -> None:
    data, split = StudySet.load(Path(sys.argv[1])), Split.load("openi-v1")
    films, negatives, lateral = thumbnails(data, split, "train")
    view = LogisticRegression(C=0.01, max_iter=500).fit(films, lateral)
    both, inverted = np.concatenate([films, negatives]), np.repeat([0, 1], len(films))
    polarity = LogisticRegression(C=0.1, max_iter=500).fit(both, inverted)
    weights = [fit.coef_[0].astype(np.float32) for fit in (view, polarity)]
    biases = [float(fit.intercept_[0]) for fit in (view, polarity)]
    mean = films.mean(0)
    axes = np.linalg.svd(films - mean, full_matrices=False)[2][:AXES].astype(np.float16).astype(np.float32)
    classifier = ViewClassifier(weights[0], biases[0], weights[1], biases[1], mean, axes, limit=0.0)
    strangest = classifier.strangeness(thumbnails(data, split, "validation")[0]).max()
    classifier = replace(classifier, limit=float(strangest) * MARGIN)
    classifier.save(Path(__file__).parents[1] / "src/lingula/models/view.safetensors")

    films, negatives, lateral = thumbnails(data, split, "test")
    p_view = view.predict_proba(films)[:, 1]
    p_inverted, p_twin = polarity.predict_proba(films)[:, 1], polarity.predict_proba(negatives)[:, 1]
    named = (p_view >= SURE) | (p_view <= 1 - SURE)
    write_result(
        "view_classifier",
        {
            "n": len(films),
            "split": split.digest,
            "accuracy": float(((p_view > 0.5) == lateral).mean()),
            "named": float(named.mean()),
            "named_wrongly": float(((p_view > 0.5) != lateral)[named].sum() / len(films)),
            "inverted_called_suspect": float((p_twin >= SUSPECT).mean()),
            "upright_called_suspect": float((p_inverted >= SUSPECT).mean()),
            "called_strange": float((classifier.strangeness(films) > classifier.limit).mean()),
            "limit": classifier.limit,
        },
    )


if __name__ == "__main__":
    main()
