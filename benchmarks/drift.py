"""Are changes of a sender's films found, and how often is one seen that is none?

    python benchmarks/drift.py FOLDER [KEPT]

``FOLDER`` holds ``openi`` (``images``, ``images.csv``, ``reports.jsonl``) and ``films_more`` (children). A sender sends
films of studies the model did not learn from, three in ten studies abnormal, frontals as PA, laterals as LL; the first
are its baseline, then come clean weeks. Eight changes are planted after the baseline, in several draws each: found is
what is a signal within 200 films in most of them. Clean weeks are drawn in several orders; signals in them are false
alarms. Films go through the polarity test, the model and its gate as in ``lingula node``. ``KEPT`` is a file in which
what was seen is kept: a run that was stopped goes on from there.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingula.analysis import analyze
from lingula.library.observation_records import FilmObservation
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.node.drift import BASELINE, signals_of
from lingula.node.film_measures import observations, picture_measures, refusal
from lingula.openi.splits import Split
from lingula.reading.view_classifier import with_views
from lingula.study import Radiograph, Study
from machine import write_result

SEED, WITHIN, WEEKS, ORDERS, PLANTED, ABNORMAL = 3, 200, 20, 20, 3, 0.3
CR, MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.2"
HEADER = {"SOPClassUID": CR, "Modality": "CR"}

Picture = np.ndarray
Change = Callable[[Picture, np.random.Generator], Picture]


class Films:
    """Films of studies the model did not learn from, by whether the study is coded as normal."""

    def __init__(self, folder: Path) -> None:
        split = Split.load("openi-v1")
        held = {*split.test, *split.validation}
        coded = {}
        for line in (folder / "openi/reports.jsonl").read_text().splitlines():
            report = json.loads(line)
            coded[str(report["uid"])] = [term.lower() for term in report["mesh_major"]]
        self.studies: dict[bool, list[list[tuple[Path, str]]]] = {True: [], False: []}
        by_study: dict[str, list[tuple[Path, str]]] = {}
        with (folder / "openi/images.csv").open() as table:
            for row in csv.DictReader(table):
                file = folder / "openi/images" / row["file"]
                if f"CXR{row['uid']}" in held and row["projection_kaggle"] in ("Frontal", "Lateral") and file.exists():
                    view = "PA" if row["projection_kaggle"] == "Frontal" else "LL"
                    by_study.setdefault(row["uid"], []).append((file, view))
        for uid, films in sorted(by_study.items()):
            if coded.get(uid):
                self.studies[coded[uid] == ["normal"]].append(films)
        with (folder / "films_more/films.csv").open() as table:
            self.children = [folder / "films_more" / row["path"] for row in csv.DictReader(table)
                             if row["source"] == "kermany_paediatric"]  # fmt: skip


class Seen:
    """What the node would see of a study, asked of the model once for each picture.

    Args:
        kept: a file that outlives the run; None for none.
    """

    def __init__(self, model: Checkpoint, kept: Path | None) -> None:
        self._model, self._kept = model, kept
        self._known: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text()) if kept and kept.exists() else {}
        self.asked = 0

    def __call__(
        self, films: Sequence[tuple[Path, str]], change: Change | None = None, name: str = "", seed: int = 0
    ) -> list[FilmObservation]:
        key = " ".join([name.replace(" ", "_"), str(seed), *(file.name for file, _ in films)])
        if key not in self._known:
            self._known[key] = self._look([file for file, _ in films], change, np.random.default_rng(seed))
            self.asked += 1
            if self._kept is not None and self.asked % 50 == 0:
                self.keep()
        found = []
        for seen, (_, view) in zip(self._known[key], films, strict=True):
            values = dict(seen)
            is_lateral = values.pop("is_lateral")
            found.append(FilmObservation(**values, view_fault=is_lateral == (view == "PA")))
        return found

    def keep(self) -> None:
        """Write what is known, whole or not at all."""
        if self._kept is not None:
            (part := self._kept.with_suffix(".part")).write_text(json.dumps(self._known))
            part.replace(self._kept)

    def _look(self, files: Sequence[Path], change: Change | None, rng: np.random.Generator) -> list[dict[str, Any]]:
        read = []
        for number, file in enumerate(files):
            pixels = np.asarray(Image.open(file).convert("L"), np.float32) / 255
            pixels = change(pixels, rng) if change is not None else pixels
            read.append(Radiograph(f"film {number}", np.clip(pixels, 0, 1).astype(np.float32)))
        study = with_views(Study("study", tuple(read)))
        analysis = analyze(study, self._model, methods=())
        headers = [(film, HEADER) for film in study.radiographs]
        normal = self._model.vocabulary.normal
        seen = observations(analysis, headers, node="node", sender="ROOM", at=0.0, normal=normal)
        lateral = {each.image_id: each.projection == "lateral" for each in analysis.films}
        told = []
        for each, film in zip(seen, study.radiographs, strict=True):
            values = asdict(each) | {"is_lateral": lateral.get(film.image_id, False)}
            del values["view_fault"]
            told.append(values)
        return told


def stream(films: Films, rng: random.Random, abnormal: float = ABNORMAL) -> Iterator[list[tuple[Path, str]]]:
    """Studies in a random order, this share of them abnormal, each once."""
    left = {normal: rng.sample(some, len(some)) for normal, some in films.studies.items()}
    while left[True] and left[False]:
        yield left[rng.random() >= abnormal].pop()


def banded(pixels: Picture, rng: np.random.Generator) -> Picture:
    """With a black band at the lower edge and a line of words in it."""
    image = Image.fromarray((255 * pixels).astype(np.uint8))
    height = max(round(0.06 * image.height), 8)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height - height, image.width, image.height), fill=0)
    words = f"ROOM {rng.integers(9)}  {rng.integers(1e6):06}  85 KV 2 MAS"
    draw.text((6, image.height - height), words, fill=255, font=ImageFont.load_default(height - 4))
    return np.asarray(image, np.float32) / 255


def noisier(pixels: Picture, rng: np.random.Generator) -> Picture:
    """With twice the noise."""
    sigma = max(picture_measures(pixels)["noise"], 1 / 255)
    return pixels + rng.normal(0, np.sqrt(3) * sigma, pixels.shape).astype(np.float32)


CHANGES: dict[str, Change] = {
    "other gain": lambda pixels, rng: 1.25 * pixels,
    "burnt-in band": banded,
    "doubled noise": noisier,
}


def planted(name: str, films: Films, seen: Seen, rng: random.Random) -> list[FilmObservation]:
    """At least ``WITHIN`` films with one change."""
    found: list[FilmObservation] = []
    studies = stream(films, rng, 2 * ABNORMAL if name == "prevalence x 2" else ABNORMAL)
    children = rng.sample(films.children, WITHIN)
    while len(found) < WITHIN:
        study = next(studies)
        if name in CHANGES:
            found += seen(study, CHANGES[name], name, len(found))
        elif name == "inverted 5 %":
            turned = rng.random() < 0.05
            found += seen(study, (lambda pixels, rng: 1 - pixels) if turned else None, "inverted" if turned else "")
        elif name == "laterals sent as PA":
            found += seen([(file, "PA") for file, _ in study])
        elif name == "children":
            found += seen([(children[len(found)], "PA")])
        elif name == "new SOP class":
            is_new = rng.random() < 0.05
            other = refusal({"SOPClassUID": MAMMOGRAPHY, "Modality": "MG"}, "unsupported_modality", node="node",
                            sender="ROOM", at=0.0)  # fmt: skip
            found += [other] if is_new else seen(study)
        else:
            found += seen(study)
    return found[:WITHIN]


DRAWS = {"prevalence x 2": 10}
"""Of a change that is near the limit of what 200 films can tell; ``PLANTED`` of every other."""
DRIFTS = ("inverted 5 %", "other gain", "laterals sent as PA", "children", "burnt-in band", "doubled noise",
          "prevalence x 2", "new SOP class")  # fmt: skip


def main() -> None:
    kept = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    begun, films, seen = time.process_time(), Films(Path(sys.argv[1])), Seen(load_checkpoint("compact"), kept)
    alarms, clean, weeks = [], 0, 0
    baselines: list[list[FilmObservation]] = []
    for order in range(ORDERS):
        rng = random.Random(1000 * SEED + order)
        came = [film for study in stream(films, rng) for film in seen(study)]
        baseline, later = came[:BASELINE], came[BASELINE:]
        baselines.append(baseline)
        clean, weeks = clean + len(later), weeks + WEEKS
        alarms += [(order, each.measure, each.films) for each in signals_of([*baseline, *later])]
    drifts = {}
    for name in DRIFTS:
        at = []
        for order, baseline in enumerate(baselines[: DRAWS.get(name, PLANTED)]):
            rng = random.Random(2000 * SEED + order)
            told = signals_of([*baseline, *planted(name, films, seen, rng)])
            at.append(min(((each.films, each.measure) for each in told), default=None))
        drifts[name] = {"found": sum(each is not None for each in at), "of": len(at), "first": at}
        print(json.dumps({name: drifts[name]}), file=sys.stderr)
    seen.keep()
    found = sum(2 * each["found"] > each["of"] for each in drifts.values())
    shares = sum(each["found"] / each["of"] for each in drifts.values())
    draws = sum(each["of"] for each in drifts.values())
    per_weeks = len(alarms) / ORDERS
    headline = {
        "drifts_found": {
            "value": found,
            "unit": f"of {len(DRIFTS)} changes, within {WITHIN} films in most draws",
            "n": draws,
        },
        "drift_false_alarms": {
            "value": per_weeks,
            "unit": f"signals in {WEEKS} clean weeks, all measures",
            "n": ORDERS,
        },
    }
    figures = {"baseline": BASELINE, "drifts": drifts, "mean_share_found": shares / len(DRIFTS),
               "false_alarms": alarms, "orders": ORDERS, "clean_films": clean,
               "films_a_week": round(clean / weeks, 1), "studies_asked": seen.asked, "seed": SEED,
               "cpu_seconds": round(time.process_time() - begun, 1)}  # fmt: skip
    write_result("drift", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
