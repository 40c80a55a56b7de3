"""The page of ``lingula why``: two studies side by side, with what makes them alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lingula.explanation.why_words import carrying
from lingula.page.evidence import name_of
from lingula.page.picture import Map, data_uri, display_scale, film_png, legend_png, overlay_png, shrink
from lingula.page.render import write_template
from lingula.page.report_runs import runs
from lingula.study import Radiograph
from lingula.types import FilePath

if TYPE_CHECKING:
    from lingula.explanation.comparison import Why

_SIDE, _UNITS = 640, 1000


def write_pair(path: FilePath, why: Why, names: Mapping[str, str]) -> None:
    """Write one HTML file that loads nothing and runs no script."""
    found = why.similarity
    top = display_scale([shrink(values, 256) for side in (found.one, found.other) for values in side.maps])
    sides = []
    for title, side, which in (("Asked", found.one, "one"), ("Neighbour", found.other, "other")):
        places = [(n, getattr(m, which)) for n, m in enumerate(carrying(found), 1)]
        films = [
            _film(film, side.maps[i] if side.maps else None, top, [(n, p) for n, p in places if p[0] == i])
            for i, film in enumerate(side.study.radiographs)
        ]
        text = runs(side.study.report, side.tokens) if side.study.report else ()
        sides.append({"title": title, "side": side, "films": films, "runs": text})
    write_template(
        path,
        "pair.html",
        why=why,
        sides=sides,
        top=top,
        strip=data_uri(legend_png(signed=True)),
        sentences=_sentences(why),
        shared=[name_of(pair.finding, names) for pair in why.shared],
        differing=[(name_of(pair.finding, names), pair) for pair in why.differing],
        changes=changes(why),
    )


def _film(
    film: Radiograph, values: Map | None, top: float, places: Sequence[tuple[int, tuple[int, ...]]]
) -> dict[str, object]:
    rows, columns = film.pixels.shape
    unit = _UNITS / max(rows, columns)
    wash = data_uri(overlay_png(shrink(values, 128), 128, scale=top, signed=True)) if values is not None else ""
    boxes = [(n, *(round(edge * unit) for edge in place[1:])) for n, place in places]
    return {
        "id": film.image_id, "view": film.view, "width": round(columns * unit), "height": round(rows * unit),
        "uri": data_uri(film_png(film.pixels, _SIDE)), "wash": wash, "boxes": boxes,
    }  # fmt: skip


def _sentences(why: Why) -> list[tuple[str, str, float]]:
    one, other = why.similarity.one.study.report, why.similarity.other.study.report
    if one is None or other is None:
        return []
    return [(one.text[slice(*s.one)], other.text[slice(*s.other)], s.score) for s in why.similarity.sentences]


def changes(why: Why) -> list[str]:
    """One sentence for each kind of part."""
    said, report = [], why.similarity.one.study.report
    for change in why.changes:
        if not change.found:
            said.append(f"No set of {change.kind} found that would move it from rank {change.rank_before}.")
            continue
        count = len(change.places) or len(change.words)
        what = f"{count} of the {change.kind} of the asked study"
        if report and change.words:
            what += " (" + ", ".join(report.text[slice(*span)] for span in change.words[:12]) + ")"
        said.append(f"Without {what} it falls from rank {change.rank_before} to {change.rank_after}.")
    return said
