"""The curves behind the tables: ROC, precision-recall, reliability, risk and coverage, nDCG by label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from lingula.labels.vocabulary import Vocabulary
from lingula_lab.evaluation.baselines import Parts
from lingula_lab.evaluation.searches import NAMES, name_of
from lingula_lab.evaluation.tables.classification import Judged, macro_risks
from lingula_lab.evaluation.tables.retrieval import EXPECTED
from lingula_lab.measures.bootstrap import Resamples
from lingula_lab.measures.classification import supported
from lingula_lab.measures.reliability import reliability_curve
from lingula_lab.measures.table import Bars, Line, Plot, Table

SHOWN = (NAMES["image_frontal"], NAMES["image"], NAMES["image_report"])
POINTS = 60
COVERAGES = tuple(float(each) for each in np.linspace(0.05, 1, 20))


def classification_plots(
    judged: Sequence[Judged], parts: Parts, draws: Resamples, vocabulary: Vocabulary
) -> list[Plot | Bars]:
    """One ROC, PR and reliability plot a headline label, and one of risk and coverage."""
    some = [each for name in SHOWN for each in judged if each.system.name == name]
    plots: list[Plot | Bars] = []
    for column in np.flatnonzero(supported(parts.test_targets)):
        label, goal = vocabulary.labels[column], parts.test_targets[:, column]
        name, share = label.name, f"{int(goal.sum())} of {len(goal)} test studies"
        roc, pr, reliability = [], [], []
        for each in some:
            scores, probability = each.system.scores.test[:, column], each.probabilities[:, column]
            false, true, _ = roc_curve(goal, scores)
            precision, recall, _ = precision_recall_curve(goal, scores)
            roc.append(_line(each, false, true))
            pr.append(_line(each, recall[::-1], precision[::-1]))
            reliability.append(Line(each.system.name, reliability_curve(probability, goal)))
        plots += [
            Plot(f"roc_{label.code}", name, "false positive rate", "sensitivity", tuple(roc), True, share),
            Plot(f"pr_{label.code}", name, "recall", "precision", tuple(pr), False, share),
            Plot(
                f"reliability_{label.code}", name, "probability", "share present", tuple(reliability), True, share, True
            ),
        ]
    sample = draws.counts[:1]
    risks = [
        Line(
            each.system.name,
            tuple(zip(COVERAGES, macro_risks(each, parts, Resamples(sample), COVERAGES)[0], strict=True)),
        )
        for name in (*SHOWN, NAMES["image_indication"])
        for each in judged
        if each.system.name == name
    ]
    return [*plots, Plot("risk_coverage", "Risk and coverage", "share kept", "share wrong", tuple(risks))]


def retrieval_plots(by_label: Table, vocabulary: Vocabulary) -> list[Plot | Bars]:
    """nDCG@10 of each label, asked by image."""
    search = name_of("image", "image")
    figures = tuple((vocabulary[row.name].name, by_label.figure(row.name, search)) for row in by_label.rows)
    chance = tuple(by_label.figure(row.name, EXPECTED).value for row in by_label.rows)
    return [Bars(by_label.key, f"{by_label.title}, asked by image", "nDCG@10", figures, chance)]


def _line(judged: Judged, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Line:
    """A curve thinned to its first, its last and evenly chosen points between."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).round().astype(int))
    return Line(judged.system.name, tuple((float(x[i]), float(y[i])) for i in keep))
