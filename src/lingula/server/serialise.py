"""Answers as JSON, and where the pictures in them are found."""

from __future__ import annotations

import io
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.errors import InputError
from lingula.explanation.comparison import FindingPair, Why
from lingula.library import StudyRecord
from lingula.model.calibration import CUTS, Calibration
from lingula.page.contour import outline
from lingula.page.evidence import OUTLINES, drawable, place, trust_marks
from lingula.page.methods import method
from lingula.page.picture import display_scale, overlay_png, shrink
from lingula.page.report_runs import mentions, runs
from lingula.retrieval.region import RegionAnswer
from lingula.server.service import Case
from lingula.study import DISCLAIMER, Explanation, Mode, Radiograph, Report, Study

Map = npt.NDArray[np.float32]
MAP_SIDE = 512
LARGEST = 4096
"""Long side of a film sent in full."""


def case_json(case: Case) -> dict[str, Any]:
    body = case.analysis.to_json()
    kept = ("disclaimer", "study_id", "mode", "model", "library", "seconds", "answerable",
            "familiarity", "warnings", "predictions", "neighbours")  # fmt: skip
    report = case.study.report
    films = [film_json(film, film_url(case.case_id, row)) for row, film in enumerate(case.study.radiographs)]
    return {
        **{key: body[key] for key in kept},
        "case_id": case.case_id,
        "films": films,
        "report": report.text if report else None,
    }


def film_json(film: Radiograph, picture: str) -> dict[str, Any]:
    rows, columns = film.pixels.shape
    return {
        "image_id": film.image_id, "view": film.view, "rows": rows, "columns": columns, "decoder": film.decoder,
        "attributes": dict(film.attributes), "picture": picture,
    }  # fmt: skip


def study_json(record: StudyRecord) -> dict[str, Any]:
    films = [
        {"image_id": each.image_id, "view": each.view, "rows": each.rows, "columns": each.columns,
         "decoder": each.decoder, "attributes": dict(each.attributes), "picture": stored_url(record.study_id, row)}
        for row, each in enumerate(record.radiographs)
    ]  # fmt: skip
    return {
        "disclaimer": DISCLAIMER,
        "study_id": record.study_id,
        "films": films,
        "report": record.report.text if record.report else None,
        "labels": None if record.labels is None else list(record.labels),
        "age": record.age,
    }


def film_url(case_id: str, row: int) -> str:
    return f"/api/cases/{case_id}/films/{row}"


def stored_url(study_id: str, row: int) -> str:
    return f"/api/studies/{quote(study_id, safe='')}/films/{row}"


def explained_json(case: Case, explanation: Explanation, names: dict[str, str]) -> dict[str, Any]:
    """Everything about one explanation but the colours of its maps."""
    about, (drawn,) = method(explanation.method), drawable((explanation,))
    report = case.study.report or Report("", ())
    named = mentions(report, names)
    maps = []
    for row, (values, film) in enumerate(zip(drawn.maps, case.study.radiographs, strict=True)):
        rows, columns = film.pixels.shape
        paths = [outline(values, share, columns, rows) for share in OUTLINES]
        url = f"/api/cases/{case.case_id}/evidence/{explanation.label}/{explanation.method}/maps/{row}"
        maps.append(
            {"picture": url, "width": columns, "height": rows, "outlines": paths, "place": place(values)}
        )  # fmt: skip
    top = max((abs(token.score) for token in explanation.tokens if np.isfinite(token.score)), default=None)
    error = explanation.completeness_error
    return {
        "disclaimer": DISCLAIMER,
        "method": explanation.method,
        "method_name": about.name,
        "sentence": about.sentence,
        "unit": about.unit,
        "label": explanation.label,
        "label_name": names.get(explanation.label, explanation.label),
        "signed": explanation.signed,
        "top": display_scale(drawn.maps) if drawn.maps else top,
        "marks": list(trust_marks(explanation)),
        "completeness_error": error if error is not None and np.isfinite(error) else None,
        "maps": maps,
        "runs": [
            {"text": run.text, "level": run.level, "score": run.score, "heading": run.heading, "mention": run.mention}
            for run in runs(report, explanation.tokens, named)
        ],
        "mentions": [{"label": each.label, "name": names[each.label], "said": each.polarity} for each in named],
    }


def map_png(explanation: Explanation, film: int) -> bytes:
    """The colours of one map: indexed PNG with alpha, long side at most 512 px."""
    if film >= len(explanation.maps):
        raise InputError("not_found", f"there is no map of film {film}.")
    maps = tuple(np.nan_to_num(shrink(values, MAP_SIDE)) for values in explanation.maps)
    return overlay_png(maps[film], MAP_SIDE, scale=display_scale(maps), signed=explanation.signed)


