"""How findings are called on chest films of another source: calibrated there, called only where they are told there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lingula.model.calibration import Calibration
from lingula.model.gate import Outside
from lingula_lab.gate.films import GateFilms
from lingula_lab.training.calibration_fit import fit_calibration

Floats = npt.NDArray[np.float64]
NIH_LABELS = {
    "No Finding": "normal", "Cardiomegaly": "cardiomegaly", "Edema": "pulmonary_edema", "Effusion": "pleural_effusion",
    "Pleural_Thickening": "pleural_thickening", "Pneumothorax": "pneumothorax", "Atelectasis": "atelectasis",
    "Consolidation": "airspace_disease", "Pneumonia": "airspace_disease", "Infiltration": "lung_opacity",
    "Nodule": "nodule_mass", "Mass": "nodule_mass", "Emphysema": "hyperinflation", "Fibrosis": "scar",
    "Hernia": "hernia",
}  # fmt: skip
"""NIH-14 labels and the nearest label of ``openi22``."""
OPACITIES = {"airspace_disease", "nodule_mass"}
"""Beside one of these nothing is known of *lung opacity*, which NIH-14 does not have."""
TOLD = 0.7
"""AUROC from which a label is called on films from elsewhere."""
CALLED_NORMAL = 0.04
"""Most normal films that any one label may be called on."""
LEAST = 20
"""Positives from which a label is judged at all."""


def nih_targets(labels: Sequence[str], codes: Sequence[str]) -> Floats:
    """(N, L) in {0, 1, NaN} of NIH-14 labels, ``A|B``; NaN for labels that NIH-14 does not have."""
    targets = np.full((len(labels), len(codes)), np.nan)
    place = {code: column for column, code in enumerate(codes)}
    known = sorted({place[code] for code in NIH_LABELS.values() if code in place})
    for row, named in enumerate(labels):
        found = {NIH_LABELS[name] for name in named.split("|") if name in NIH_LABELS}
        targets[row, known] = 0
        targets[row, [place[code] for code in found if code in place]] = 1
        if found & OPACITIES and "lung_opacity" not in found and "lung_opacity" in place:
            targets[row, place["lung_opacity"]] = np.nan
    return targets


def fit_outside(films: GateFilms, codes: Sequence[str], folds: int = 5, source: str = "nih14") -> Outside | None:
    """Calibration on films of a source whose patients taught the model nothing; None without any.

    A label is called where AUROC is at least ``TOLD``, its lower bound over patients at least 0.05 below that, from
    the probability that ``CALLED_NORMAL`` of the normal films reach. *Normal* is never called.
    """
    rows = films.untaught(source)
    if not len(rows):
        return None
    targets, logits = nih_targets(films.labels[rows].tolist(), codes), films.logits[rows].astype(np.float64)
    fitted = fit_calibration(logits, targets)
    probabilities = fitted.probabilities(logits)
    normal = targets[:, codes.index("normal")] == 1
    judged = np.array([_told(targets[:, j], logits[:, j]) for j in range(len(codes))])
    judged[codes.index("normal")] = False
    threshold = fitted.threshold.copy()
    for label in np.flatnonzero(judged):
        bound = float(np.quantile(probabilities[normal, label], 1 - CALLED_NORMAL))
        threshold[label] = max(threshold[label], bound)
    measured = np.nansum(targets, 0) >= LEAST
    return Outside(_calling(fitted, threshold, measured), judged)


def _calling(fitted: Calibration, threshold: Floats, measured: npt.NDArray[np.bool_]) -> Calibration:
    """Without a band, what is called is called; without scale and shift where the source cannot tell."""
    empty, unknown = np.full_like(threshold, 2.0), np.where(measured, 0.0, np.nan)
    scale, shift = fitted.scale + unknown, fitted.shift + unknown
    return replace(fitted, scale=scale, shift=shift, threshold=threshold, unsure_from=empty, unsure_to=empty)


def _told(goal: Floats, scores: Floats) -> bool:
    known = ~np.isnan(goal)
    y, s = goal[known], scores[known]
    if not LEAST <= y.sum() <= len(y) - LEAST:
        return False
    random = np.random.default_rng(0)
    draws = [auroc(y[pick], s[pick]) for pick in random.integers(0, len(y), (200, len(y)))]
    return auroc(y, s) >= TOLD and float(np.nanquantile(draws, 0.025)) >= TOLD - 0.05


def auroc(goal: Floats, scores: Floats) -> float:
    """The share of pairs in the right order, ties half; NaN without pairs."""
    from scipy.stats import rankdata

    positives = float(goal.sum())
    negatives = len(goal) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[goal == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
