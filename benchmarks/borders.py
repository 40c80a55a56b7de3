"""What borders round a film do to the answers: with borders left out of the input, and with them in it.

Usage:  python benchmarks/borders.py OPENI [--films N]

OPENI holds ``images/``. Each of N films, chosen by a seed, is asked about as it is and inside bars and frames; the
largest change of a probability over all labels is averaged over films, and named views are compared.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.analysis import predict
from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.reading import preprocess
from lingula.reading.image_file import read_image
from lingula.reading.view_classifier import with_views
from lingula.study import Radiograph, Study
from machine import write_result

Array = npt.NDArray[np.float32]


def bordered(film: Array) -> dict[str, Array]:
    rows, columns = film.shape
    return {
        "frame, 120 black": np.pad(film, 120),
        "frame, 60 white": np.pad(film, 60, constant_values=1),
        "telephone, black above and below": np.pad(film, ((rows // 2, rows // 2), (0, 0))),
        "bars, grey left and right": np.pad(film, ((0, 0), (columns // 3, columns // 4)), constant_values=0.5),
    }


def answer(checkpoint: Checkpoint, film: Radiograph, pixels: Array) -> tuple[Array, str, bool]:
    """Probabilities (labels,), the view named, and whether the gate lets the film pass as one of a chest."""
    study = with_views(Study("film", (replace(film, pixels=np.ascontiguousarray(pixels)),)))
    passed = True
    try:
        said = predict(study, checkpoint)
    except InputError as error:
        if error.code != "not_a_chest_film":
            raise
        passed, said = False, predict(study, checkpoint, anyway=True)
    return np.array([each.probability for each in said], np.float32), study.radiographs[0].view, passed


def changes(checkpoint: Checkpoint, films: list[Radiograph]) -> dict[str, Any]:
    """Per kind of border: mean and largest change of a probability, how many films got another view, and how many
    passed the gate without it alone."""
    found: dict[str, list[tuple[float, bool, bool]]] = {}
    for film in films:
        plain, view, passes = answer(checkpoint, film, film.pixels)
        for kind, pixels in bordered(film.pixels).items():
            changed, other, passed = answer(checkpoint, film, pixels)
            change = float(np.abs(changed - plain).max())
            found.setdefault(kind, []).append((change, other != view, passes and not passed))
    return {
        kind: {
            "mean_change": round(float(np.mean([change for change, _, _ in each])), 4),
            "largest_change": round(max(change for change, _, _ in each), 4),
            "views_changed": sum(is_other for _, is_other, _ in each),
            "refused": sum(is_refused for _, _, is_refused in each),
        }
        for kind, each in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("openi", type=Path)
    parser.add_argument("--films", type=int, default=100)
    args = parser.parse_args()
    files = random.Random(1).sample(sorted((args.openi / "images").glob("*.jpg")), args.films)
    films = [read_image(file).radiograph for file in files]
    checkpoint = load_checkpoint("compact")
    cropped = sum(preprocess.content_box(film.pixels) != (0, 0, *film.pixels.shape) for film in films)
    left_out = changes(checkpoint, films)
    preprocess.BORDER = 1.0  # no border is ever that wide: all of the film is read
    result = {"films": len(films), "with_borders_of_their_own": cropped, "left_out": left_out,
              "read": changes(checkpoint, films)}  # fmt: skip
    mean = float(np.mean([each["mean_change"] for each in left_out.values()]))
    write_result(
        "borders", result, {"border_change": {"value": round(mean, 4), "unit": "probability", "n": len(films)}}
    )
    for name in ("left_out", "read"):
        print(name, *(f"\n  {kind}: {each}" for kind, each in result[name].items()))


if __name__ == "__main__":
    main()
