"""The pages of a drill: questions without their answers, and answers with evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lingula.page.evidence import name_of, pointing_mark
from lingula.page.picture import data_uri, display_scale, film_png, legend_png, overlay_png, shrink
from lingula.page.render import write_template
from lingula.study import Explanation, Radiograph, Study
from lingula.teaching.drill import DrillCard

_SIDE = 512


def film_uri(film: Radiograph) -> str:
    """A film as PNG data URI: drawn anew, so without any metadata."""
    return data_uri(film_png(film.pixels, _SIDE))


def write_questions(
    path: Path, cards: Sequence[DrillCard], films: Sequence[tuple[Radiograph, Radiograph]], names: Mapping[str, str]
) -> None:
    """Each card's two films, and the finding asked for."""
    shown = [
        {"number": card.number, "finding": name_of(card.finding, names), "films": [film_uri(f) for f in pair]}
        for card, pair in zip(cards, films, strict=True)
    ]
    _write(path, shown, answers=False)


def write_answers(
    path: Path,
    cards: Sequence[DrillCard],
    films: Sequence[tuple[Radiograph, Radiograph]],
    studies: Sequence[tuple[Study, Study]],
    evidence: Sequence[tuple[Explanation, Explanation]],
    names: Mapping[str, str],
) -> None:
    """The answer to each card, the model's evidence on both films where the finding can be localised, and what their
    reports say."""
    shown = []
    for card, pair, both, maps in zip(cards, films, studies, evidence, strict=True):
        drawn = [e for e in maps if e.maps]
        scale = display_scale([e.maps[0] for e in drawn])
        shown.append(
            {
                "number": card.number,
                "finding": name_of(card.finding, names),
                "films": [film_uri(film) for film in pair],
                "washes": [
                    data_uri(overlay_png(shrink(e.maps[0], 128), 128, scale=scale, signed=e.signed)) for e in drawn
                ],
                "unplaced": "" if drawn else pointing_mark(maps[0]),
                "film": card.film,
                "likeness": card.likeness,
                "ids": (card.a, card.b),
                "reports": [study.report.text if study.report else "" for study in both],
                "scale": scale,
            }
        )
    _write(path, shown, answers=True)


def _write(path: Path, cards: Sequence[Mapping[str, object]], *, answers: bool) -> None:
    write_template(path, "drill.html", cards=cards, answers=answers, strip=data_uri(legend_png(signed=True)))
