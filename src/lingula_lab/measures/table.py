"""The result of an evaluation: tables of figures with their intervals, as plain data and as Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

DIGITS = 6
"""Decimals a result file keeps."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, the bounds of its 95 % interval (NaN where there is none) and how many studies it is from."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0

    def to_json(self) -> dict[str, float | int | None]:
        return {"value": _plain(self.value), "low": _plain(self.low), "high": _plain(self.high), "n": self.n}

    def text(self, digits: int = 3) -> str:
        """``0.812 [0.790, 0.833]``, or a dash for what could not be measured."""
        if math.isnan(self.value):
            return "–"
        value = f"{self.value:.{digits}f}"
        return value if math.isnan(self.low) else f"{value} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


Cell = Figure | str | int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: ``name`` is stable, ``cells`` answer the table's columns."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption.

    Attributes:
        key: stable name, such as ``classification``.
        about: what a reader must know to read it: definitions, who was left out.
        first: heading of the row names. columns: heading of each cell, stable names too.
        digits: decimals shown.
        detail: kept in the JSON file, not shown to a reader.
    """

    key: str
    title: str
    about: str
    first: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    digits: int = 3
    detail: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.key}, {row.name}: {len(row.cells)} cells under {len(self.columns)} columns")

    def cell(self, row: str, column: str) -> Cell:
        """One cell by its names; KeyError when there is none."""
        for line in self.rows:
            if line.name == row and column in self.columns:
                return line.cells[self.columns.index(column)]
        raise KeyError((row, column))

    def figure(self, row: str, column: str) -> Figure:
        """As ``cell``, where a figure stands."""
        found = self.cell(row, column)
        if not isinstance(found, Figure):
            raise KeyError((row, column))
        return found

    def to_json(self) -> dict[str, Any]:
        rows = {
            row.name: {
                column: cell.to_json() if isinstance(cell, Figure) else cell
                for column, cell in zip(self.columns, row.cells, strict=True)
            }
            for row in self.rows
        }
        return {"title": self.title, "about": self.about, "rows": rows}

    def to_markdown(self) -> str:
        header = [self.first, *self.columns]
        lines = [header, ["---"] + ["---:" if self._is_figure(i) else "---" for i in range(len(self.columns))]]
        lines += [[row.name, *(self.shown(cell) for cell in row.cells)] for row in self.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n{self.about}\n\n{body}\n"

    def shown(self, cell: Cell) -> str:
        return cell.text(self.digits) if isinstance(cell, Figure) else str(cell)

    def _is_figure(self, column: int) -> bool:
        return all(not isinstance(row.cells[column], str) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve of a plot: ``points`` are (x, y), ``name`` its entry in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over common axes.

    Attributes:
        diagonal: draw y = x, where chance or perfect agreement lies.
        zoom: end both axes where the curves do.
    """

    key: str
    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    diagonal: bool = False
    note: str = ""
    zoom: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """One figure a label, to be drawn as bars with whiskers, and where chance lies."""

    key: str
    title: str
    x: str
    figures: tuple[tuple[str, Figure], ...]
    chance: tuple[float, ...] = ()


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), DIGITS) + 0.0
