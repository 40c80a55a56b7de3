"""What commands print: JSON on standard output, everything for people beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lingula.study import DISCLAIMER, Analysis, Explanation, Neighbour, Prediction

out = Console()
err = Console(stderr=True)

_COLOUR = {"present": "bold yellow", "abstain": "cyan", "absent": "dim"}
_WORD = {"present": "present", "abstain": "not sure", "absent": "absent"}


def banner() -> None:
    err.print(f"[dim]{DISCLAIMER}[/]")


def write_json(body: Any) -> None:
    sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, called with (done, of how many)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_notices(analysis: Analysis) -> None:
    for notice in analysis.notices:
        out.print(f"[yellow]![/] {escape(notice.message)} [dim]\\[{notice.code}][/]")


def show_predictions(predictions: tuple[Prediction, ...]) -> None:
    """A table: what stands out first."""
    order = {"present": 0, "abstain": 1, "absent": 2}
    table = Table("finding", "", "probability", "threshold", "", box=None, header_style="dim")
    for p in sorted(predictions, key=lambda p: (order[p.decision], -p.probability)):
        bar = "█" * round(p.probability * 20)
        style = _COLOUR[p.decision]
        table.add_row(
            f"[{style}]{p.name}[/]",
            f"[{style}]{_WORD[p.decision]}[/]",
            f"{p.probability:.2f}",
            f"{p.threshold:.2f}",
            f"[{style}]{bar}[/]",
        )
    out.print(table)


def show_neighbours(neighbours: tuple[Neighbour, ...], names: dict[str, str]) -> None:
    table = Table("rank", "study", "score", "findings", "impression", box=None, header_style="dim")
    for n in neighbours:
        report = n.report.section("impression") or n.report.section("findings") if n.report else ""
        labels = ", ".join(names.get(code, code) for code in n.labels)
        table.add_row(str(n.rank), escape(n.study_id), f"{n.score:.3f}", labels, escape(report[:70]))
    out.print(table)


def show_explanations(explanations: tuple[Explanation, ...], text: str, name: str) -> None:
    """For each method its strongest words and place; the picture is in ``--html``."""
    for e in explanations:
        parts = []
        for position, heat in enumerate(e.maps, 1):
            row, column = divmod(int(heat.argmax()), heat.shape[1])
            parts.append(
                f"film {position}: strongest at column {column}, row {row} of {heat.shape[1]} x {heat.shape[0]}"
            )
        top = sorted(e.tokens, key=lambda t: -t.score)[:5]
        if top:
            parts.append("words: " + ", ".join(f"{escape(text[t.start : t.end])} ({t.score:+.2g})" for t in top))
        error = f"  completeness error {e.completeness_error:.1%}" if e.completeness_error is not None else ""
        out.print(f"[bold]{e.method.replace('_', ' ')}[/] for {name}{error}")
        for part in parts:
            out.print(f"  {part}")
