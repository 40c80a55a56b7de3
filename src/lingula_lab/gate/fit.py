"""The gate's heads, fitted by logistic regression, and what they are worth on kinds and patients left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.model.gate import Gate
from lingula_lab.gate.distort import READABLE
from lingula_lab.gate.films import Array, GateFilms
from lingula_lab.gate.outside import fit_outside

Flags = npt.NDArray[np.bool_]
STRENGTHS = {"chest": 0.01, "known": 0.03, "lateral": 0.03, "ap": 0.03}
"""Inverse of the penalty on the squared norm of each head's weights, features standardised."""
SURE = 1.0
"""Log-odds from which a picture counts as a chest film, chosen on kinds left out."""
UNLIKE = 0.02
"""Share of the validation films of the training collection that may be called unlike."""
OPENI = "openi"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One linear head: log-odds ``features @ weight + bias``."""

    weight: Array
    bias: float

    def __call__(self, features: Array) -> Array:
        return np.asarray(features @ self.weight + self.bias, np.float32)


def fit_gate(films: GateFilms, model: str, codes: Sequence[str], about: dict[str, Any], folds: int = 5) -> Gate:
    """The gate for a model, by its fingerprint, from all training films; ``codes`` are the model's labels."""
    train, every = films.part == "train", np.ones(len(films), bool)
    chest = fit_chest(films, train)
    known = fit_known(films, train)
    validation = (films.source == OPENI) & (films.part == "validation") & (films.change == "")
    if validation.any():
        known = Head(known.weight, known.bias - float(np.quantile(known(films.features[validation]), UNLIKE)))
    heads = (Head(chest.weight, chest.bias - SURE), known, fit_lateral(films, train), fit_ap(films, every))
    weight = np.stack([head.weight for head in heads]).astype(np.float32)
    bias = np.array([head.bias for head in heads], np.float32)
    return Gate(model, weight, bias, fit_outside(films, codes, folds), about)


def fit_chest(films: GateFilms, rows: Flags) -> Head:
    """Chest films of every source, as they are and readably changed, against everything else."""
    names = [change.__name__ for change in READABLE]
    plain = films.change == ""
    drawn, shown = films.source == "phantom", ~np.isin(films.source, ["not_chest", "noise", "phantom"])
    positive = [(shown & plain & (films.source == source), 1.0) for source in sorted(set(films.source[shown]))]
    positive += [(shown & np.isin(films.change, names), 1.0), (drawn, 0.1)]
    other = films.source == "not_chest"
    negative = [(other & plain, 1.0), (other & ~plain, 0.5), (films.source == "noise", 0.3)]
    return _fit(films, _within(positive, rows), _within(negative, rows), STRENGTHS["chest"])


def fit_known(films: GateFilms, rows: Flags) -> Head:
    """Films of the training collection, as they are and mildly changed, against every other chest film."""
    plain, mild, own = films.change == "", films.change == "mild", films.source == OPENI
    positive = [(own & plain, 0.7), (own & mild, 0.3)]
    shown = ~np.isin(films.source, ["not_chest", "noise"])
    negative = [(shown & ~own & (films.source == source), 1.0) for source in sorted(set(films.source[shown & ~own]))]
    negative += [(shown & ~plain & ~mild & (films.change != "washed"), 1.0)]
    return _fit(films, _within(positive, rows), _within(negative, rows), STRENGTHS["known"])


def fit_lateral(films: GateFilms, rows: Flags) -> Head:
    plain = (films.change == "") & ~np.isin(films.source, ["not_chest", "noise"])
    lateral = films.view == "lateral"
    return _fit(
        films, [(rows & plain & lateral, 1.0)], [(rows & plain & ~lateral, 1.0)], STRENGTHS["lateral"], each=True
    )  # fmt: skip


def fit_ap(films: GateFilms, rows: Flags) -> Head:
    """AP against PA, of films whose table tells."""
    plain = films.change == ""
    return _fit(
        films, [(rows & plain & (films.view == "AP"), 1.0)], [(rows & plain & (films.view == "PA"), 1.0)],
        STRENGTHS["ap"], each=True,
    )  # fmt: skip


Group = tuple[Flags, float]
"""Films that weigh as much together as the number says."""


def _within(groups: list[Group], rows: Flags) -> list[Group]:
    return [(flags & rows, weight) for flags, weight in groups if (flags & rows).any()]


def _fit(
    films: GateFilms, positive: list[Group], negative: list[Group], strength: float, each: bool = False
) -> Head:  # fmt: skip
    """Both sides weigh the same; within a side its groups as they say, or with ``each`` each film alike over both."""
    from sklearn.linear_model import LogisticRegression

    chosen, goal, weight = [], [], []
    for value, groups in ((1, positive), (0, negative)):
        total = sum(share for _, share in groups)
        for flags, share in groups:
            rows = np.flatnonzero(flags)
            chosen.append(rows)
            goal.append(np.full(len(rows), value))
            weight.append(np.full(len(rows), 1.0 if each else share / total / len(rows)))
    rows, y, w = (np.concatenate(part) for part in (chosen, goal, weight))
    x = films.features[rows]
    side = x[y == 1] if not each else x
    mean, spread = side.mean(0), side.std(0) + 1e-6
    fitted = LogisticRegression(C=strength, max_iter=500).fit((x - mean) / spread, y, w / w.mean())
    slope = fitted.coef_[0] / spread
    return Head(slope.astype(np.float32), float(fitted.intercept_[0] - slope @ mean))
