"""Frontal or lateral, inverted, a chest film at all? Linear models of a 32-pixel thumbnail, trained on Open-i.

The DICOM tag cannot be trusted (a third of the collection's laterals say PA), nor can PhotometricInterpretation, and a
picture file says nothing of what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load_file, save_file

from lingula.errors import Notice
from lingula.reading.preprocess import Preprocessing, content_box, to_input
from lingula.study import Radiograph, Study

THUMBNAIL = Preprocessing(size=32, tail=0.005, mean=0.5, std=0.5)
LEAST_SIDE = 256
"""Pixels that the shorter side of a film keeps before it becomes a thumbnail."""
SURE = 0.9
"""Probability from which a view is named; below it the view stays unknown, with a warning."""
SUSPECT = 0.98
"""Probability of inversion from which polarity is called suspect."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ViewClassifier:
    """Weights (1024,) and bias of P(lateral) and of P(inverted), each a logistic function of the thumbnail; and what
    chest films have in common: their mean (1024,), principal axes (A, 1024) and how far the strangest one lies off."""

    lateral: Array
    lateral_bias: float
    inverted: Array
    inverted_bias: float
    mean: Array
    axes: Array
    limit: float

    @classmethod
    @cache
    def shipped(cls) -> ViewClassifier:
        tensors = load_file(Path(__file__).with_name("view.safetensors"))
        lateral, inverted, limit = (float(value) for value in tensors["constants"])
        linear = tensors["lateral"], lateral, tensors["inverted"], inverted
        return cls(*linear, tensors["mean"], tensors["axes"].astype(np.float32), limit)

    def save(self, path: Path) -> None:
        constants = np.array([self.lateral_bias, self.inverted_bias, self.limit], np.float32)
        tensors = {"lateral": self.lateral, "inverted": self.inverted, "mean": self.mean, "constants": constants}
        save_file(tensors | {"axes": self.axes.astype(np.float16)}, path)

    def probabilities(self, thumbnail: Array) -> tuple[float, float]:
        """(lateral, inverted), each in [0, 1], of a thumbnail (1024,)."""
        lateral, inverted = np.dot(thumbnail, self.lateral), np.dot(thumbnail, self.inverted)
        return _sigmoid(lateral + self.lateral_bias), _sigmoid(inverted + self.inverted_bias)

    def strangeness(self, thumbnails: Array) -> Array:
        """Root mean square of what the principal axes of chest films do not explain: (N,) of thumbnails (N, 1024).

        Grey levels span [-1, 1].
        """
        off = thumbnails - self.mean
        left = off - (off @ self.axes.T) @ self.axes
        return np.asarray(np.sqrt(np.square(left).mean(1)), np.float32)

    def annotate(self, radiograph: Radiograph) -> Radiograph:
        """Name the view where it is unknown; warn where the view is unsure, the polarity suspect, the film strange."""
        thumbnail = to_input(_reduced(radiograph), THUMBNAIL).ravel()
        lateral, inverted = self.probabilities(thumbnail)
        notices = list(radiograph.notices)
        if self.strangeness(thumbnail[None])[0] > self.limit:
            message = "Unlike any film this was trained on: is it a chest radiograph? The answer cannot be trusted."
            notices.append(Notice("out_of_distribution", message))
        if inverted >= SUSPECT:
            lateral, _ = self.probabilities(-thumbnail)  # of the film with its greys turned back
            message = "The film looks inverted: its polarity tag may be wrong. Findings on it cannot be trusted."
            notices.append(Notice("polarity_suspect", message))
        view = radiograph.view
        if view == "unknown":
            view = "lateral" if lateral >= SURE else "frontal" if lateral <= 1 - SURE else "unknown"
            if view == "unknown":
                notices.append(Notice("view_uncertain", f"Frontal or lateral? P(lateral) = {lateral:.2f}."))
        return replace(radiograph, view=view, notices=tuple(notices))


def with_views(study: Study) -> Study:
    """The study with every view named where the shipped classifier can."""
    classifier = ViewClassifier.shipped()
    return replace(study, radiographs=tuple(classifier.annotate(image) for image in study.radiographs))


def _reduced(radiograph: Radiograph) -> Radiograph:
    """A large film as small as those that this was trained on, by means of squares: what a thumbnail shows stays."""
    top, left, bottom, right = content_box(radiograph.pixels)
    factor = min(bottom - top, right - left) // LEAST_SIDE
    if factor < 2:
        return radiograph
    film = Image.fromarray(radiograph.pixels).reduce(factor, (left, top, right, bottom))
    return replace(radiograph, pixels=np.asarray(film))


def _sigmoid(value: np.floating[Any] | float) -> float:
    return float(1 / (1 + np.exp(-np.clip(value, -80, 80))))
