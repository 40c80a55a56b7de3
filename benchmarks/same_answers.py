"""Whether a version of the code answers as another one does: ``lingula analyze --json`` of real studies, byte by byte.

    python benchmarks/same_answers.py BEFORE COLLECTION LIBRARY [--studies 60] [--keep FOLDER] [--evaluate STUDYSET]

BEFORE is a checkout of the other version (``git worktree add BEFORE REVISION``), LIBRARY one that the shipped model
filled; each version is given a copy of it. Studies are drawn with the seed from those of the collection that have a
report and a film; with ``--keep``, a run of the same commits that was stopped goes on. Compared is all that is printed
but ``seconds``. With ``--evaluate``, so are all tables of ``lingula evaluate``. ``--given`` names files that BEFORE
gets from this version, data that were fitted anew, so that the code alone is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lingula.model.checkpoint import load_checkpoint
from lingula.openi import scan
from machine import write_result

ROOT = Path(__file__).resolve().parents[1]
DRIVER = """
import contextlib, io, json, sys
from lingula.cli.main import app
for files in json.load(sys.stdin):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            app(["analyze", *files, "--library", sys.argv[1], "--json"], standalone_mode=False)
        except Exception as error:
            printed.write(json.dumps(repr(error)))
    print(json.dumps(json.loads(printed.getvalue())), flush=True)
"""


def answers(tree: Path, studies: list[list[str]], library: Path, kept: Path) -> list[Any]:
    """What a version prints of each study, without the time it took; ``kept`` holds those of a run that was stopped."""
    there = len(kept.read_text().splitlines()) if kept.exists() else 0
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRIVER, str(library)]
    with kept.open("a") as out:
        subprocess.run(command, input=json.dumps(studies[there:]), env=environment, stdout=out, text=True, check=True)
    bodies = [json.loads(line) for line in kept.read_text().splitlines()]
    return [{**body, "seconds": None} if isinstance(body, dict) else body for body in bodies]


def tables(tree: Path, data: Path, collection: Path, out: Path) -> dict[str, bytes]:
    """The files of tables that a version writes into ``out``, by name; those of a run before are kept."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    command = [sys.executable, "-m", "lingula", "evaluate", "compact", "--data", data, "--out", out]
    if not (out / "results.md").exists():
        command += ["--collection", collection, "--reason", "the same tables before and after"]
        subprocess.run(list(map(str, command)), env=environment, check=True, stdout=subprocess.DEVNULL)
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.md"))}


def paths(value: Any, other: Any, at: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        return [p for key in sorted({*value, *other}) for p in paths(value.get(key), other.get(key), f"{at}.{key}")]
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        return [p for one, two in zip(value, other, strict=True) for p in paths(one, two, f"{at}[]")]
    return [] if value == other else [at]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("before", "collection", "library"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--evaluate", type=Path)
    parser.add_argument("--given", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    whole = [each for each in scan(given.collection).studies if each.images]
    drawn = random.Random(given.seed).sample(whole, given.studies)
    files = [[*(str(image.path) for image in each.images), "--text", each.report.report.text] for each in drawn]
    found: dict[str, list[Any]] = {}
    trees = {"before": given.before.resolve(), "after": ROOT}
    commits = {name: _commit(tree) for name, tree in trees.items()}
    for file in given.given:
        shutil.copy(ROOT / file, trees["before"] / file)
    with tempfile.TemporaryDirectory() as scratch:
        keep = given.keep or Path(scratch)
        kept = {name: keep / f"{name}-{commit[:12]}" for name, commit in commits.items()}
        for folder in kept.values():
            folder.mkdir(parents=True, exist_ok=True)
        for name, tree in trees.items():
            library = Path(scratch) / f"{name}.sqlite"
            shutil.copy(given.library, library)
            found[name] = answers(tree, files, library, kept[name] / "answers.jsonl")
        pairs = list(zip(found["before"], found["after"], strict=True))
        differing = sorted({place for one, two in pairs for place in paths(one, two)})
        body: dict[str, Any] = {
            "commits": commits,
            "studies": len(pairs),
            "same": sum(json.dumps(one) == json.dumps(two) for one, two in pairs),
            "refused": sum(isinstance(two, str) for _, two in pairs),
            "differing": differing,
            "fingerprint": load_checkpoint("compact").fingerprint,
            "seed": given.seed,
            "given": list(map(str, given.given)),
        }
        if given.evaluate:
            made = {
                name: tables(tree, given.evaluate, given.collection, kept[name] / "tables")
                for name, tree in trees.items()
            }
            count = _tables((kept["after"] / "tables" / "results.md").read_text())
            names = sorted({*made["before"], *made["after"]})
            same = [name for name in names if made["before"].get(name) == made["after"].get(name)]
            body["tables"] = {"files": names, "same": same, "tables": count}
    write_result("same_answers", body, {"same_answers": {"value": body["same"], "unit": "studies", "n": len(pairs)}})


def _tables(text: str) -> int:
    """How many tables a page holds: each has one line of dashes under its head."""
    return sum(set(line) <= set("|:- ") and "---" in line for line in text.splitlines() if line.startswith("|"))


def _commit(tree: Path) -> str:
    run = subprocess.run(["git", "-C", tree, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return run.stdout.strip()


if __name__ == "__main__":
    main()
