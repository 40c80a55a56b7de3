"""The test results of each method with each checkpoint; measured by ``lingula evaluate --explanations``.

``trust.json`` next to this module holds the results for shipped checkpoints, by fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path

from lingula.study import Trust

UNTESTED = ("contribution", "gradcam", "integrated_gradients")
"""What is shown for a checkpoint nobody tested: methods that answer for the label by construction."""


def trust_of(fingerprint: str, method: str) -> Trust | None:
    """The test results of a method with a checkpoint; None where there are none."""
    return _table().get(fingerprint, {}).get(method)


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


def _short(value: float | bool) -> float | bool:
    return round(value, 4) if isinstance(value, float) else value


@cache
def _table() -> dict[str, dict[str, Trust]]:
    body = json.loads(resources.files(__package__).joinpath("trust.json").read_text("utf-8"))
    return {mark: {name: Trust(**row) for name, row in rows.items()} for mark, rows in body.items()}
