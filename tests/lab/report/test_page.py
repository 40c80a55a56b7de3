from __future__ import annotations

from math import nan
from xml.etree import ElementTree

import pytest

from lingula_lab.measures.table import Bars, Figure, Line, Plot, Row, Table
from lingula_lab.report.svg import draw

SPACE = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture.replace("<svg ", f'<svg xmlns="{SPACE[1:-1]}" ', 1))


def test_a_curve_runs_from_corner_to_corner() -> None:
    line = Line("a <system>", ((0.0, 0.0), (1.0, 1.0)))
    picture = parsed(draw(Plot("roc_x", "A & B", "x", "y", (line,), diagonal=True)))
    chance, curve = picture.findall(f"{SPACE}polyline")
    assert curve.get("points") == chance.get("points")
    assert curve.find(f"{SPACE}title").text == "a <system>"  # type: ignore[union-attr]
    assert picture.get("aria-label") == "A & B: y against x"


def test_bars_draw_what_could_be_measured() -> None:
    figures = (("one", Figure(0.5, 0.25, 0.75)), ("two", Figure(nan)), ("three", Figure(1.0)))
    picture = parsed(draw(Bars("b", "B", "share", figures, (0.25, nan, 0.5))))
    classes = [element.get("class") for element in picture]
    assert [classes.count(name) for name in ("dot", "whisker", "chance", "name")] == [2, 1, 2, 3]
    (whisker,) = (element for element in picture if element.get("class") == "whisker")
    (first, second) = (element for element in picture if element.get("class") == "dot")
    left, right = float(whisker.get("x1", "")), float(whisker.get("x2", ""))
    assert float(first.get("cx", "")) == (left + right) / 2
    assert float(second.get("cx", "")) > right


def test_a_table_has_a_cell_for_every_column() -> None:
    table = Table("t", "T", "About.", "system", ("a|b", "c"), (Row("x|y", (Figure(0.25, 0.2, nan), "yes")),))
    assert "| x\\|y | " in table.to_markdown()
    assert table.to_json()["rows"]["x|y"]["a|b"] == {"value": 0.25, "low": 0.2, "high": None, "n": 0}
    with pytest.raises(ValueError, match="0 cells under 1 columns"):
        Table("t", "T", "", "system", ("a",), (Row("x", ()),))
