"""Why-similar and region search on real studies: does the score add up, do the shares matter, is a region found?

    python benchmarks/similarity.py COLLECTION LIBRARY [--model compact] [--studies 40]

Test studies ask, image mode, neighbours from the library (training studies); seeded. Insertion and deletion of the
similarity: the asked film's places go (or come) by their share of the cosine, against random order. Under 4 minutes on
two quiet cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from lingula.explanation.similarity import similarity
from lingula.explanation.target import Target
from lingula.library import Library
from lingula.model.checkpoint import load_checkpoint
from lingula.openi.splits import Split
from lingula_lab.evaluation.explanation.faithfulness import CELLS, raster, similarity_areas
from lingula_lab.evaluation.explanation.tables import Plan, coded_cases
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.table import Figure
from machine import write_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--studies", type=int, default=40)
    asked = parser.parse_args()
    started, checkpoint, split = time.perf_counter(), load_checkpoint(asked.model), Split.load("openi-v1")
    cases = coded_cases(checkpoint, asked.collection, split.test, Plan(films=asked.studies // 2))
    studies = list({case.study.study_id: case.study.image_only() for case in cases}.values())[: asked.studies]
    rng = np.random.default_rng(0)
    errors, areas = [], []
    with Library.open(asked.library, model=checkpoint.fingerprint) as library:
        train = frozenset(split.train)
        for study in studies:
            question = Target.ask(checkpoint, study, checkpoint.vocabulary.codes[0], "image")
            vector = question.forward().embedding[0]
            exclude = {study_id for study_id in library.ids() if study_id not in train}
            (nearest,) = library.search(vector, mode="image", k=1, exclude=exclude)
            stored = library.vectors([nearest.study_id], "image")[nearest.study_id]
            found = similarity(study, library.study(nearest.study_id), checkpoint, "image", stored)
            errors.append(max(found.sum_error, abs(found.score - nearest.score)))
            order = raster(found.one.maps[0])
            chance = rng.random((CELLS, CELLS)).astype(np.float32)
            areas.append(
                [*similarity_areas(question, 0, order, stored), *similarity_areas(question, 0, chance, stored)]
            )
    draws = Resamples.draw(len(areas), seed=0)
    names = ("deletion", "insertion", "deletion_random", "insertion_random")
    shown = {
        name: _entry(f)
        for name, f in zip(names, (figure(v, len(areas)) for v in draws.mean(np.array(areas)).T), strict=True)
    }
    worst = {"value": float(max(errors)), "n": len(errors), "unit": "cosine"}
    body = {
        "model": checkpoint.fingerprint,
        "split": {"name": split.name, "sha256": split.digest, "part": "test"},
        "similarity": shown,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(write_result("similarity", body, {"similarity_sum_error": worst}))
    print(shown, worst)


def _entry(found: Figure) -> dict[str, object]:
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


if __name__ == "__main__":
    main()
