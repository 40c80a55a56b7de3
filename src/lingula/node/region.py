"""Boxes from the evidence: where on which film, and only for findings whose evidence was found worth a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lingula.explanation import explain, shown_methods
from lingula.model.checkpoint import Checkpoint
from lingula.page.contour import loops
from lingula.study import Analysis, Explanation, Prediction, Study

METHOD = "contribution"
SHARE = 0.05
"""Of the film's area, strongest first, that a box encloses."""
MOST = 2
"""Boxes for one finding on one film."""


@dataclass(frozen=True, slots=True)
class EvidenceBox:
    """Where the evidence for a finding is strongest on one film.

    Attributes:
        label, name: of the finding. film: its row in the study.
        x, y, width, height: in the radiograph's own pixels, from the top left.
    """

    label: str
    name: str
    film: int
    x: float
    y: float
    width: float
    height: float

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Top left, top right, bottom right, bottom left."""
        right, bottom = self.x + self.width, self.y + self.height
        return [(self.x, self.y), (right, self.y), (right, bottom), (self.x, bottom)]


def evidence_boxes(analysis: Analysis, model: Checkpoint) -> tuple[EvidenceBox, ...]:
    """The boxes of every flagged finding that can be localised; none where no map method passed its tests."""
    if METHOD not in shown_methods(model.fingerprint, [METHOD]) or not analysis.study.radiographs:
        return ()
    found: list[EvidenceBox] = []
    for prediction in analysis.predictions:
        if prediction.decision == "present" and prediction.label != model.vocabulary.normal:
            explanations = _explained(analysis, model, prediction.label)
            found += _boxes(prediction, [each for each in explanations if is_localisable(each)], analysis.study)
    return tuple(found)


def _explained(analysis: Analysis, model: Checkpoint, label: str) -> Sequence[Explanation]:
    known = [each for each in analysis.explanations if each.label == label and each.method == METHOD]
    return known or explain(analysis.study, model, label, methods=[METHOD], mode=analysis.mode)


def _boxes(prediction: Prediction, explanations: Sequence[Explanation], study: Study) -> list[EvidenceBox]:
    """Boxes on frontal films, on which maps were measured."""
    found = []
    for explanation in explanations:
        strongest = max((float(values.max()) for values in explanation.maps), default=0.0)
        for film, values in enumerate(explanation.maps):
            if strongest <= 0 or values.max() < strongest / 2 or study.radiographs[film].view != "frontal":
                continue
            rows, columns = values.shape
            outlines = [_bounds(loop) for loop in loops(values, SHARE, columns, rows)]
            outlines.sort(key=lambda box: -box[2] * box[3])
            found += [EvidenceBox(prediction.label, prediction.name, film, *box) for box in outlines[:MOST]]
    return found


def is_localisable(explanation: Explanation) -> bool:
    """Whether the map was found to tell a place: it passed its tests, removing its strongest places moves the
    probability more than removing others, and on films with boxes it pointed at the finding."""
    trust = explanation.trust
    faithful = trust is not None and trust.passed and trust.deletion < trust.deletion_random
    return faithful and explanation.localisable is True


def _bounds(loop: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in loop], [y for _, y in loop]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
