"""What maps are worth finding by finding: the pointing game and AUPRC on films with boxes, against the mean box.

    python benchmarks/boxes.py BOXES [--methods contribution ...] [--keep] [--smooth]

BOXES is a folder with bbox.csv and images/ (NIH ChestX-ray14). The mean box of a finding is that of the other films.
``--keep`` writes what the maps of each label are worth, and the typical places, beside the package's explainers, where
``explain`` decides by them whether a map is given. ``--smooth`` tries widths of smoothing and sums of shifted films
for contributions; the width that ships was chosen so. Half a minute for the quick methods; 20 minutes each for
occlusion and integrated_gradients on one core. A method that is not named keeps the figures of the last run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from lingula.explanation import METHODS, explain, methods
from lingula.explanation.trust import keep_pointing
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.study import Pointing, Radiograph, Study
from lingula_lab.evaluation.explanation.boxes import read_boxes
from lingula_lab.evaluation.explanation.faithfulness import Map
from lingula_lab.evaluation.explanation.pointing import (
    CENTRE,
    LEAST,
    TYPICAL,
    BoxedLabel,
    BoxScores,
    boxed_labels,
    mean_box,
    score_boxes,
)
from lingula_lab.evaluation.explanation.tables import boxed_films, boxes_table
from lingula_lab.measures.table import Figure
from machine import earlier_result, write_result

QUICK = ("contribution", "attention", "gradcam")
WIDTHS = (0.0, 1 / 24, 1 / 16, 1 / 12, 1 / 10, 1 / 8, 1 / 6)
SEED, RESAMPLES = 0, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(QUICK), choices=METHODS)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--smooth", action="store_true")
    asked = parser.parse_args()
    checkpoint = load_checkpoint(asked.model, threads=asked.threads)
    rows = boxed_labels(boxed_films(read_boxes(asked.boxes)), checkpoint.vocabulary.codes)
    found = scores(checkpoint, rows, asked.methods)
    first = METHODS[0]
    known = previous(checkpoint.fingerprint)
    by_method = {**known.get("by_label", {}), **{name: plain(found.pointing(name)) for name in asked.methods}}
    table = boxes_table(found).to_json()
    table["rows"] = {**known.get("table", {}).get("rows", {}), **table["rows"]}
    body = {
        "model": checkpoint.fingerprint,
        "films": len({row.film.image_id for row in rows}),
        "seed": SEED,
        "least": LEAST,
        "table": table,
        "by_label": by_method,
        "smoothing": smoothing(checkpoint, rows) if asked.smooth else known.get("smoothing", {}),
    }
    print(write_result("boxes", body, headline(found, first) if first in asked.methods else known.get("headline", {})))
    if asked.keep:
        place = Path(str(files("lingula.explanation")))
        keep_pointing(
            place / "pointing.json", checkpoint.fingerprint, {name: found.pointing(name) for name in asked.methods}
        )
        (place / "typical_places.json").write_text(typical_places(rows))
    print(boxes_table(found).to_markdown())


def scores(checkpoint: Checkpoint, rows: Sequence[BoxedLabel], names: Sequence[str]) -> BoxScores:
    def mapped(film: Radiograph, label: str, method: str) -> Map:
        study = Study(film.image_id, (film,))
        return explain(study, checkpoint, label, methods=[method], mode="image", anyway=True)[0].maps[0]

    return score_boxes(
        rows, mapped, dict.fromkeys(names, len(rows)), lambda *done: None, resamples=RESAMPLES, seed=SEED
    )


def smoothing(checkpoint: Checkpoint, rows: Sequence[BoxedLabel]) -> dict[str, dict[str, Any]]:
    """Pointing, IoU and AUPRC of contributions by width of smoothing, over all findings."""
    found = {}
    shipped = methods.SMOOTH
    try:
        for width in WIDTHS:
            methods.SMOOTH = max(width, 1e-6)
            named = zip(("pointing", "IoU", "AUPRC"), over_all(scores(checkpoint, rows, METHODS[:1])), strict=True)
            found[f"{width:.4f}"] = {name: entry(each) for name, each in named}
    finally:
        methods.SMOOTH = shipped
    return found


def over_all(found: BoxScores) -> tuple[Figure, ...]:
    return found.figures(METHODS[0], found.first)


def headline(found: BoxScores, method: str) -> dict[str, dict[str, Any]]:
    every = found.first
    values = {
        "pointing_game": found.figures(method, every)[0],
        "pointing_prior": found.figures(TYPICAL, every)[0],
        "pointing_game_centre": found.figures(CENTRE, every)[0],
        "pointing_gain_prior": found.figures(method, every, against=TYPICAL)[0],
        "map_auprc": found.figures(method, every)[2],
        "map_auprc_prior": found.figures(TYPICAL, every)[2],
        "map_auprc_gain_prior": found.figures(method, every, against=TYPICAL)[2],
    }
    paired = {"pointing_gain_prior": "share, paired difference", "map_auprc_gain_prior": "AUPRC, paired difference"}
    return {
        key: {**entry(each), "unit": paired.get(key, "AUPRC" if "auprc" in key else "share")}
        for key, each in values.items()
    }


def entry(found: Figure) -> dict[str, Any]:
    rounded = {name: round(getattr(found, name), 4) for name in ("value", "low", "high")}
    return {**rounded, "n": found.n}


def plain(found: dict[str, Pointing]) -> dict[str, Any]:
    return {
        label: {
            "n": each.films,
            "pointing": {"value": round(each.share, 4), "low": round(each.low, 4), "high": round(each.high, 4)},
            "blind_point": round(each.area, 4),
            "typical_place": round(each.typical, 4),
            "auprc": round(each.precision, 4),
            "auprc_typical_place": round(each.typical_precision, 4),
            "localisable": each.localisable,
        }
        for label, each in found.items()
    }


def previous(model: str) -> dict[str, Any]:
    """The last result of the same model; nothing otherwise."""
    known = earlier_result("boxes")
    return known if known.get("model") == model else {}


def typical_places(rows: Sequence[BoxedLabel]) -> str:
    """The mean box of each label over all its films, in per cent, a row of the raster a line."""
    labels = {}
    for label in sorted({row.label for row in rows}):
        own = [row for row in rows if row.label == label]
        if len(own) >= LEAST:
            percent = np.rint(100 * mean_box(own)).astype(int).tolist()
            labels[label] = {"films": len(own), "percent": percent}
    about = "Mean boxes of radiologists (NIH ChestX-ray14), share of films covered at each place of a raster, per cent."
    lines = json.dumps({"about": about, "labels": labels}, indent=1)
    return _joined(lines)


def _joined(text: str) -> str:
    """Lists of numbers on one line."""
    import re

    return re.sub(r"\[\s+([\d\s,]+?)\s+\]", lambda found: f"[{' '.join(found.group(1).split())}]", text) + "\n"


if __name__ == "__main__":
    main()
