"""What a result file says of where it came from, and how the headline file is kept."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("onnxruntime", "torch", "transformers", "numpy", "scikit-learn", "pydicom", "faiss-cpu")


def machine() -> dict[str, Any]:
    """Processor, cores, Python and package versions."""
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    cores = sum(line.startswith("processor") for line in _cpuinfo())
    return {
        "processor": model,
        "cores": cores,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def earlier_result(name: str) -> dict[str, Any]:
    """What ``results/<name>.json`` holds of a former run; empty where there was none."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write_result(name: str, body: dict[str, Any], headline: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write ``results/<name>.json`` with machine and command, and its entries of ``results/headline.json``.

    ``headline`` maps a key to {"value", "unit"} and, where they make sense, "low", "high", "n".
    """
    arguments = (Path(word).name.upper() if Path(word).is_absolute() else word for word in sys.argv[1:])
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
    path = RESULTS / f"{name}.json"
    RESULTS.mkdir(exist_ok=True)
    entries = headline or {}
    path.write_text(
        json.dumps({**body, "headline": entries, "command": command, "machine": machine()}, indent=1) + "\n"
    )
    known = earlier_result("headline")
    for key, entry in entries.items():
        known[key] = {**entry, "source": f"benchmarks/results/{name}.json", "command": command}
    (RESULTS / "headline.json").write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return path


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    if file.exists():
        return file.read_text().splitlines()
    listing = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
    return [f"model name: {listing.stdout}"]
