"""Can the probabilities be trusted: calibration error, conformal sets, abstention, false alarms.

Everything here is chosen on validation and looked at on test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from lingula_lab.measures.bootstrap import ratio

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BINS = 15
MISS = 0.1
"""How often a conformal set may miss the truth, in each class."""


def bin_edges(probabilities: Array, bins: int = BINS) -> Doubles:
    """Inner edges of bins that hold about equally many studies; equal probabilities share a bin, so some may vanish."""
    quantiles = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1], method="lower")
    return np.unique(quantiles).astype(np.float64)


def calibration_error(probabilities: Array, goal: Array, weights: Doubles, bins: int = BINS) -> Doubles:
    """Expected calibration error of one label in each resample, (R,), over adaptive bins (Nguyen and O'Connor 2015).

    The sum over bins of |mean probability - share of positives|, weighted by the bin's share of studies. The bins are
    those of the sample itself. The error of a perfect forecast is not 0 but what chance in each bin leaves over.
    """
    place = np.searchsorted(bin_edges(probabilities, bins), probabilities, side="left")
    member = np.eye(bins)[place]  # (N, bins)
    gap = np.abs(weights @ (member * (probabilities - goal)[:, None]))  # (R, bins)
    return ratio(gap.sum(1), weights.sum(1))


def reliability_curve(probabilities: Array, goal: Array, bins: int = BINS) -> tuple[tuple[float, float], ...]:
    """(mean probability, share of positives) of each adaptive bin."""
    place = np.searchsorted(bin_edges(probabilities, bins), probabilities, side="left")
    return tuple(
        (float(probabilities[place == each].mean()), float(goal[place == each].mean())) for each in np.unique(place)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Conformal:
    """Class-conditional conformal sets for each label (Vovk 2012; Sadinle, Lei and Wasserman 2019).

    A set holds "present" where the probability is at least ``present_from``, "absent" where it is at most
    ``absent_to``; both, one or none. For studies exchangeable with validation each class is missed at most with
    probability ``miss``. Only the order of the probabilities matters, so a calibration fitted on the same validation
    studies, which keeps the order, does no harm. With too few positives the bound is infinite: always in the set.

    Attributes:
        present_from, absent_to: (L,) float64, infinite where the class is always in the set.
    """

    present_from: Doubles
    absent_to: Doubles

    @classmethod
    def fit(cls, probabilities: Array, targets: Array, miss: float = MISS) -> Self:
        """From validation probabilities and targets (N, L), complete."""
        labels = targets.shape[1]
        present_from, absent_to = np.full(labels, -np.inf), np.full(labels, np.inf)
        for label in range(labels):
            present = targets[:, label] == 1
            present_from[label] = -_quantile(-probabilities[present, label], miss)
            absent_to[label] = _quantile(probabilities[~present, label], miss)
        return cls(present_from, absent_to)

    def sets(self, probabilities: Array) -> tuple[Flags, Flags]:
        """Whether "present" and whether "absent" is in the set, (N, L) each."""
        return probabilities >= self.present_from, probabilities <= self.absent_to


def _quantile(scores: Array, miss: float) -> float:
    """The ceil((n + 1)(1 - miss))-th smallest of n scores, infinite where there is none."""
    rank = int(np.ceil((len(scores) + 1) * (1 - miss) - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def false_alarms(called: Flags, normal: Flags, abnormal: Flags, weights: Doubles) -> Doubles:
    """Abnormal labels called present per normal study, in each resample, (R,).

    Args:
        called: (N, L). normal: (N,) studies with nothing found. abnormal: (L,) labels. weights: (R, N).
    """
    alarms = called[normal][:, abnormal].sum(1).astype(np.float64)
    return ratio(weights[:, normal] @ alarms, weights[:, normal].sum(1))


def risk_at(confidence: Array, wrong: Flags, weights: Doubles, coverages: tuple[float, ...]) -> Doubles:
    """Share of wrong decisions among the most confident, of one label, (R, coverages) (El-Yaniv and Wiener 2010).

    Args:
        confidence, wrong: (N,); of equal confidences the earlier study is kept first.
        coverages: shares of the studies kept, each in (0, 1].
    """
    order = np.argsort(-confidence, kind="stable")
    kept = weights[:, order].cumsum(1)
    errors = (weights[:, order] * wrong[order]).cumsum(1)
    risks = np.empty((len(weights), len(coverages)))
    for column, coverage in enumerate(coverages):
        last = (kept < coverage * kept[:, -1:] - 1e-9).sum(1)  # the first study with which the share is reached
        risks[:, column] = np.take_along_axis(ratio(errors, kept), last[:, None], 1)[:, 0]
    return risks
