"""What the evidence is worth: insertion/deletion, randomisation, boxes, sides and words.

    python benchmarks/explanations.py COLLECTION [--model compact] [--films 120] [--keep]

Test studies only, drawn with a fixed seed. ``--keep`` writes the verdicts beside the package's explainers, where
``lingula explain`` finds them. Compiled encoders answer where no gradient is asked for (extra ``fast``). What a map
costs is in ``map_cost.py``, what it is worth on films with boxes in ``boxes.py``. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from lingula.explanation import METHODS
from lingula.explanation.trust import keep
from lingula.model.checkpoint import load_checkpoint
from lingula.openi.splits import Split
from lingula_lab.evaluation.explanation.tables import GAINS, Plan, coded_cases, measure
from lingula_lab.evaluation.ledger import append_look, ledger_of
from lingula_lab.measures.table import Figure
from machine import write_result

REASON = "the release: what the evidence of the shipped checkpoint is worth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--split", default="openi-v1")
    parser.add_argument("--part", default="test", choices=["test", "validation"])
    parser.add_argument("--films", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    checkpoint, started = load_checkpoint(asked.model, threads=asked.threads), time.perf_counter()
    plan = Plan(films=asked.films, slow=min(20, asked.films), reports=min(40, asked.films))
    told: dict[str, float] = {}

    def tell(stage: str, done: int, of: int) -> None:
        if stage not in told:
            told[stage] = time.perf_counter()
            sys.stderr.write(f"{told[stage] - started:6.0f} s  {stage}\n")

    split = Split.load(asked.split)
    if asked.part == "test":
        append_look(
            ledger_of(asked.split), split=split.digest, model=checkpoint.fingerprint, what="evidence", reason=REASON
        )  # fmt: skip
    cases = coded_cases(checkpoint, asked.collection, getattr(split, asked.part), plan, tell)
    found = measure(checkpoint, cases, plan=plan, told=tell)
    tables = {table.key: table for table in found.tables}
    first = METHODS[0]
    faithful, sides = tables["explanation_faithful"], tables["explanation_sides"]
    headline = {
        "ig_completeness_median": _entry(faithful.figure("integrated_gradients", "completeness"), "share"),
        "side_test": _entry(sides.figure(first, "all"), "share"),
        **{
            f"{kind}_auc{suffix}": _entry(faithful.figure(row, kind), "probability")
            for kind in ("deletion", "insertion")
            for row, suffix in ((first, ""), ("occlusion", "_occlusion"), ("random", "_random"), ("centre", "_centre"))
        },
        **{
            column.replace(" vs ", "_gain_"): _entry(faithful.figure(first, column), "probability, paired difference")
            for column in GAINS
        },
        "methods_passing_randomisation": _count(t.randomisation <= t.randomisation_pairs for t in found.trust.values()),
        "methods_shown": _count(trust.passed for trust in found.trust.values()),
    }
    body = {
        "model": checkpoint.fingerprint,
        "split": {"name": split.name, "sha256": split.digest, "part": asked.part},
        "seconds": round(time.perf_counter() - started, 1),
        "threads": asked.threads,
        "first_method": first,
        "tables": {key: table.to_json() for key, table in tables.items()},
    }
    print(write_result("explanations", body, headline))
    if asked.keep:
        keep(Path(str(files("lingula.explanation").joinpath("trust.json"))), checkpoint.fingerprint, found.trust)
    for table in found.tables:
        print(table.to_markdown())


def _count(held: Iterable[bool]) -> dict[str, object]:
    return {"value": sum(held), "n": len(METHODS), "unit": "methods"}


def _entry(found: Figure, unit: str) -> dict[str, object]:
    bounds = {} if np.isnan(found.low) else {"low": round(found.low, 4), "high": round(found.high, 4)}
    return {"value": round(found.value, 4), **bounds, "n": found.n, "unit": unit}


if __name__ == "__main__":
    main()
