"""Two checkpoints on the same studies: paired differences, resample by resample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from lingula.errors import InputError
from lingula_lab.evaluation.run import Evaluation
from lingula_lab.measures.bootstrap import Resamples, figure, p_value
from lingula_lab.measures.classification import supported, weighted_ap, weighted_auroc
from lingula_lab.measures.retrieval import MEASURES
from lingula_lab.measures.table import Figure, Row, Table

Doubles = npt.NDArray[np.float64]

ARRAYS, RESULTS = "scores.safetensors", "results.json"
COLUMNS = ("this", "other", "difference", "p")


def compare(this: Evaluation, other: Path, draws: Resamples) -> Table:
    """What both evaluated, this one's figure less the other's; p is two-sided from the paired bootstrap.

    Args:
        other: folder that an evaluation wrote.

    Raises:
        InputError: ``not_found``, or ``bad_request`` when the other was made on other studies or labels.
    """
    about, arrays = _read(other)
    same = ("split", "vocabulary", "data")
    if differ := [key for key in same if _identity(about, key) != _identity(this.about, key)]:
        message = f"{other} was evaluated with another {', '.join(differ)}."
        raise InputError("bad_request", message, "Only evaluations of the same studies and labels can be compared.")
    rows = []
    for key in this.arrays.keys() & arrays.keys() - {"targets"}:
        kind, *names = key.split("/")
        one, two = this.arrays[key], arrays[key]
        if kind == "scores" and not np.array_equal(one, two):
            rows += _scores(names[0], one, two, this.arrays["targets"], draws)
        elif kind == "retrieval" and not np.array_equal(one, two, equal_nan=True):
            rows += _retrieval(names, one, two, draws)
    rows.sort(key=lambda row: row.name)
    text = (
        f"This is model {this.about['model']}, the other {about['model']}. Each resample of studies is measured with "
        "both; the interval is that of the difference. What is the same in both is not listed."
    )
    return Table("against", "Against another checkpoint", text, "measure", COLUMNS, tuple(rows))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Doubles]]:
    if not (folder / RESULTS).is_file():
        raise InputError(
            "not_found", f"{folder} holds no evaluation: no {RESULTS}.", "Run lingula evaluate there first."
        )
    try:
        about: dict[str, Any] = json.loads((folder / RESULTS).read_text())["about"]
        arrays: dict[str, Doubles] = load_file(folder / ARRAYS)
    except (ValueError, KeyError, OSError, SafetensorError) as error:
        raise InputError("bad_request", f"{folder} holds no readable evaluation: {error!r}.") from error
    return about, arrays


def _identity(about: dict[str, Any], key: str) -> Any:
    """Films may have been prepared anew; studies and labels must be the same."""
    return about[key]["labels"] if key == "data" else about[key]["sha256"]


def _scores(name: str, one: Doubles, two: Doubles, targets: Doubles, draws: Resamples) -> list[Row]:
    labels = np.flatnonzero(supported(targets))
    rows = []
    for title, measure in (("AUROC macro", weighted_auroc), ("AP macro", weighted_ap)):
        values = [
            np.nanmean([measure(scores[:, i], targets[:, i], draws.counts) for i in labels], 0) for scores in (one, two)
        ]
        rows.append(_row(f"{name}: {title}", values[0], values[1], len(targets)))
    return rows


def _retrieval(names: list[str], one: Doubles, two: Doubles, draws: Resamples) -> list[Row]:
    known: npt.NDArray[np.bool_] = ~np.isnan(np.c_[one, two]).any(1)
    if not known.any():
        return []
    both = draws.of(known)
    protocol, search = names
    columns = [MEASURES.index(measure) for measure in ("P@5", "nDCG@10")]
    return [
        _row(
            f"{protocol}, {search}: {MEASURES[column]}",
            both.mean(one[known, column]),
            both.mean(two[known, column]),
            int(known.sum()),
        )
        for column in columns
    ]


def _row(name: str, one: Doubles, two: Doubles, n: int) -> Row:
    return Row(name, (figure(one, n), figure(two, n), figure(one - two, n), Figure(p_value(one - two), n=n)))
