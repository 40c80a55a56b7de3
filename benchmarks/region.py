"""Search by a box against search by the whole film: is the film with the same planted lesion among the first five?

    python benchmarks/region.py LIBRARY COLLECTION [--model compact] [--pairs 150] [--part test]

For each pair of studies one lesion (a nodule, a hazy opacity or a ring: kind, size, strength and place drawn with the
seed) is put into the frontal film of both, at the same place of the lung within two hundredths of the film, with an
outline of its own. One film asks, with a box around its lesion or as a whole; the other stands in the library in place
of its original, read, embedded and cut into patches as any import. The answer counts when it is among the first five of
all studies. The library must hold the whole collection. About 3 minutes on two quiet cores, and 3 more the first time
a library is searched by a box.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.library import Library, preview
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.encode import embed
from lingula.openi import load_many, scan
from lingula.openi.splits import Split
from lingula.reading.sandbox import Sandbox
from lingula.reading.view_classifier import with_views
from lingula.retrieval.region import Place, features, library_patches, search_region
from lingula.retrieval.region_index import Patches
from lingula.study import VIEWS, Radiograph, Study
from lingula_lab.evaluation.explanation.anatomy import LUNGS
from lingula_lab.measures.bootstrap import Resamples, figure
from machine import write_result

FIRST = 5
KINDS = {"nodule": 0.15, "opacity": 0.5, "ring": 0.15}
"""Softness of the edge, in radii."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """x, y and radius in shares of the film's width; ``strength`` of the remaining brightness is taken, (0, 1)."""

    kind: str
    x: float
    y: float
    radius: float
    strength: float

    @classmethod
    def draw(cls, number: int, film: Radiograph, rng: np.random.Generator) -> Lesion:
        kind = tuple(KINDS)[number % len(KINDS)]
        x, y, half_width, half_height = LUNGS[rng.integers(len(LUNGS))]
        turn, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 0.6))
        tall = film.pixels.shape[0] / film.pixels.shape[1]
        radius = rng.uniform(0.035, 0.07) * (1.3 if kind == "opacity" else 1)
        centre = x + half_width * far * np.cos(turn), (y + half_height * far * np.sin(turn)) * tall
        return cls(kind, *centre, radius, rng.uniform(0.25, 0.45))

    def nearby(self, rng: np.random.Generator) -> Lesion:
        """The same in another patient."""
        return replace(self, x=self.x + rng.uniform(-0.02, 0.02), y=self.y + rng.uniform(-0.02, 0.02))

    def put(self, film: Radiograph, rng: np.random.Generator) -> Radiograph:
        """The film with it, its outline drawn anew."""
        rows, columns = film.pixels.shape
        y, x = (np.mgrid[0:rows, 0:columns] + 0.5) / columns
        angle, far = np.arctan2(y - self.y, x - self.x), np.hypot(y - self.y, x - self.x)
        waves = [rng.uniform(0, 0.1) * np.cos(n * angle + rng.uniform(0, 2 * np.pi)) for n in (2, 3)]
        edge, soft = self.radius * (1 + sum(waves)), KINDS[self.kind] * self.radius
        share = _step((edge - far) / soft + 0.5)
        if self.kind == "ring":
            share *= 1 - 0.75 * _step((0.65 * edge - far) / soft + 0.5)
        pixels = film.pixels + self.strength * share * (1 - film.pixels)
        return replace(film, pixels=pixels.astype(np.float32), digest="")

    def box(self, film: Radiograph) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels, a fifth of the radius around it, cut at the film's edges."""
        rows, columns = film.pixels.shape
        x, y, reach = self.x * columns, self.y * columns, 1.2 * self.radius * columns
        left, top = max(round(x - reach), 0), max(round(y - reach), 0)
        return left, top, min(round(x + reach), columns) - left, min(round(y + reach), rows) - top


