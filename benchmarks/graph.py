"""Does the knowledge graph help retrieval? Four embeddings, re-ranking of image to image, on the test split.

    python benchmarks/graph.py STUDIES ONTOLOGIES CACHE [--epochs 200]

The graph reads training studies alone. A query lies where its *predicted* labels lie (logits from its films,
standardised by validation); so does each study of the gallery. How much the graph counts is chosen on validation, by
nDCG@10. Beside the four: ``labels``, the same with every label in a place of its own, which is what prediction gives
without a graph. Gains are paired over the same queries, with 95 % bootstrap intervals; the headline is the graph model
that does best on validation, against the plain ranking.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lingula.model.checkpoint import load_checkpoint
from lingula.openi.splits import Split
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.encode import encode_part
from lingula_lab.evaluation.inputs import able, coded_parts
from lingula_lab.graph import MODELS, build_triples, graph_similarity, place_labels, rerank
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.relevance import rules
from lingula_lab.measures.retrieval import MEASURES, measure, rank
from machine import write_result

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
NDCG, P5 = MEASURES.index("nDCG@10"), MEASURES.index("P@5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("studies", "ontologies", "cache"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", type=int, default=200)
    options = parser.parse_args()
    data, split, checkpoint = StudySet.load(options.studies), Split.load("openi-v1"), load_checkpoint("compact")
    vocabulary, parts = checkpoint.vocabulary, coded_parts(data, split)
    abnormal = np.array([code != vocabulary.normal for code in vocabulary.codes])
    rule = next(rule for rule in rules(vocabulary, parts.train_targets) if rule.name == "jaccard")
    triples = build_triples(vocabulary, (data.terms[row] for row in data.rows(split.train)), options.ontologies)

    sides: dict[str, dict[str, Any]] = {}
    for part, rows, targets in (
        ("validation", parts.validation, parts.validation_targets),
        ("test", parts.test, parts.test_targets),
    ):
        encoded = encode_part(checkpoint, data, split, part, options.cache)  # type: ignore[arg-type]
        place = {int(row): i for i, row in enumerate(encoded.rows)}
        own = np.array([place[int(row)] for row in rows])
        grades = rule.grades(targets, targets)
        np.fill_diagonal(grades, 0)
        asks = able(data, rows)["image"] & (grades > 0).any(1)
        vectors = encoded.embeddings["image"][own].astype(np.float64)
        sides[part] = {
            "scores": vectors @ vectors.T, "logits": encoded.logits["image"][own].astype(np.float64), "grades": grades,
            "asks": np.flatnonzero(asks),
        }  # fmt: skip
    mean, spread = (getattr(sides["validation"]["logits"], name)(0) for name in ("mean", "std"))
    evidence = {part: ((side["logits"] - mean) / spread)[:, abnormal] for part, side in sides.items()}

    def measured(part: str, places: np.ndarray[Any, Any], weight: float) -> np.ndarray[Any, Any]:
        side = sides[part]
        mixed = rerank(side["scores"], graph_similarity(evidence[part], evidence[part], places), weight)
        asks = side["asks"]
        return measure(side["grades"][asks], rank(mixed[asks], asks))

    plain = {part: measured(part, np.eye(abnormal.sum()), 0.0) for part in sides}
    draws = Resamples.draw(len(sides["test"]["asks"]))
    found: dict[str, Any] = {}
    for name in (*MODELS, "labels"):
        if name == "labels":
            places = np.eye(abnormal.sum())
        else:
            made = place_labels(triples, vocabulary.codes, model=name, split=split.digest, epochs=options.epochs)
            places = made.vectors[abnormal]
        tried = [float(measured("validation", places, weight)[:, NDCG].mean()) for weight in WEIGHTS]
        weight = WEIGHTS[int(np.argmax(tried))]
        change = measured("test", places, weight) - plain["test"]
        gains = {
            MEASURES[column]: figure(draws.mean(change[:, column]), len(change)).to_json() for column in (NDCG, P5)
        }
        found[name] = {"weight": weight, "validation_ndcg10": round(max(tried), 4), "gain": gains}
        print(name, found[name], flush=True)
    best = max(MODELS, key=lambda name: found[name]["validation_ndcg10"])
    base = {MEASURES[column]: round(float(plain["test"][:, column].mean()), 4) for column in (NDCG, P5)}
    body = {
        "model": checkpoint.fingerprint, "split": split.digest, "triples": len(triples), "queries": len(plain["test"]),
        "plain_test": base, "plain_validation_ndcg10": round(float(plain["validation"][:, NDCG].mean()), 4),
        "chosen_on_validation": best, "rerank": found,
    }  # fmt: skip
    headline = {"graph_gain_ndcg10": {**found[best]["gain"]["nDCG@10"], "unit": "nDCG@10, paired difference"}}
    write_result("graph", body, headline)


if __name__ == "__main__":
    main()
