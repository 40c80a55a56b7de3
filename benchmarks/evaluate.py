"""The whole evaluation of the embedded model on the real test split, twice: is the second run the same, how long is it?

    python benchmarks/evaluate.py STUDY_SET COLLECTION TRUNK OUT

STUDY_SET is the folder that ``lingula prepare`` wrote, TRUNK a frozen ImageNet MobileNetV1, OUT a folder that keeps
the encoded studies. The first run encodes what OUT lacks; the second, from the cache, is timed. Writes the tables to
``results/evaluation.json`` and ``results/evaluation.md``, and what README and the cards in ``docs/`` say of them.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import summary
from lingula.model.checkpoint import load_checkpoint
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.inputs import Request
from lingula_lab.evaluation.ledger import append_look, ledger_of
from lingula_lab.evaluation.run import Evaluation, evaluate
from lingula_lab.report import report
from machine import RESULTS, write_result

COMMAND = (
    "lingula evaluate compact --data STUDY_SET --split openi-v1 --out DIR --collection COLLECTION --trunk TRUNK "
    "--resamples 1000 --seed 0"
)
REASON = "the release: figures of the shipped checkpoint with the reader of its version"
FINDINGS, SIMILAR, PAIRS = "classification", "retrieval_generalization_jaccard", "pairs"
PAST = "retrieval_historical_jaccard"
HEADLINE = {
    "image_auroc_macro": (FINDINGS, "image, frontal", "AUROC macro", "AUROC"),
    "image_two_view_auroc_macro": (FINDINGS, "image, frontal + lateral", "AUROC macro", "AUROC"),
    "normal_auroc": (FINDINGS, "image, frontal", "normal/abnormal AUROC", "AUROC"),
    "image_ece": (FINDINGS, "image, frontal", "ECE", "ECE"),
    "report_auroc_macro": (FINDINGS, "report", "AUROC macro", "AUROC"),
    "joint_auroc_macro": (FINDINGS, "image + report", "AUROC macro", "AUROC"),
    "joint_ap_macro": (FINDINGS, "image + report", "AP macro", "AP"),
    "joint_f1_macro": (FINDINGS, "image + report", "F1 macro", "F1"),
    "tfidf_report_auroc_macro": (FINDINGS, "TF-IDF of the report", "AUROC macro", "AUROC"),
    "mobilenet_image_auroc_macro": (FINDINGS, "frozen MobileNetV1, frontal", "AUROC macro", "AUROC"),
    "chance_p5_abnormal": (SIMILAR, "chance, expected", "P@5", "P@5"),
    "image_p5_abnormal": (SIMILAR, "image → image", "P@5", "P@5"),
    "image_ndcg10": (SIMILAR, "image → image", "nDCG@10", "nDCG@10"),
    "film_p5_abnormal": (SIMILAR, "default search: image, frontal + lateral", "P@5", "P@5"),
    "film_ndcg10": (SIMILAR, "default search: image, frontal + lateral", "nDCG@10", "nDCG@10"),
    "film_any_in5": (SIMILAR, "default search: image, frontal + lateral", "any in 5", "share of queries"),
    "normal_asks_normal": (SIMILAR, "default search: image, frontal + lateral", "normal", "P@5 of normal queries"),
    "neighbour_odds_ece": (SIMILAR, "default search: image, frontal + lateral", "odds ECE", "ECE"),
    "film_p5_abnormal_historical": (PAST, "default search: image, frontal + lateral", "P@5", "P@5, test asks train"),
    "film_ndcg10_historical": (PAST, "default search: image, frontal + lateral", "nDCG@10", "nDCG@10, test asks train"),
    "report_p5_abnormal": (SIMILAR, "report → report", "P@5", "P@5"),
    "tfidf_report_p5_abnormal": (SIMILAR, "TF-IDF: report → report", "P@5", "P@5"),
    "image_to_report_r10": (PAIRS, "image → report", "R@10", "R@10"),
    "image_to_report_r10_listed": (PAIRS, "image → report, each text once", "R@10", "R@10, each text once, as listed"),
    "report_to_image_r10": (PAIRS, "report → image", "R@10", "R@10"),
}
"""Headline key: table, row, column, unit."""


def once(arguments: list[Path], data: StudySet) -> tuple[Evaluation, float]:
    _, collection, trunk, out = arguments
    checkpoint = load_checkpoint("compact")
    split = Split.load("openi-v1")
    append_look(
        ledger_of("openi-v1"), split=split.digest, model=checkpoint.fingerprint, what="tables", reason=REASON
    )  # fmt: skip
    started = time.perf_counter()
    found = evaluate(Request(checkpoint, data, split, collection, trunk, command=COMMAND), out)
    report.write(found, out, data, checkpoint.vocabulary)
    return found, time.perf_counter() - started


def digests(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    arguments = [Path(word) for word in sys.argv[1:5]]
    data, out = StudySet.load(arguments[0]), arguments[3]
    _, first = once(arguments, data)
    before = digests(out)
    found, seconds = once(arguments, data)
    after = digests(out)
    tables = {table.key: table for table in report.shown(found.tables)}
    headline: dict[str, dict[str, Any]] = {
        key: {**tables[table].figure(row, column).to_json(), "unit": unit}
        for key, (table, row, column, unit) in HEADLINE.items()
    }
    headline["evaluate_seconds"] = {"value": round(seconds, 1), "unit": "s"}
    body = {
        "seconds_first": round(first, 1),
        "seconds_from_cache": round(seconds, 1),
        "files": len(after),
        "files_that_differ_on_rerun": sorted(
            name for name in before.keys() | after if before.get(name) != after.get(name)
        ),
        "about": found.about,
        "tables": {key: table.to_json() for key, table in tables.items()},
    }
    write_result("evaluation", body, headline)
    (RESULTS / "evaluation.md").write_text(report.to_markdown(found), encoding="utf-8")
    summary.main()


if __name__ == "__main__":
    main()
