"""Agreement of the two sources of labels on the training split: the human MeSH coding and the assertion reader.

    python benchmarks/label_agreement.py NLMCXR_reports.tgz

Cohen's kappa (1960) for each label of ``openi22``, with 95 % bootstrap intervals over studies. The reader says a label
when findings or impression assert it as present or likely now; it says ``normal`` when it reads no other label as
present, likely or uncertain. Disagreements are sampled by study id; ``docs/labels.md`` explains them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.labels import Vocabulary, polarity, read_assertions
from lingula.openi import scan
from lingula.openi.splits import Split
from lingula.study import Report
from machine import write_result

Flags = npt.NDArray[np.bool_]
SAMPLE, RESAMPLES = 5, 2000


def kappa(
    one: npt.NDArray[np.floating], other: npt.NDArray[np.floating], both: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Cohen's kappa from the shares of studies that one rater calls, the other calls, and both call."""
    observed = 1 - one - other + 2 * both
    expected = one * other + (1 - one) * (1 - other)
    return np.asarray((observed - expected) / np.maximum(1 - expected, 1e-12), np.float64)


def intervals(coded: Flags, said: Flags, seed: int = 0) -> npt.NDArray[np.float64]:
    """Kappas of RESAMPLES bootstrap samples of the studies, (RESAMPLES, L)."""
    count = len(coded)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    return kappa(*(weights @ flags.astype(np.float64) for flags in (coded, said, coded & said)))


def read(archive: Path, split: Split, vocabulary: Vocabulary) -> tuple[list[str], Flags, Flags, Flags]:
    """Ids of the coded training studies, and by study and label: coded, read as present, read as uncertain."""
    train = set(split.train)
    ids, coded, present, uncertain = [], [], [], []
    for files in scan(archive):
        labels = vocabulary.encode(files.report.terms)
        if files.study_id not in train or np.isnan(labels).any():
            continue
        told = files.report.report
        report = Report.from_sections(findings=told.section("findings"), impression=told.section("impression"))
        assertions = read_assertions(report)
        said = [polarity(assertions, code) for code in vocabulary.codes]
        ids.append(files.study_id)
        coded.append(labels > 0)
        present.append([each in ("present", "likely") for each in said])
        uncertain.append([each == "uncertain" for each in said])
    made = [np.array(rows) for rows in (coded, present, uncertain)]
    normal = vocabulary.codes.index(vocabulary.normal or "")
    others = [place for place in range(len(vocabulary)) if place != normal]
    made[1][:, normal] = ~(made[1] | made[2])[:, others].any(1)
    made[2][:, normal] = False
    return ids, made[0], made[1], made[2]


def main() -> None:
    vocabulary, split = Vocabulary.load("openi22"), Split.load("openi-v1")
    ids, coded, present, uncertain = read(Path(sys.argv[1]), split, vocabulary)
    found = kappa(coded.mean(0), present.mean(0), (coded & present).mean(0))
    lenient = present | uncertain
    found_lenient = kappa(coded.mean(0), lenient.mean(0), (coded & lenient).mean(0))
    resampled = intervals(coded, present)
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    random = np.random.default_rng(0)

    def some(flags: Flags) -> list[str]:
        rows = np.flatnonzero(flags)
        return [ids[row] for row in sorted(random.choice(rows, min(SAMPLE, len(rows)), replace=False))]

    labels: dict[str, Any] = {}
    for place, code in enumerate(vocabulary.codes):
        human, reader, unsure = coded[:, place], present[:, place], uncertain[:, place]
        labels[code] = {
            "kappa": round(float(found[place]), 4),
            "low": round(float(low[place]), 4),
            "high": round(float(high[place]), 4),
            "kappa_uncertain_counts": round(float(found_lenient[place]), 4),
            "coded": int(human.sum()),
            "said": int(reader.sum()),
            "both": int((human & reader).sum()),
            "coded_and_uncertain": int((human & unsure).sum()),
            "coded_and_not_said": some(human & ~reader & ~unsure),
            "said_and_not_coded": some(reader & ~human),
        }
    macro = {
        "value": round(float(found.mean()), 4),
        "low": round(float(np.quantile(resampled.mean(1), 0.025)), 4),
        "high": round(float(np.quantile(resampled.mean(1), 0.975)), 4),
        "n": len(ids),
        "unit": "mean Cohen's kappa of 22 labels",
    }
    body = {
        "split": {"name": split.name, "sha256": split.digest, "part": "train"},
        "vocabulary_sha256": vocabulary.digest,
        "studies": len(ids),
        "kappa_uncertain_counts": round(float(found_lenient.mean()), 4),
        "labels": labels,
    }
    write_result("label_agreement", body, headline={"label_agreement_kappa": macro})


if __name__ == "__main__":
    main()
