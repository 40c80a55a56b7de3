"""A sentence typed into search against films nobody reported: is the film it was written for among the first ten?

    python benchmarks/captions.py STUDY_SET [--part validation] [--model compact]

The impressions of a part (the findings where there is none) ask a library of the same studies' films alone, as a user
would: ``lingula search "…"``. A film counts when it is of the study, or of one with the same caption. Besides: the
model's embedding of the caption alone, and the 22 labels alone, what the caption's labels and the film's have in common
(the best of three ways, which favours them). No caption of the part was seen in training. *Written once* are captions
that no other study of the part has; the others are mostly of normal films. About 3 minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.analysis import search
from lingula.ingest.batches import create_library, store
from lingula.library import Entry, Library
from lingula.library import shipped_gallery as gallery
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.model.encode import embed, predict
from lingula.openi.splits import Split
from lingula.retrieval.hubness import SHARE, nearness
from lingula.retrieval.judge import judge
from lingula.retrieval.query import Query
from lingula.retrieval.relevance import label_evidence
from lingula.study import Radiograph, Report, Study
from lingula_lab.data.make_split import normalise
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.ledger import append_look, ledger_of
from lingula_lab.measures.bootstrap import Resamples, figure
from machine import write_result

FIRST, SEED = 10, 0
Doubles = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study_set", type=Path)
    parser.add_argument("--part", default="validation", choices=["validation", "test"])
    parser.add_argument("--model", default="compact")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    checkpoint, data = load_checkpoint(asked.model, threads=asked.threads), StudySet.load(asked.study_set)
    split = Split.load("openi-v1")
    if asked.part == "test":
        append_look(
            ledger_of("openi-v1"), split=split.digest, model=checkpoint.fingerprint, what="captions",
            reason="text to film on unseen captions",
        )  # fmt: skip
    films, captions = captioned(data, data.rows(sorted(split.ids(asked.part))))
    with tempfile.TemporaryDirectory() as folder, create_library(checkpoint, Path(folder) / "films.sqlite") as library:
        store(library, checkpoint, [Entry(study, {}) for study in films], [], lambda done: None)
        ids = sorted(library.ids())
        texts = [captions[study_id] for study_id in ids]
        searched = [searched_rank(checkpoint, library, ids, texts, row) for row in range(len(ids))]
        scores = {
            "embedding alone": embedded(checkpoint, library, ids, texts),
            **labelled(checkpoint, library, ids, texts),
        }
    same = np.array([[one == other for other in map(normalise, texts)] for one in map(normalise, texts)])
    ranks = {"search": np.array(searched), **{name: ranks_of(found, same) for name, found in scores.items()}}
    report(checkpoint, split, asked.part, ranks, same)


def captioned(data: StudySet, rows: npt.NDArray[np.int64]) -> tuple[list[Study], dict[str, str]]:
    """The films of studies that have a caption, without their reports, sorted by id; and the captions."""
    studies, captions = [], {}
    for row in rows:
        told, own = data.reports[row], data.films_of(row)
        caption = (told.section("impression") or told.section("findings")) if told else ""
        if len(own) and normalise(caption):
            pixels = (np.asarray(data.films[film], np.float32) / np.float32(255) for film in own)
            films = tuple(
                Radiograph(f"{data.ids[row]}-{place}", each, data.views[film])
                for place, (each, film) in enumerate(zip(pixels, own, strict=True))
            )
            studies.append(Study(data.ids[row], films))
            captions[data.ids[row]] = caption
    return sorted(studies, key=lambda study: study.study_id), captions


def searched_rank(
    checkpoint: Checkpoint, library: Library, ids: Sequence[str], texts: Sequence[str], row: int
) -> float:
    """Rank of the first film with the caption of a row; 101 where it is not among a hundred."""
    wanted = {other for other, text in zip(ids, texts, strict=True) if normalise(text) == normalise(texts[row])}
    answer = search(Query.read(texts[row]).with_options(k=100), checkpoint, library)
    return next((float(n.rank) for n in answer.neighbours if n.study_id in wanted), 101.0)


def embedded(checkpoint: Checkpoint, library: Library, ids: Sequence[str], texts: Sequence[str]) -> Doubles:
    """(N, N) captions against films, hubness taken off as search does across modes."""
    asked = [Study(each, report=Report.from_sections(impression=text)) for each, text in zip(ids, texts, strict=True)]
    words = np.stack([vectors["text"] for _, vectors in embed(asked, checkpoint)])
    held = library.vectors(ids, "image")
    films = np.stack([held[study_id] for study_id in ids])
    bank = gallery.bank(checkpoint.fingerprint, "text")
    taken = nearness(films, bank) if bank is not None else np.zeros(len(films))
    return np.asarray(words @ films.T - SHARE * taken, np.float64)


def labelled(checkpoint: Checkpoint, library: Library, ids: Sequence[str], texts: Sequence[str]) -> dict[str, Doubles]:
    """(N, N) by the 22 labels alone, in three ways; a film's labels as search judges films that nobody reported."""
    judged, held = judge(checkpoint), library.vectors(ids, "image")
    assert judged is not None
    asked = [Study(each, report=Report.from_sections(impression=text)) for each, text in zip(ids, texts, strict=True)]
    said = np.array([[p.probability for p in predict(study, checkpoint)] for study in asked])
    shown = np.asarray(judged.probabilities(np.stack([held[study_id] for study_id in ids])), np.float64)
    codes = checkpoint.vocabulary.codes
    normal = codes.index(checkpoint.vocabulary.normal) if checkpoint.vocabulary.normal else None
    evidence = np.stack([label_evidence(row, shown, normal) for row in said])
    odds_said, odds_shown = (
        np.log(np.clip(p, 1e-4, 1 - 1e-4) / (1 - np.clip(p, 1e-4, 1 - 1e-4))) for p in (said, shown)
    )
    centred = [odds - odds.mean(0) for odds in (odds_said, odds_shown)]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in centred]
    return {
        "labels: shared, overlap, normal": evidence.sum(2),
        "labels: likelihood": said @ np.log(shown.T + 1e-4) + (1 - said) @ np.log(1 - shown.T + 1e-4),
        "labels: cosine of log-odds": unit[0] @ unit[1].T,
    }


