"""What a newcomer waits for: a fresh clone, ``make demo`` and ``make test``, with wall time and peak memory of each.

    python benchmarks/fresh_clone.py

Clones the repository this file belongs to into an empty folder; the installations, of the base for the demo and of the
laboratory for the tests, are timed apart.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from pathlib import Path

from machine import write_result

ROOT = Path(__file__).resolve().parents[1]


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds, and MB of the largest process so far (children count once they have ended)."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return round(time.perf_counter() - started, 1), round(peak)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "lingula"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        base, _ = timed(["make", ".venv/base"], clone)
        demo, demo_mb = timed(["make", "demo"], clone)
        pages = sorted((clone / "demo").glob("*.html"))
        install, _ = timed(["make", ".venv/installed"], clone)
        test, test_mb = timed(["make", "test"], clone)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
    figures = {
        "commit": commit.stdout.strip(),
        "base_install_seconds": base,
        "install_seconds": install,
        "demo_seconds": demo,
        "demo_peak_mb": demo_mb,
        "demo_pages": len(pages),
        "test_seconds": test,
        "peak_mb_including_test": test_mb,
    }
    units = {"demo_seconds": "s", "demo_peak_mb": "MB", "test_seconds": "s"}
    write_result("fresh_clone", figures, {key: {"value": figures[key], "unit": unit} for key, unit in units.items()})


if __name__ == "__main__":
    main()