def film_png(film: Radiograph, depth: Literal[8, 16], side: int) -> bytes:
    """A film drawn by us, never the bytes that were brought: 8-bit grey, or 16 bits as red (high) and green (low).

    A browser's canvas holds 8 bits a channel; with 16 in two channels a narrow window shows no steps.
    """
    pixels = np.clip(shrink(np.nan_to_num(film.pixels), min(side, LARGEST)), 0, 1)
    stream = io.BytesIO()
    if depth == 8:
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(stream, "PNG", compress_level=1)
    else:
        values = np.rint(pixels * 65535).astype(np.uint16)
        channels = (values >> 8).astype(np.uint8), (values & 255).astype(np.uint8), np.zeros(values.shape, np.uint8)
        Image.fromarray(np.stack(channels, -1)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def region_json(answer: RegionAnswer) -> dict[str, Any]:
    """The answer to a box, with the address of each film found."""
    body = answer.to_json()
    for each in body["neighbours"]:
        each["picture"] = stored_url(each["study_id"], each["region"]["film"])
    return body


def why_json(case: Case, found: Why, names: dict[str, str]) -> dict[str, Any]:
    """A comparison with its regions in shares of the films and its words as text."""
    both = found.similarity
    texts = [side.study.report.text if side.study.report else "" for side in (both.one, both.other)]

    def region(place: tuple[int, int, int, int, int], study: Study) -> dict[str, Any]:
        film, x, y, width, height = place
        rows, columns = study.radiographs[film].pixels.shape
        edges = {"x": x / columns, "y": y / rows, "width": width / columns, "height": height / rows}
        return {"film": film, **{name: round(value, 5) for name, value in edges.items()}}

    def pair(each: FindingPair) -> dict[str, Any]:
        name = names.get(each.finding, each.finding)
        return {"finding": each.finding, "name": name, "query": each.one, "neighbour": each.other}

    url = f"/api/cases/{case.case_id}/why/{quote(found.study_id, safe='')}/maps"
    films = {"query": both.one.maps, "neighbour": both.other.maps}
    shares = [("films", both.one.image), ("report", both.one.text)]
    return {
        "disclaimer": DISCLAIMER,
        "study_id": found.study_id,
        "mode": found.mode,
        "rank": found.rank,
        "score": round(both.score, 6),
        "shares": [{"name": name, "score": round(score, 6)} for name, score in shares if score],
        "matched": [
            {"score": round(each.score, 6), "query": region(each.one, both.one.study),
             "neighbour": region(each.other, both.other.study)}
            for each in both.matches
        ],
        "sentences": [
            {"score": round(each.score, 6), "query": texts[0][slice(*each.one)],
             "neighbour": texts[1][slice(*each.other)]}
            for each in both.sentences
        ],
        "shared": [pair(each) for each in found.shared],
        "differing": [pair(each) for each in found.differing],
        "changes": [
            {"kind": each.kind, "found": each.found, "rank_before": each.rank_before, "rank_after": each.rank_after,
             "regions": [region(place, both.one.study) for place in each.places],
             "words": [texts[0][slice(*span)] for span in each.words]}
            for each in found.changes
        ],
        "maps": {side: [f"{url}/{side}/{row}" for row in range(len(maps))] for side, maps in films.items()},
    }  # fmt: skip


def why_png(found: Why, side: Literal["query", "neighbour"], film: int) -> bytes:
    """What each part of one film adds to the similarity, both sides on one scale."""
    both = found.similarity
    maps = {"query": both.one.maps, "neighbour": both.other.maps}[side]
    if film >= len(maps):
        raise InputError("not_found", f"there is no map of film {film}.")
    scale = display_scale([shrink(values, MAP_SIDE) for values in (*both.one.maps, *both.other.maps)])
    return overlay_png(shrink(maps[film], MAP_SIDE), MAP_SIDE, scale=scale, signed=True)


def operating_json(calibration: Calibration, codes: tuple[str, ...], mode: Mode) -> dict[str, Any]:
    def plain(values: npt.NDArray[np.float64]) -> list[float | None]:
        return [None if np.isnan(value) else round(float(value), 4) for value in values]

    names = ("sensitivity", "specificity")
    own = [dict(zip(names, plain(both), strict=True)) for both in calibration.at_threshold()]
    points = {
        code: {**dict(zip(names, map(plain, both), strict=True)), "own": at}
        for code, both, at in zip(codes, calibration.operating, own, strict=True)
    }
    return {"disclaimer": DISCLAIMER, "mode": mode, "cuts": CUTS.tolist(), "labels": points}


__all__ = [
    "case_json", "explained_json", "film_json", "film_png", "film_url", "map_png", "operating_json",
    "stored_url", "study_json",
]  # fmt: skip
