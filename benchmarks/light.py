"""What one question costs a machine: a cold command, a server, a film, a batch; and how near the graphs are to torch.

    python benchmarks/light.py FILM [--library LIBRARY] [--studies STUDIES] [--before TREE] [--rounds 5] [--only PART]

FILM is a radiograph, LIBRARY one filled by ``compact`` (for ``search``, ``serve`` and ``why``), STUDIES a study set
(``lingula prepare``) whose films and reports are answered by ONNX Runtime and by the trained model in torch. With
TREE, a checkout of another version that imports in this environment, the same is measured there in the same run, round
by round, and ratios are written (now / before). Parts: ``cold``, ``explain`` (``lingula explain --html``), ``serve``,
``encode``, ``why``, ``equal``. Each command is a process of its own; processor seconds and memory are those of the
process and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import earlier_result, write_result
from process_memory import Peak, resident

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("cold", "explain", "serve", "encode", "why", "equal")
LABEL = "pleural_effusion"
QUESTION = "effusion, no cardiomegaly"
_ENCODE = """
import contextlib, json, sys, time
import numpy as np
from lingula.model.checkpoint import load_checkpoint
try:
    from lingula.model.batch import collate
    quiet = contextlib.nullcontext
except ImportError:
    import torch
    from lingula.model.study_model import collate
    quiet = torch.inference_mode
model = load_checkpoint("compact").model
size = model.architecture.preprocessing.size
film = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
found = {}
for batch, rounds in ((1, 30), (16, 5)):
    films = collate([[(film, "frontal")]] * batch, [None] * batch, size=size, pad=0)
    spent = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        with quiet():
            model(films, ("image",))
        spent.append(time.perf_counter() - started)
    found[str(batch)] = 1000 * float(np.median(spent[2:]))
print(json.dumps(found))
"""
_WHY = """
import json, sys, time
import numpy as np
import lingula
model, study = lingula.load_checkpoint("compact"), lingula.read_study(sys.argv[1])
with lingula.Library.open(sys.argv[2], model=model.fingerprint) as library:
    other = lingula.analyze(study, model, library, methods=(), anyway=True).neighbours[0].study_id
    spent = []
    for _ in range(int(sys.argv[3]) + 1):
        started = time.perf_counter()
        lingula.why(study, other, model, library, mode="image")
        spent.append(1000 * (time.perf_counter() - started))
print(json.dumps(float(np.median(spent[1:]))))
"""


def python(tree: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """A command line of a tree's code, and its environment."""
    return [sys.executable, *words], {**os.environ, "PYTHONPATH": str(tree / "src")}


