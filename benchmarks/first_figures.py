"""What the embedded model knows, on the test split: from the image, from the report, from both.

    python benchmarks/first_figures.py STUDY_SET

STUDY_SET is the folder that ``lingula prepare`` wrote from the collection. Macro means over the labels with ten or
more positives in test; intervals are the 2.5th and 97.5th percentile of 1,000 bootstrap resamples of studies. Chance
is 0.5. Rows that read the report read where the labels come from: they measure indexing, not prediction.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score

from lingula.evaluation.classification import auroc, average_precision, supported
from lingula.labels.vocabulary import Vocabulary
from lingula.models.checkpoint import Checkpoint, load_checkpoint
from lingula.openi.splits import Split
from lingula.study import Mode
from lingula.training.data import StudySet
from lingula.training.loop import predict_set
from machine import write_result

RESAMPLES, SEED, LEAST = 1000, 0, 10
ROWS: tuple[tuple[str, Mode, bool], ...] = (
    ("image, frontal", "image", True),
    ("image, all films", "image", False),
    ("report only (reads the report)", "text", False),
    ("image + report (reads the report)", "joint", False),
)


def frontal_only(data: StudySet) -> StudySet:
    """The same studies with their frontal films alone."""
    keep = np.flatnonzero([view == "frontal" for view in data.views])
    films, views = data.films[keep], tuple(data.views[film] for film in keep)
    return StudySet(data.ids, data.reports, data.labels, films, data.owner[keep], views)


def fast_auroc(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """AUROC of each label by the rank sum (Mann-Whitney), ties at half; NaN targets left out."""
    from scipy.stats import rankdata

    values = np.full(targets.shape[1], np.nan)
    for label in range(targets.shape[1]):
        known = ~np.isnan(targets[:, label])
        goal = targets[known, label] == 1
        positive, negative = goal.sum(), (~goal).sum()
        if positive and negative:
            ranks = rankdata(scores[known, label])
            values[label] = (ranks[goal].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return values


def row(checkpoint: Checkpoint, data: StudySet, test: np.ndarray, mode: Mode, macro: np.ndarray) -> dict[str, Any]:
    tokenizer = checkpoint.tokenizer
    tokens = [tokenizer(report) if report and not report.is_empty else None for report in data.reports]
    logits = predict_set(checkpoint.model, data, test, tokens, tokenizer.pad, mode)
    targets, calibration = data.labels[test], checkpoint.calibration[mode]
    probabilities = calibration.probabilities(logits)
    known = ~np.isnan(targets).any(1)
    called = (probabilities >= calibration.threshold)[known][:, macro]
    rng = np.random.default_rng(SEED)
    draws = [rng.integers(0, len(test), len(test)) for _ in range(RESAMPLES)]
    macros = [float(np.nanmean(fast_auroc(logits[d], targets[d])[macro])) for d in draws]
    low, high = np.percentile(macros, [2.5, 97.5])
    per_label = auroc(logits, targets)
    return {
        "auroc_macro": round(float(per_label[macro].mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "ap_macro": round(float(average_precision(logits, targets)[macro].mean()), 4),
        "f1_macro_at_validation_thresholds": round(
            float(f1_score(targets[known][:, macro], called, average="macro")), 4
        ),
        "brier_macro": round(float(np.nanmean((probabilities - targets) ** 2, 0)[macro].mean()), 4),
        "auroc": {c: round(float(v), 4) for c, v in zip(checkpoint.vocabulary.codes, per_label, strict=True)},
    }


def main() -> None:
    torch.set_num_threads(2)
    checkpoint, data, split = load_checkpoint("compact"), StudySet.load(Path(sys.argv[1])), Split.load("openi-v1")
    test = data.rows(split.test)
    macro = supported(data.labels[test], LEAST)
    front = frontal_only(data)
    table = {name: row(checkpoint, front if only else data, test, mode, macro) for name, mode, only in ROWS}
    prevalence = np.nanmean(data.labels[data.rows(split.train)], 0)
    support = np.nansum(data.labels[test], 0).astype(int)
    body = {
        "n": len(test),
        "split": {"name": split.name, "sha256": split.digest, "part": "test"},
        "model": checkpoint.fingerprint,
        "seed": SEED,
        "resamples": RESAMPLES,
        "labels_in_macro": int(macro.sum()),
        "support": dict(zip(Vocabulary.load("openi22").codes, support.tolist(), strict=True)),
        "chance": {"auroc_macro": 0.5, "ap_macro": round(float(prevalence[macro].mean()), 4)},
        "rows": table,
    }
    named = {
        "image_auroc_macro": "image, frontal",
        "image_two_view_auroc_macro": "image, all films",
        "report_auroc_macro": "report only (reads the report)",
        "joint_auroc_macro": "image + report (reads the report)",
    }
    headline = {
        key: {
            "value": table[name]["auroc_macro"],
            "low": table[name]["low"],
            "high": table[name]["high"],
            "n": len(test),
            "unit": "AUROC",
        }
        for key, name in named.items()
    }
    normal = checkpoint.vocabulary.codes.index("normal")
    assert checkpoint.vocabulary.codes[normal] == checkpoint.vocabulary.normal
    headline["normal_auroc"] = {
        "value": table["image, frontal"]["auroc"]["normal"],
        "n": len(test),
        "unit": "AUROC",
    }
    write_result("first_figures", body, headline)


if __name__ == "__main__":
    main()
