"""Intervals by resampling studies, the unit that is independent.

A resample is a row of counts: how often each study was drawn. Every measure of this package takes such weights, so one
draw of counts serves all rows of a table, and two systems that share it are compared in pairs (Efron and Tibshirani
1993, chapters 13 and 16).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula_lab.measures.table import Figure

Array = npt.NDArray[np.float64]

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """How often each of N studies was drawn: (1 + B, N) float64. Row 0 is the sample itself, every study once."""

    counts: Array

    @classmethod
    def draw(cls, studies: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> Resamples:
        """Draw N of N studies with replacement, B times. The same arguments give the same draw."""
        rng = np.random.default_rng(seed)
        counts = np.ones((1 + resamples, studies))
        for row in range(1, 1 + resamples):
            counts[row] = np.bincount(rng.integers(0, studies, studies), minlength=studies)
        return cls(counts)

    def of(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Resamples:
        """The same draws, looked at in some of the studies."""
        return Resamples(self.counts[:, rows])

    @property
    def studies(self) -> int:
        return int(self.counts.shape[1])

    def mean(self, values: npt.NDArray[np.floating]) -> Array:
        """Weighted mean of values (N,) or (N, M) in the sample and each resample, (1 + B,) or (1 + B, M).

        Studies with a NaN are left out; NaN where none of the others was drawn.
        """
        columns = values.reshape(len(values), -1).astype(np.float64)
        known = ~np.isnan(columns).any(1)
        counts = self.counts[:, known]
        means = ratio(counts @ columns[known], counts.sum(1, keepdims=True))
        return np.asarray(means.reshape(len(means), *values.shape[1:]), np.float64)


def ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, NaN where bottom is 0."""
    nothing: Array = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.divide(top, bottom, out=nothing, where=bottom != 0)


def figure(values: Array, n: int) -> Figure:
    """A figure from a measure in the sample (first) and in the resamples: 2.5th and 97.5th percentile."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return Figure(float(values[0]), n=n)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Figure(float(values[0]), float(low), float(high), n)


def centred(values: Array) -> Array:
    """Resamples moved to where their median is the sample's own value.

    For measures that resampling itself pushes up, such as the calibration error: studies drawn twice look like a gap.
    The width stays, the push goes.
    """
    drawn = values[1:]
    return (
        values if np.isnan(drawn).all() else np.r_[values[:1], np.maximum(drawn + values[0] - np.nanmedian(drawn), 0)]
    )


def figures(values: Array, n: int) -> tuple[Figure, ...]:
    """One figure a column of values (1 + B, M)."""
    return tuple(figure(column, n) for column in values.T)


def p_value(differences: Array) -> float:
    """Two-sided bootstrap p-value that a paired difference is 0, from the sample (first) and its resamples."""
    drawn = differences[1:][~np.isnan(differences[1:])]
    if not len(drawn):
        return float("nan")
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(drawn) + 1)))