def command(tree: Path, *words: str) -> dict[str, float]:
    """Wall and processor seconds and peak MB of one ``lingula`` command."""
    line, environment = python(tree, "-m", "lingula", *words)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with Peak(process.pid) as peak:
        _, trouble = process.communicate()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(line)}: {trouble.decode()[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": used, "peak_mb": peak.bytes / 1e6}


def cold(tree: Path, asked: argparse.Namespace) -> dict[str, float]:
    library = ["--library", str(asked.library)] if asked.library else []
    found = {f"predict_{key}": value for key, value in command(tree, "predict", str(asked.film), "--json").items()}
    searched = command(tree, "search", QUESTION, *library, "--json")
    return {**found, **{f"search_{key}": value for key, value in searched.items()}}


def explaining(tree: Path, asked: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return command(tree, "explain", str(asked.film), "--label", LABEL, "--html", str(Path(folder) / "why.html"))


def serving(tree: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds until the page is answered, and MB in memory then, of the server and its reading child."""
    words = ["-m", "lingula", "serve", "--library", str(asked.library), "--port", "0", "--json"]
    line, environment = python(tree, *words)
    started = time.perf_counter()
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # the address, once requests are taken
        seconds = time.perf_counter() - started
        time.sleep(2)
        return {"ready_seconds": seconds, "resident_mb": resident(process.pid) / 1e6}
    finally:
        process.terminate()
        process.wait()


def answer_of(tree: Path, code: str, *words: str) -> Any:
    line, environment = python(tree, "-c", code, *words)
    return json.loads(subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout)


def encoding(tree: Path, asked: argparse.Namespace) -> dict[str, float]:
    found = answer_of(tree, _ENCODE)
    return {"ms_batch1": found["1"], "images_per_second_batch16": 16_000 / found["16"]}


def reasons(tree: Path, asked: argparse.Namespace) -> dict[str, float]:
    return {"ms": answer_of(tree, _WHY, str(asked.film), str(asked.library), str(asked.rounds))}


MEASURES: dict[str, Callable[[Path, argparse.Namespace], dict[str, float]]] = {
    "cold": cold, "explain": explaining, "serve": serving, "encode": encoding, "why": reasons,
}  # fmt: skip


def measured(part: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds, least and most; with another tree the same of it, and ratios."""
    trees = {"now": ROOT, **({"before": asked.before} if asked.before else {})}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for number in range(asked.rounds + 1):  # the first warms the disk's cache
        for name, tree in trees.items():
            found = MEASURES[part](tree, asked)
            if number:
                rounds[name].append(found)
    figures: dict[str, Any] = {
        name: {
            key: {
                "median": round(float(np.median(values)), 3),
                "low": round(min(values), 3),
                "high": round(max(values), 3),
            }
            for key in some[0]
            for values in [[each[key] for each in some]]
        }
        for name, some in rounds.items()
    }
    if asked.before:
        figures["ratio"] = {
            key: round(figures["now"][key]["median"] / figures["before"][key]["median"], 3) for key in figures["now"]
        }
    return figures


def equal(asked: argparse.Namespace, count: int = 300) -> dict[str, Any]:
    """The largest differences between the graphs and the trained model on films and reports of a study set."""
    from lingula.model.batch import collate
    from lingula.model.checkpoint import load_checkpoint
    from lingula.model.forward import Forward
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.model.checkpoint import trained_model
    from lingula_lab.model.parts import TorchEngine

    data, deployed = StudySet.load(asked.studies), load_checkpoint("compact")
    trained = Forward(deployed.model.architecture, TorchEngine(trained_model(deployed)))
    preprocessing, tokenizer = deployed.model.architecture.preprocessing, deployed.tokenizer
    films = np.linspace(0, len(data.films) - 1, min(count, len(data.films))).astype(int)
    told = [report for report in data.reports if report and not report.is_empty][:count]
    worst: dict[str, float] = {}
    vectors: dict[str, list[list[Any]]] = {"image": [[], []], "text": [[], []]}
    for start in range(0, max(len(films), len(told)), 16):
        some, read = films[start : start + 16], told[start : start + 16]
        pixels = [preprocessing.normalised(data.films[film].astype(np.float32) / 255) for film in some]
        pairs = [[(one, data.views[film])] for one, film in zip(pixels, some, strict=True)]
        batches = {
            "image": (pairs, [None] * len(pairs)), "text": ([[] for _ in read], [tokenizer(report) for report in read])
        }  # fmt: skip
        for mode, (shown, words) in batches.items():
            if not shown:
                continue
            batch = collate(shown, words, size=preprocessing.size, pad=tokenizer.pad)
            one, other = (each(batch, (mode,))[mode] for each in (deployed.model, trained))
            p, q = (deployed.calibration[mode].probabilities(each.logits) for each in (one, other))
            _worse(worst, f"{mode}_probability", p, q)
            _worse(worst, f"{mode}_logit", one.logits, other.logits)
            _worse(worst, f"{mode}_embedding", one.embedding, other.embedding)
            for kept, output in zip(vectors[mode], (one, other), strict=True):
                kept.append(output.embedding)
    same = {f"{mode}_first_ten_same": _first_tens(*map(np.concatenate, both)) for mode, both in vectors.items()}
    return {"n": {"films": len(films), "reports": len(told)}, **worst, **same}


def _worse(worst: dict[str, float], key: str, one: Any, other: Any) -> None:
    worst[key] = max(worst.get(key, 0.0), float(np.abs(one - other).max()))


def _first_tens(one: Any, other: Any) -> float:
    """Share of studies whose ten nearest among the others are the same, in the same order up to ties of 6 decimals."""
    tens = []
    for vectors in (one, other):
        scores = np.round(vectors @ vectors.T, 6)
        np.fill_diagonal(scores, -np.inf)
        tens.append(np.argsort(-scores, 1, kind="stable")[:, :10])
    return float(np.mean([set(a) == set(b) for a, b in zip(*tens, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--studies", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=PARTS, choices=PARTS)
    asked = parser.parse_args()
    needs = {"serve": asked.library, "why": asked.library, "equal": asked.studies}
    parts: Sequence[str] = [part for part in asked.only if needs.get(part, True)]
    earlier = earlier_result("light")
    body: dict[str, Any] = {}
    for part in parts:
        body[part] = equal(asked) if part == "equal" else {"rounds": asked.rounds, **measured(part, asked)}
        print(part, json.dumps(body[part]))
    headline = {**earlier.get("headline", {}), **_headline(body, asked.rounds)}
    kept = {part: earlier[part] for part in PARTS if part in earlier and part not in body}
    write_result("light", {**kept, **body}, headline)


def _headline(body: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    rows = {
        "cold_predict_seconds": ("cold", "predict_seconds", "s"),
        "cold_predict_cpu_seconds": ("cold", "predict_cpu_seconds", "s"),
        "cold_search_seconds": ("cold", "search_seconds", "s"),
        "cold_peak_mb": ("cold", "predict_peak_mb", "MB, with the reading child"),
        "explain_html_seconds": ("explain", "seconds", "s"),
        "serve_ready_seconds": ("serve", "ready_seconds", "s"),
        "serve_resident_mb": ("serve", "resident_mb", "MB, with the reading child"),
        "encode_ms_batch1": ("encode", "ms_batch1", "ms"),
        "images_per_second_batch16": ("encode", "images_per_second_batch16", "images/s"),
        "why_ms": ("why", "ms", "ms, image mode"),
    }
    found: dict[str, dict[str, Any]] = {}
    for key, (part, name, unit) in rows.items():
        if part in body:
            at = body[part]["now"][name]
            found[key] = {"value": at["median"], "low": at["low"], "high": at["high"], "unit": unit, "n": rounds}
            if "ratio" in body[part]:
                found[key]["ratio_to_before"] = body[part]["ratio"][name]
    if "equal" in body:
        worst = max(body["equal"][f"{mode}_probability"] for mode in ("image", "text"))
        found["runtime_max_difference"] = {
            "value": worst, "unit": "probability", "n": sum(body["equal"]["n"].values())
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
