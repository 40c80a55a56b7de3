"""Whether the base works where people have it: other Pythons, and beside a torch with a torchvision that does not fit.

    python benchmarks/environments.py [PYTHON …]

Each PYTHON (by default this one) gets a new environment with the base alone, the first of them a second one into which
torch and an ill-fitting torchvision were installed beforehand. In each the demonstration is made, a film of it
answered, and its library searched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import write_result

ROOT = Path(__file__).resolve().parents[1]
STUDIES = 12
ILL_FITTING = {"torch": "torch==2.13.0", "torchvision": "torchvision==0.26.0"}


def environment(python: str, others: dict[str, str]) -> dict[str, Any]:
    """What works in a new environment of one interpreter: seconds of each step, or what it said when it failed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LINGULA"))}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        inside = scratch / "environment" / "bin"
        pip = [inside / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        lingula = inside / "lingula"
        steps: dict[str, list[Any]] = {
            "environment": [python, "-m", "venv", scratch / "environment"],
            **{name: [*pip, *(["--no-deps"] if name == "torchvision" else []), it] for name, it in others.items()},
            "install": [*pip, str(ROOT)],
            "demo": [lingula, "demo", scratch / "demo", "--studies", STUDIES],
            "predict": [lingula, "predict", scratch / "film.dcm", "--json"],
            "search": [lingula, "search", "effusion", "--library", scratch / "demo" / "library.sqlite", "--json"],
        }
        done: dict[str, Any] = {}
        for name, command in steps.items():
            if name == "predict":
                film = min((scratch / "demo").rglob("*.dcm"))
                film.rename(scratch / "film.dcm")
            started = time.perf_counter()
            words = [str(word) for word in command]
            answer = subprocess.run(words, capture_output=True, text=True, env=clean, cwd=scratch, check=False)
            if answer.returncode:
                return {**done, "failed": name, "said": answer.stderr.strip()[-600:]}
            done[name] = round(time.perf_counter() - started, 2)
        return done


def main() -> None:
    pythons = sys.argv[1:] or [sys.executable]
    figures: dict[str, Any] = {}
    for python in pythons:
        told = subprocess.run([python, "-c", "import platform; print(platform.python_version())"],
                              capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
        figures[f"Python {told}"] = environment(python, {})
    figures[f"Python of the first, with {', '.join(ILL_FITTING.values())}"] = environment(pythons[0], ILL_FITTING)
    working = sum("failed" not in one for one in figures.values())
    headline = {"environments_working": {"value": working, "n": len(figures), "unit": "environments"}}
    write_result("environments", {"environments": figures}, headline)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
