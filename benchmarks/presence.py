"""Search for the presence of twelve findings by what reports assert, held against the human MeSH coding.

    python benchmarks/presence.py NLMCXR_reports.tgz [train|validation|test]

A study has a finding when one of its coded terms has a heading that names it, whatever the qualifiers
(``search_findings()[code].headings``). Three ways to search findings and impression:

* keyword: the finding's word stands there;
* naive negation: ... and no "no", "without", "negative for", "free of", "not" before it in its sentence;
* assertions: the report asserts it as present or likely, now (``FOUND``): what ``lingula search`` goes by.

The rules were written on the training studies. Macro means of precision and recall with 95 % bootstrap intervals over
studies. Every disagreement is listed by study id with what the report says and what was coded; ``REVIEWED`` marks those
in which reading the report shows the coding to be at fault.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lingula.labels import FOUND, Vocabulary, polarity, read_assertions, search_findings
from lingula.labels.terms import Term
from lingula.openi import scan
from lingula.openi.splits import Split, SplitName
from lingula.study import Report
from machine import write_result

Flags = npt.NDArray[np.bool_]
RESAMPLES = 2000
KEYWORDS = {
    "pneumothorax": r"pneumothora\w+",
    "effusion": r"effusions?",
    "consolidation": r"consolidat\w+",
    "pneumonia": r"pneumonias?",
    "edema": r"edema",
    "nodule": r"nod(?:ule|ules|ular)",
    "bone_fracture": r"fractur\w+",
    "mass": r"mass(?:es)?",
    "infiltrate": r"infiltrat\w+",
    "cardiomegaly": r"cardiomegaly|enlarged heart|heart (?:is )?(?:\w+ )?enlarged",
    "emphysema": r"emphysema\w*",
    "atelectasis": r"atelecta\w+",
}
_NO = re.compile(r"\b(?:no|without|not|negative for|free of)\b", re.IGNORECASE)
_SHADOW, _VOLUME = "coded under another heading, Cardiac Shadow/enlarged", "coded under another heading, Volume Loss"
REVIEWED: dict[str, dict[str, str]] = {
    "edema": {"CXR157": "reported as resolving, the study coded normal"},
    "cardiomegaly": {"CXR313": _SHADOW, "CXR1557": _SHADOW, "CXR2177": _SHADOW},
    "atelectasis": {"CXR2390": _VOLUME, "CXR2943": _VOLUME},
    "nodule": {"CXR412": "a nodular opacity, which the coding elsewhere calls Opacity/round"},
}
"""By finding and study id: why the coding, not the search, is at fault. Read on the test studies after measuring."""


def keyword(text: str, finding: str) -> bool:
    return re.search(rf"\b(?:{KEYWORDS[finding]})\b", text, re.IGNORECASE) is not None


def naive(text: str, finding: str) -> bool:
    word = re.compile(rf"\b(?:{KEYWORDS[finding]})\b", re.IGNORECASE)
    sentences = re.split(r"(?<=[.?!;])\s", text)
    return any(not _NO.search(sentence[: match.start()]) for sentence in sentences for match in word.finditer(sentence))


def measured(true: Flags, found: Flags) -> dict[str, Any]:
    """Precision and recall by finding and their macro means, of flags (N, 12), with intervals of the means."""
    weights = np.random.default_rng(0).multinomial(len(true), np.full(len(true), 1 / len(true)), RESAMPLES)

    def rates(counts: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        both, said, coded = (counts @ flags.astype(np.int64) for flags in (true & found, found, true))
        with np.errstate(invalid="ignore"):
            return both / said, both / coded

    precision, recall = rates(np.ones((1, len(true)), np.int64))
    many = [np.nanmean(rate, 1) for rate in rates(weights)]
    row: dict[str, Any] = {}
    for name, each, resampled in zip(("precision", "recall"), (precision, recall), many, strict=True):
        low, high = np.quantile(resampled, (0.025, 0.975))
        row[name] = {"value": _round(np.nanmean(each)), "low": _round(low), "high": _round(high)}
    row["findings"] = {
        code: {"precision": _round(precision[0, at]), "recall": _round(recall[0, at]), "coded": int(true[:, at].sum()),
               "found": int(found[:, at].sum()), "both": int((true & found)[:, at].sum())}
        for at, code in enumerate(KEYWORDS)
    }  # fmt: skip
    return row


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def main() -> None:
    part = cast(SplitName, sys.argv[2] if len(sys.argv) > 2 else "test")
    split = Split.load("openi-v1")
    wanted, findings, vocabulary = set(split.ids(part)), search_findings(), Vocabulary.load("openi22")
    ids, rows, disagreements = [], [], []
    for files in scan(Path(sys.argv[1])):
        terms = files.report.terms
        if files.study_id not in wanted or np.isnan(vocabulary.encode(terms)).any():  # nobody coded it
            continue
        told = files.report.report
        report = Report.from_sections(findings=told.section("findings"), impression=told.section("impression"))
        headings, said = {Term.parse(term).heading for term in terms}, read_assertions(report)
        ids.append(files.study_id)
        rows.append([
            (bool(findings[code].headings & headings), keyword(report.text, code), naive(report.text, code),
             polarity(said, code) in FOUND)
            for code in KEYWORDS
        ])  # fmt: skip
        disagreements += [
            {"finding": code, "study": files.study_id, "coded": coded, "said": polarity(said, code),
             "headings": sorted(headings), "coding_at_fault": REVIEWED.get(code, {}).get(files.study_id)}
            for code, (coded, _, _, found) in zip(KEYWORDS, rows[-1], strict=True) if coded != found
        ]  # fmt: skip
    flags = np.array(rows)  # (N, 12, 4)
    ways = {
        name: measured(flags[:, :, 0], flags[:, :, at])
        for at, name in enumerate(("keyword", "naive negation", "assertions"), 1)
    }
    body = {
        "split": {"name": split.name, "sha256": split.digest, "part": part},
        "studies": len(ids),
        "definition": "a coded MeSH heading names the finding, any qualifiers; found: asserted present or likely, now",
        "ways": ways,
        "disagreements": disagreements,
    }
    best = ways["assertions"]
    headline = {
        f"presence_{name}": {**best[name], "n": len(ids), "unit": "macro mean of 12 findings"}
        for name in ("precision", "recall")
    }
    write_result("presence" if part == "test" else f"presence_{part}", body, headline if part == "test" else None)
    for name, row in ways.items():
        sys.stdout.write(f"{name}: precision {row['precision']['value']}, recall {row['recall']['value']}\n")


if __name__ == "__main__":
    main()
