"""Composed search on the imported collection: "A without B", "like this, without X", and how long an answer takes.

The library's reports are read anew where the rules have changed since.

    python benchmarks/composed.py library.sqlite [compact]

* "A without B": 200 questions in words, generated from pairs of findings that do occur together. Asked of a copy of the
  library without its coding, so that only reports can answer; a violation is one of the first ten that has B, by the
  human coding (headings of the twelve findings, labels of the others), or by what its report asserts (present or
  likely), or either. The second is what the search itself goes by; the first is independent of it. Beside it, the same
  questions answered by embedding alone.
* "Like this, without X": studies of the test split, X one of their coded findings, asked by film, by report and by
  both, of the same copy. Kept: the share of the first ten without X by the coding. Similarity kept: the mean cosine of
  the first ten over that of the first ten without the condition.
* Time: the 200 questions from text to answer, model and library warm, one thread, of the library as it is.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.analysis import search
from lingula.labels import FOUND, label_of, polarity, search_findings
from lingula.labels.terms import Term
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.encode import embed
from lingula.openi.splits import Split
from lingula.retrieval import Query, QueryEmbedding, Wanted, ask
from lingula.study import Mode, Report, Study
from machine import write_result

K, QUESTIONS, RESAMPLES = 10, 200, 2000
WORDS = {
    "pneumothorax": "pneumothorax", "effusion": "pleural effusion", "consolidation": "consolidation",
    "pneumonia": "pneumonia", "edema": "pulmonary edema", "nodule": "nodule", "bone_fracture": "fracture",
    "mass": "mass", "infiltrate": "infiltrate", "cardiomegaly": "enlarged heart", "emphysema": "emphysema",
    "atelectasis": "atelectasis", "hypoinflation": "low lung volumes", "hyperinflation": "hyperinflation",
    "granuloma": "granuloma", "scar": "scarring", "aortic_disease": "tortuous aorta",
    "degenerative_spine": "degenerative changes", "spinal_curvature": "scoliosis", "device": "catheter",
    "elevated_diaphragm": "elevated diaphragm", "hernia": "hiatal hernia", "lung_opacity": "opacity",
    "pleural_thickening": "pleural thickening", "interstitial_markings": "prominent interstitial markings",
}  # fmt: skip
TEMPLATES = ("{} without {}", "{}, no {}", "{} but no {}", "{} and no evidence of {}")


class Truth:
    """What the coding and the reports say of each study."""

    def __init__(self, library: Library) -> None:
        self.ids = library.ids()
        records = {study: library.get(study) for study in self.ids}
        self.headings = {study: {Term.parse(term).heading for term in r.terms or ()} for study, r in records.items()}
        self.labels = {study: set(record.labels or ()) for study, record in records.items()}
        self.said = library.assertions(self.ids)

    def coded(self, study: str, code: str) -> bool:
        finding = search_findings().get(code)
        return code in self.labels[study] if finding is None else bool(finding.headings & self.headings[study])

    def asserted(self, study: str, code: str) -> bool:
        told = [each for each in self.said[study] if each.section in ("findings", "impression")]
        return polarity(told, code) in FOUND


def uncoded(file: Path, folder: Path) -> Path:
    """A copy of a library in which nobody coded anything."""
    copy = folder / "uncoded.sqlite"
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE study SET labels = NULL, terms = NULL")
        target.execute("DELETE FROM label")
    return copy


def questions(truth: Truth) -> Iterator[tuple[str, str, str]]:
    """Pairs of findings of different labels, coded together in some study, the first without the second in ten."""
    random = np.random.default_rng(0)
    coded = {code: {study for study in truth.ids if truth.coded(study, code)} for code in WORDS}
    pairs = [
        (a, b)
        for a, b in product(WORDS, WORDS)
        if label_of(a) != label_of(b) and coded[a] & coded[b] and len(coded[a] - coded[b]) >= K
    ]
    for number, at in enumerate(random.permutation(len(pairs))[:QUESTIONS]):
        a, b = pairs[at]
        yield TEMPLATES[number % len(TEMPLATES)].format(WORDS[a], WORDS[b]), a, b


def interval(shares: list[float], unit: str) -> dict[str, Any]:
    """Mean with a 95 % bootstrap interval over the questions."""
    values = np.array(shares)
    means = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"value": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4),
            "n": len(values), "unit": unit}  # fmt: skip


def without(checkpoint: Checkpoint, library: Library, truth: Truth) -> dict[str, Any]:
    rows: dict[str, list[float]] = {
        name: [] for name in ("either", "coding", "assertions", "has_a", "embedding_alone", "found")
    }
    misread, violations = [], []
    for text, a, b in questions(truth):
        query = Query.read(text).with_options(k=K)
        if query.absent != (Wanted(b),) or Wanted(a) not in query.present:
            misread.append(text)
        found = [n.study_id for n in search(query, checkpoint, library).neighbours]
        coded, said = ([judge(study, b) for study in found] for judge in (truth.coded, truth.asserted))
        rows["found"].append(len(found))
        rows["coding"].append(sum(coded) / max(1, len(found)))
        rows["assertions"].append(sum(said) / max(1, len(found)))
        rows["either"].append(sum(x or y for x, y in zip(coded, said, strict=True)) / max(1, len(found)))
        rows["has_a"].append(
            sum(truth.coded(study, a) or truth.asserted(study, a) for study in found) / max(1, len(found))
        )
        violations += [{"question": text, "study": study} for study, bad in zip(found, coded, strict=True) if bad]
        vector = embedded(checkpoint, query.sentence())
        plain = [study for study, _ in library.nearest(vector, mode="text", k=K)]
        rows["embedding_alone"].append(sum(truth.coded(study, b) or truth.asserted(study, b) for study in plain) / K)
    table = {name: interval(shares, f"share of the first {K}") for name, shares in rows.items() if name != "found"}
    return {**table, "answers": float(np.mean(rows["found"])), "misread": misread, "coding_violations": violations}


def embedded(checkpoint: Checkpoint, text: str) -> npt.NDArray[np.float32]:
    ((_, vectors),) = embed([Study("question", report=Report.from_sections(findings=text))], checkpoint)
    return vectors["text"]


def like_without(library: Library, truth: Truth, test: set[str]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    asked = [
        (study, code)
        for study in sorted(test & set(truth.ids))
        for code in WORDS
        if truth.coded(study, code) and truth.asserted(study, code)
    ]
    chosen = [asked[at] for at in sorted(random.permutation(len(asked))[:QUESTIONS])]
    table: dict[str, Any] = {}
    modes: tuple[Mode, ...] = ("image", "text", "joint")
    for mode in modes:
        kept, similar = [], []
        for study, code in chosen:
            vector = library.vectors([study], mode).get(study)
            if vector is None:
                continue
            base = Query(k=K, target=mode, fold=False)
            free, _, _ = ask(library, base, QueryEmbedding(vector, mode), exclude=(study,))
            bound, _, _ = ask(
                library, replace(base, absent=(Wanted(code),)), QueryEmbedding(vector, mode), exclude=(study,)
            )
            kept.append(sum(not truth.coded(n.study_id, code) for n in bound) / len(bound))
            cosines = [np.mean([n.parts[0].value for n in found]) for found in (bound, free)]
            similar.append(float(cosines[0] / cosines[1]))
        table[mode] = {
            "kept": interval(kept, f"share of the first {K} without the finding, by the coding"),
            "similarity_kept": interval(similar, "mean cosine over the unconstrained one"),
        }
    return table


def timed(checkpoint: Checkpoint, library: Library, texts: list[str]) -> dict[str, Any]:
    for text in texts[:20]:
        search(text, checkpoint, library)
    took = []
    for text in texts:
        started = time.perf_counter()
        search(text, checkpoint, library)
        took.append(1000 * (time.perf_counter() - started))
    p50, p95 = np.percentile(took, (50, 95))
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "n": len(took)}


def main() -> None:

    file, checkpoint = Path(sys.argv[1]), load_checkpoint(sys.argv[2] if len(sys.argv) > 2 else "compact", threads=1)
    split = Split.load("openi-v1")
    with Library.open(file, model=checkpoint.fingerprint) as library:
        if library.status().outdated:
            library.reindex()
        truth = Truth(library)
        times = timed(checkpoint, library, [text for text, _, _ in questions(truth)])
    with tempfile.TemporaryDirectory() as folder, Library.open(uncoded(file, Path(folder))) as bare:
        words, like = without(checkpoint, bare, truth), like_without(bare, truth, set(split.ids("test")))
    body = {
        "model": checkpoint.fingerprint,
        "studies": len(truth.ids),
        "split": {"name": split.name, "sha256": split.digest},
        "a_without_b": words,
        "like_without_x": like,
        "time": times,
    }
    headline = {
        "without_violations_at10": words["either"],
        "composed_kept_at10": like["image"]["kept"],
        "composed_similarity_kept": like["image"]["similarity_kept"],
        "query_p95_ms": {"value": times["p95_ms"], "n": times["n"], "unit": "ms, text to answer, warm, one thread"},
    }
    write_result("composed", body, headline)
    for key, entry in headline.items():
        sys.stdout.write(f"{key}: {entry['value']}\n")


if __name__ == "__main__":
    main()
