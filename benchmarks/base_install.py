"""What a user installs: packages, MB and seconds of the base in a new environment, beside another version of the tree.

    python benchmarks/base_install.py [OTHER_TREE]

A tree is installed without extras. MB are those of the environment's ``site-packages``, packages those that pip lists
there, without pip itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import write_result

ROOT = Path(__file__).resolve().parents[1]


def install(tree: Path) -> dict[str, float]:
    """Packages, MB and seconds of one tree's base."""
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", scratch], check=True)
        python = Path(scratch) / "bin" / "python"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(tree)]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - started
        listing = subprocess.run(
            [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
            capture_output=True,
            check=True,
        )
        names = {entry["name"] for entry in json.loads(listing.stdout)} - {"pip", "setuptools", "wheel"}
        (packages,) = (Path(scratch) / "lib").glob("python*/site-packages")
        size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    return {"packages": len(names), "mb": round(size / 1e6), "seconds": round(seconds, 1)}


def main() -> None:
    figures = {"now": install(ROOT)}
    if len(sys.argv) > 1:
        figures["before"] = install(Path(sys.argv[1]))
    now = figures["now"]
    headline = {
        "base_packages": {"value": now["packages"], "unit": "packages"},
        "base_install_mb": {"value": now["mb"], "unit": "MB"},
        "base_install_seconds": {"value": now["seconds"], "unit": "s"},
    }
    write_result("base_install", figures, headline)


if __name__ == "__main__":
    main()
