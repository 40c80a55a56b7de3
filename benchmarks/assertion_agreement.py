"""How far the assertion reader agrees with the human MeSH coding of the same report.

python benchmarks/assertion_agreement.py NLMCXR_reports.tgz train > benchmarks/results/assertion_agreement_train.json

The coding is no perfect truth here: coders name "possible" findings as if present, and leave out a few that are. So
recall is given twice, with a finding read as present, and as present or uncertain. The reader's rules were written on
the training studies; another split's name measures them on studies never looked at.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml.ElementTree import fromstring

from lingula.labels import Vocabulary, polarity, read_assertions
from lingula.labels.assertions import SEARCH_FINDINGS
from lingula.labels.terms import Term
from lingula.openi.splits import Split, SplitName
from lingula.study import Report

HEADINGS = {
    "pneumothorax": {"pneumothorax", "hydropneumothorax", "hemopneumothorax"},
    "effusion": {"pleural effusion", "hydropneumothorax", "hemopneumothorax", "hemothorax"},
    "consolidation": {"consolidation"},
    "pneumonia": {"pneumonia"},
    "edema": {"pulmonary edema"},
    "nodule": {"nodule"},
    "fracture": {"fractures, bone"},
    "mass": {"mass"},
    "infiltrate": {"infiltrate"},
    "cardiomegaly": {"cardiomegaly"},
    "emphysema": {"emphysema", "pulmonary emphysema", "bullous emphysema", "blister"},
    "atelectasis": {"pulmonary atelectasis"},
}
"""MeSH headings, in lower case, that name a search finding itself (a label may be wider)."""


def studies(archive: Path, ids: set[str]) -> Iterator[tuple[Report, list[str]]]:
    """Findings and impression, and the coding, of these studies."""
    with tarfile.open(archive) as members:
        for member in members:
            if f"CXR{Path(member.name).stem}" not in ids:
                continue
            content = members.extractfile(member)
            assert content is not None
            root = fromstring(content.read())
            text = {part.get("Label", "").lower(): part.text or "" for part in root.iter("AbstractText")}
            report = Report.from_sections(findings=text.get("findings", ""), impression=text.get("impression", ""))
            yield report, [(major.text or "").strip() for major in root.findall("MeSH/major")]


def agreement(archive: Path, split_name: SplitName) -> dict[str, Any]:
    vocabulary = Vocabulary.load("openi22")
    split = Split.load("openi-v1")
    tally: dict[tuple[str, str], Counter[tuple[bool, str | None]]] = {}
    coded = 0
    for report, terms in studies(archive, set(split.ids(split_name))):
        if np.isnan(vocabulary.encode(terms)).any():
            continue
        coded += 1
        said = read_assertions(report)
        headings = {Term.parse(term).heading for term in terms}
        labels = set(vocabulary.present(terms))
        for kind, names, true in (
            ("labels", vocabulary.codes, labels),
            ("search_findings", SEARCH_FINDINGS, {name for name in SEARCH_FINDINGS if HEADINGS[name] & headings}),
        ):
            for name in names:
                tally.setdefault((kind, name), Counter())[name in true, polarity(said, name)] += 1
    return {
        "command": f"python benchmarks/assertion_agreement.py NLMCXR_reports.tgz {split_name}",
        "split": {"name": split.name, "sha256": split.digest, "part": split_name},
        "studies": coded,
        "vocabulary_sha256": vocabulary.digest,
        **{
            kind: {name: _row(counts) for (of, name), counts in tally.items() if of == kind}
            for kind in ("labels", "search_findings")
        },
    }


def _row(counts: Counter[tuple[bool, str | None]]) -> dict[str, Any]:
    coded = sum(n for (true, _), n in counts.items() if true)
    present = counts[True, "present"]
    said = present + counts[False, "present"]
    return {
        "coded": coded,
        "said_present": said,
        "precision": round(present / said, 4) if said else None,
        "recall": round(present / coded, 4) if coded else None,
        "recall_with_uncertain": round((present + counts[True, "likely"] + counts[True, "uncertain"]) / coded, 4)
        if coded
        else None,
        "coded_but_said_absent": counts[True, "absent"],
    }


if __name__ == "__main__":
    name = sys.argv[2]
    assert name in ("train", "validation", "test")
    json.dump(agreement(Path(sys.argv[1]), name), sys.stdout, indent=1)  # type: ignore[arg-type]
    sys.stdout.write("\n")
