"""The test results of each method with each checkpoint; measured by ``lingula evaluate --explanations``.

``trust.json`` next to this module holds the results for shipped checkpoints, by fingerprint; ``pointing.json`` what
their maps are worth on films with boxes, by fingerprint, method and label (``benchmarks/boxes.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path

from lingula.study import Pointing, Trust

UNTESTED = ("contribution", "gradcam", "integrated_gradients")
"""What is shown for a checkpoint nobody tested: methods that answer for the label by construction."""


def trust_of(fingerprint: str, method: str) -> Trust | None:
    """The test results of a method with a checkpoint; None where there are none."""
    return _table().get(fingerprint, {}).get(method)


def pointing_of(fingerprint: str, method: str, label: str) -> Pointing | None:
    """What a method's maps for a label are worth on films with boxes; None where nobody measured it."""
    return _pointing().get((fingerprint, method, label))


def shown_methods(fingerprint: str, methods: Sequence[str]) -> tuple[str, ...]:
    """Of ``methods`` those shown unasked: that passed randomisation and class sensitivity with this checkpoint."""
    tested = _table().get(fingerprint)
    if tested is None:
        return tuple(name for name in methods if name in UNTESTED)
    return tuple(name for name in methods if name in tested and tested[name].passed)


def keep(path: Path, fingerprint: str, found: Mapping[str, Trust]) -> None:
    """Write the results of one checkpoint, alone, as a trust file."""
    body = {fingerprint: {name: {key: _short(v) for key, v in asdict(t).items()} for name, t in found.items()}}
    path.write_text(json.dumps(body, indent=1) + "\n")


def keep_pointing(path: Path, fingerprint: str, found: Mapping[str, Mapping[str, Pointing]]) -> None:
    """Write what the maps of one checkpoint are worth on boxes, method by method and label by label; methods that the
    file has of the same checkpoint and ``found`` lacks are kept."""
    body = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    rows = body.setdefault(fingerprint, {})
    for method, labels in found.items():
        rows[method] = {label: {key: _short(v) for key, v in asdict(p).items()} for label, p in labels.items()}
    path.write_text(json.dumps({fingerprint: rows}, indent=1) + "\n")


def _short(value: float | bool) -> float | bool:
    return round(value, 4) if isinstance(value, float) else value


@cache
def _table() -> dict[str, dict[str, Trust]]:
    body = json.loads(resources.files(__package__).joinpath("trust.json").read_text("utf-8"))
    return {mark: {name: Trust(**row) for name, row in rows.items()} for mark, rows in body.items()}


@cache
def _pointing() -> dict[tuple[str, str, str], Pointing]:
    body = json.loads(resources.files(__package__).joinpath("pointing.json").read_text("utf-8"))
    return {
        (mark, method, label): Pointing(**row)
        for mark, methods in body.items()
        for method, labels in methods.items()
        for label, row in labels.items()
    }
