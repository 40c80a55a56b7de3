"""Answers as JSON, and where the pictures in them are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from lingula.errors import InputError
from lingula.explanation import withheld
from lingula.explanation.comparison import Why
from lingula.library import StudyRecord
from lingula.model.calibration import CUTS, Calibration
from lingula.page.explained import ShownExplanation, shown_explanation
from lingula.page.picture import display_scale, grey, overlay_png, saved, shrink
from lingula.retrieval.region import RegionAnswer
from lingula.server.answers import LabelThresholds, OwnThreshold, ShownStudy, ThresholdCosts
from lingula.server.service import Case
from lingula.study import Explanation, Mode, Radiograph, ShownFilm

Map = npt.NDArray[np.float32]
MAP_SIDE = 512
LARGEST = 4096
"""Long side of a film sent in full."""


def case_json(case: Case) -> dict[str, Any]:
    """The answer of ``lingula analyze --json``, with the addresses of its films."""
    body = case.analysis.to_json()
    for row, film in enumerate(body["films"]):
        film["picture"] = film_url(case.case_id, row)
    return body


def shown_study(record: StudyRecord) -> ShownStudy:
    films = tuple(
        ShownFilm(
            image_id=each.image_id,
            view=each.view,
            rows=each.rows,
            columns=each.columns,
            decoder=each.decoder,
            attributes=dict(each.attributes),
            picture=stored_url(record.study_id, row),
        )
        for row, each in enumerate(record.radiographs)
    )
    report = record.report.text if record.report else None
    return ShownStudy(record.study_id, films, report, record.labels, record.age)


def film_url(case_id: str, row: int) -> str:
    return f"/api/cases/{case_id}/films/{row}"


def stored_url(study_id: str, row: int) -> str:
    return f"/api/studies/{quote(study_id, safe='')}/films/{row}"


def thumbnail_url(study_id: str, row: int) -> str:
    """Of a small picture of a stored film."""
    return f"/thumbnails/{quote(study_id, safe='')}/{row}"


def explained(case: Case, explanation: Explanation, names: dict[str, str], *, anyway: bool) -> ShownExplanation:
    """Everything about one explanation but the colours of its maps, which lie at their addresses; maps that point
    nowhere are left out, but with ``anyway``."""
    shown = shown_explanation(case.study, explanation if anyway else withheld(explanation), names)
    url = f"/api/cases/{case.case_id}/evidence/{explanation.label}/{explanation.method}/maps"
    return replace(shown, maps=tuple(replace(each, picture=f"{url}/{row}") for row, each in enumerate(shown.maps)))


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
    if depth == 8:
        return saved(grey(pixels), "PNG", compress_level=1)
    values = np.rint(pixels * 65535).astype(np.uint16)
    channels = (values >> 8).astype(np.uint8), (values & 255).astype(np.uint8), np.zeros(values.shape, np.uint8)
    return saved(Image.fromarray(np.stack(channels, -1)), "PNG", compress_level=1)


def region_with_pictures(answer: RegionAnswer) -> RegionAnswer:
    """The answer to a box, with the address of each film found."""
    found = (replace(each, picture=stored_url(each.neighbour.study_id, each.place.film)) for each in answer.found)
    return replace(answer, found=tuple(found))


def why_with_maps(case: Case, found: Why) -> Why:
    """A comparison with the addresses of its maps."""
    url = f"/api/cases/{case.case_id}/why/{quote(found.study_id, safe='')}/maps"
    sides = {"query": found.query.maps, "neighbour": found.neighbour.maps}
    return replace(
        found, maps={side: tuple(f"{url}/{side}/{row}" for row in range(len(maps))) for side, maps in sides.items()}
    )


def why_png(found: Why, side: Literal["query", "neighbour"], film: int) -> bytes:
    """What each part of one film adds to the similarity, both sides on one scale."""
    both = found.similarity
    maps = {"query": both.one.maps, "neighbour": both.other.maps}[side]
    if film >= len(maps):
        raise InputError("not_found", f"there is no map of film {film}.")
    scale = display_scale([shrink(values, MAP_SIDE) for values in (*both.one.maps, *both.other.maps)])
    return overlay_png(shrink(maps[film], MAP_SIDE), MAP_SIDE, scale=scale, signed=True)


def threshold_costs(calibration: Calibration, codes: tuple[str, ...], mode: Mode) -> ThresholdCosts:
    """What each cut costs, for each label."""

    def known(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
        return tuple(None if np.isnan(value) else round(float(value), 4) for value in values)

    labels = {
        code: LabelThresholds(known(both[0]), known(both[1]), OwnThreshold(*known(own)))
        for code, both, own in zip(codes, calibration.operating, calibration.at_threshold(), strict=True)
    }
    return ThresholdCosts(mode, tuple(CUTS.tolist()), labels)