def ranks_of(scores: Doubles, same: npt.NDArray[np.bool_]) -> Doubles:
    """Rank of the first film with the caption asked; equal scores count against it."""
    best = np.where(same, scores, -np.inf).max(1)
    return np.asarray(1 + ((scores >= best[:, None]) & ~same).sum(1), np.float64)


def report(
    checkpoint: Checkpoint, split: Split, part: str, ranks: dict[str, Doubles], same: npt.NDArray[np.bool_]
) -> None:
    """Write R@10 of each way, over all captions and over those written once, which normal films mostly lack."""
    once = same.sum(1) == 1
    sets = {"all": np.ones(len(same), bool), "written once": once}
    tables = {name: table({way: found[rows] for way, found in ranks.items()}) for name, rows in sets.items()}
    for name, rows in sets.items():
        odds = [1 - np.prod(1 - row.sum() / (len(row) - np.arange(FIRST))) for row in same[rows]]
        tables[name]["chance"] = round(float(np.mean(odds)), 4)
    body = {
        "model": checkpoint.fingerprint,
        "split": {"name": split.name, "sha256": split.digest, "part": part},
        "seed": SEED,
        "captions": tables,
    }
    suffixes = {"all": "", "written once": "_once"}
    headline = {
        f"{key}{suffixes[name]}": found[row]
        for name, found in tables.items()
        for key, row in (
            ("caption_r10", "search"), ("caption_r10_labels", found["best of labels"]), ("caption_r10_gain", "gain")
        )
    }  # fmt: skip
    print(write_result("captions", body, headline))
    for name, found in tables.items():
        for row, values in found.items():
            print(f"{name:14s} {row:34s} {values}")


def table(ranks: dict[str, Doubles]) -> dict[str, Any]:
    """R@10 and median rank of each way, and how far search lies above the best of the labels, in pairs."""
    hits = {name: (found <= FIRST).astype(np.float64) for name, found in ranks.items()}
    draws = Resamples.draw(len(hits["search"]), seed=SEED)
    best = max((name for name in hits if name.startswith("labels")), key=lambda name: hits[name].mean())

    def entry(values: Doubles, unit: str = "share") -> dict[str, float | int | str]:
        found = figure(draws.mean(values), len(values))
        bounds = {"low": round(found.low, 4), "high": round(found.high, 4)}
        return {"value": round(found.value, 4), **bounds, "n": len(values), "unit": unit}

    rows = {name: {**entry(values), "median_rank": float(np.median(ranks[name]))} for name, values in hits.items()}
    gain = entry(hits["search"] - hits[best], "share, paired difference")
    return {**rows, "gain": gain, "best of labels": best}


if __name__ == "__main__":
    main()
