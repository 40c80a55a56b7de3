"""The page of ``lingula search --region``: the box asked about, and what shows the same on each film found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lingula.page.evidence import name_of
from lingula.page.picture import data_uri, film_png
from lingula.page.render import write_template
from lingula.page.report_runs import pieces
from lingula.study import Radiograph, Study
from lingula.types import FilePath

if TYPE_CHECKING:
    from lingula.retrieval.region import Place, RegionAnswer

_SIDE, _CASE_SIDE, _UNITS = 896, 448, 1000


def write_region(path: FilePath, answer: RegionAnswer, studies: Mapping[str, Study], names: Mapping[str, str]) -> None:
    """Write one HTML file that loads nothing and runs no script.

    Args:
        studies: those found, by id, with their films.
    """
    film = answer.study.radiographs[answer.place.film]
    cases = []
    for each in answer.found:
        shown = studies[each.neighbour.study_id].radiographs[each.place.film]
        labels = [name_of(code, names) for code in each.neighbour.labels]
        cases.append(
            {"found": each, "film": _film(shown, each.place, (each.rows, each.columns), _CASE_SIDE), "labels": labels,
             "snippet": pieces(each.neighbour)}
        )  # fmt: skip
    asked = _film(film, answer.place, film.pixels.shape, _SIDE)
    write_template(path, "region.html", answer=answer, asked=asked, cases=cases)


def _film(film: Radiograph, place: Place, shape: tuple[int, ...], side: int) -> dict[str, object]:
    """A film with its box in drawing units; ``shape`` (rows, columns) says in which pixels the box is."""
    rows, columns = shape
    unit = _UNITS / max(rows, columns)
    box = tuple(round(edge * unit, 1) for edge in (place.x, place.y, place.width, place.height))
    return {
        "id": film.image_id, "view": film.view, "width": round(columns * unit), "height": round(rows * unit),
        "uri": data_uri(film_png(film.pixels, side)), "box": box,
    }  # fmt: skip