def _step(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inside = np.clip(values, 0, 1)
    return inside * inside * (3 - 2 * inside)


def studies_of(collection: Path, ids: list[str]) -> Iterator[Study]:
    """Studies with a frontal film, in the order asked."""
    files = {files.study_id: files for files in scan(collection)}
    with Sandbox() as sandbox:
        for study in load_many([files[study_id] for study_id in ids if study_id in files], sandbox):
            named = with_views(study)
            if any(film.view == "frontal" for film in named.radiographs):
                yield named


def frontal_row(study: Study) -> int:
    return next(row for row, film in enumerate(study.radiographs) if film.view == "frontal")


def as_stored(film: Radiograph) -> Radiograph:
    """The film at the resolution a library keeps it in."""
    return replace(film, pixels=preview.decode(preview.encode(film.pixels)).astype(np.float32) / np.float32(255))


def trial(
    checkpoint: Checkpoint, library: Library, patches: Patches, number: int, asks: Study, holds: Study,
    rng: np.random.Generator,
) -> tuple[int, int, bool]:  # fmt: skip
    """Rank of the study that holds the lesion by box and by whole film, and whether the box found is on the lesion."""
    film, other = (study.radiographs[frontal_row(study)] for study in (asks, holds))
    lesion = Lesion.draw(number, film, rng)
    theirs = lesion.nearby(rng)
    asked, planted = lesion.put(film, rng), theirs.put(other, rng)
    row = next(i for i, key in enumerate(patches.keys) if key[:2] == (holds.study_id, frontal_row(holds)))
    kept = patches.vectors[row].copy()
    reduced = patches.basis.reduced(features(checkpoint, [as_stored(planted)]), np.array([VIEWS.index("frontal")]))
    patches.vectors[row] = reduced[0]
    try:
        study = Study(asks.study_id, (asked,))
        answer = search_region(study, Place(0, *lesion.box(asked)), checkpoint, library, k=100, patches=patches)
    finally:
        patches.vectors[row] = kept
    by_box, inside = 101, False
    for found in answer.found:
        if found.neighbour.study_id == holds.study_id:
            by_box, at = found.neighbour.rank, found.place
            x, y = theirs.x * found.columns, theirs.y * found.columns
            inside = at.x <= x <= at.x + at.width and at.y <= y <= at.y + at.height
    films = tuple(planted if film is other else film for film in holds.radiographs)
    ((_, one), (_, two)) = embed([study, Study(holds.study_id, films)], checkpoint)
    gallery = library.gallery("image").whole()
    scores = np.round(gallery.vectors @ one["image"], 6)
    mine = round(float(two["image"] @ one["image"]), 6)
    better = sum(
        (-score, study_id) < (-mine, holds.study_id)
        for score, study_id in zip(scores.tolist(), gallery.ids, strict=True)
        if study_id not in (asks.study_id, holds.study_id)
    )
    return by_box, 1 + better, inside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()

    checkpoint, split, started = (
        load_checkpoint(asked.model, threads=asked.threads),
        Split.load("openi-v1"),
        time.perf_counter(),
    )
    rng = np.random.default_rng(asked.seed)
    with Library.open(asked.library, model=checkpoint.fingerprint) as library:
        patches = library_patches(checkpoint, library)
        made, known = time.perf_counter() - started, set(library.ids())
        ids = [study_id for study_id in getattr(split, asked.part) if study_id in known]
        order = [ids[i] for i in rng.permutation(len(ids))]
        studies = studies_of(asked.collection, order[: 2 * asked.pairs + 40])
        results = [
            trial(checkpoint, library, patches, number, asks, holds, rng)
            for number, (asks, holds) in zip(range(asked.pairs), zip(studies, studies, strict=False), strict=False)
        ]
        searched = len(library)
    ranks = np.array([result[:2] for result in results])
    found = (ranks <= FIRST).astype(np.float64)
    draws = Resamples.draw(len(found), seed=asked.seed)
    box, whole = (_entry(draws, found[:, column], "share") for column in (0, 1))
    gain = _entry(draws, 100 * (found[:, 0] - found[:, 1]), "points")
    kinds = {
        kind: {"box": round(float(found[i :: len(KINDS), 0].mean()), 3), "n": len(found[i :: len(KINDS)])}
        for i, kind in enumerate(KINDS)
    }
    on_it = np.array([inside for (rank, _, inside) in results if rank <= FIRST], np.float64)
    body = {
        "model": checkpoint.fingerprint,
        "split": {"name": split.name, "sha256": split.digest, "part": asked.part},
        "library_studies": searched,
        "seed": asked.seed,
        "first_five": {"box": box, "whole_film": whole},
        "median_rank": {"box": float(np.median(ranks[:, 0])), "whole_film": float(np.median(ranks[:, 1]))},
        "by_kind": kinds,
        "box_on_lesion": _entry(Resamples.draw(len(on_it), seed=asked.seed), on_it, "share") if len(on_it) else None,
        "patches_seconds": round(made, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(write_result("region", body, {"region_gain_points": gain}))
    print(body["first_five"], gain, body["median_rank"], kinds)


def _entry(draws: Resamples, values: npt.NDArray[np.float64], unit: str) -> dict[str, object]:
    known = figure(draws.mean(values), len(values))
    return {
        "value": round(known.value, 3), "low": round(known.low, 3), "high": round(known.high, 3), "n": known.n,
        "unit": unit,
    }  # fmt: skip


if __name__ == "__main__":
    main()
