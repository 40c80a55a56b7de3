"""What commands print: JSON on standard output, everything for people beside it."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from lingula.errors import InputError
from lingula.plain import plain as plain_data
from lingula.study import DISCLAIMER, Analysis, Evidence, Explanation, Neighbour, Prediction

if TYPE_CHECKING:
    from lingula.retrieval import Answer
    from lingula.retrieval.region import RegionAnswer

out = Console()
err = Console(stderr=True)

_UNSHOWN = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")  # C1, direction marks, surrogates
_COLOUR = {"present": "bold yellow", "abstain": "cyan", "absent": "dim", "cannot_judge": "dim"}


def banner() -> None:
    err.print(f"[dim]{DISCLAIMER}[/]")


def plain(text: str) -> str:
    """Text of files and names, made safe for a terminal: no markup, no control characters, only UTF-8."""
    return escape("".join(char if char.isprintable() else "·" for char in text))


def write_json(body: Any) -> None:
    """A dataclass or dictionary as one JSON object on standard output; what a terminal cannot show is escaped."""
    text = json.dumps(plain_data(body), ensure_ascii=False)
    sys.stdout.write(_UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def tell(body: Any, json: bool, *lines: str) -> None:
    """The body as JSON where that is asked for, else these lines for a reader."""
    if json:
        return write_json(body)
    for line in lines:
        out.print(line, highlight=False)


def show_table(headings: Iterable[str], rows: Iterable[Iterable[str]], nothing: str = "") -> None:
    """Rows under headings; the words ``nothing`` where there is no row."""
    table = Table(*headings, box=None, header_style="dim")
    for row in rows:
        table.add_row(*row)
    if table.row_count or nothing:
        out.print(table if table.row_count else nothing)


def writable(path: Path | None) -> Path | None:
    """A file to be written later, refused now where that cannot be: the check of an option, before any work.

    Raises:
        InputError: not_found without the folder it is to lie in, bad_request for a folder in its place.
    """
    if path is None:
        return None
    if not path.parent.is_dir():
        hint = f"Make it first: mkdir -p {path.parent}"
        raise InputError("not_found", f"there is no folder {path.parent} to write {path.name} into.", hint)
    if path.is_dir():
        raise InputError("bad_request", f"{path} is a folder, not a file to write.", "Name a file in it.")
    return path


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, called with (done, of how many); where that is no terminal, a line now and then."""
    if not err.is_terminal:
        yield _progress_lines(title)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


LINE_SECONDS = 15.0
"""Seconds between two lines of progress where there is no terminal."""


def _progress_lines(title: str) -> Callable[[int, int], None]:
    """Progress as lines of a log, at most one in ``LINE_SECONDS``: "Training 120/400, 0:01:10 left"."""
    started = said = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < LINE_SECONDS:
            return
        said = now
        left = timedelta(seconds=round((now - started) * (total - done) / done)) if 0 < done <= total else None
        err.print(f"{title} {done}{f'/{total}' if total else ''}{f', {left} left' if left is not None else ''}")

    return show


def show_notices(analysis: Analysis) -> None:
    for notice in analysis.notices:
        out.print(f"[yellow]![/] {escape(notice.message)} [dim]\\[{notice.code}][/]")
    if not analysis.answerable and not analysis.predictions:
        out.print("No findings are given. --anyway shows what the model would say.")


def show_predictions(predictions: tuple[Prediction, ...]) -> None:
    """A table: what stands out first."""
    order = {"present": 0, "abstain": 1, "absent": 2, "cannot_judge": 3}
    ranges = ["95 %"] if any(p.interval for p in predictions) else []  # older checkpoints know none
    table = Table("finding", "", "probability", *ranges, "threshold", "", box=None, header_style="dim")
    for p in sorted(predictions, key=lambda p: (order[p.decision], -p.probability)):
        bar = "█" * round(p.probability * 20)
        style = _COLOUR[p.decision]
        table.add_row(
            f"[{style}]{p.name}[/]",
            f"[{style}]{p.words}[/]",
            f"{p.probability:.2f}",
            *(f"[dim]{p.interval[0]:.2f}–{p.interval[1]:.2f}[/]" if p.interval else "" for _ in ranges),
            f"{p.threshold:.2f}",
            f"[{style}]{bar}[/]",
        )
    out.print(table)


LONG = 24
"""Characters from which a study's id has a line of its own: it must stay whole, as other commands ask for it."""


def show_neighbours(neighbours: tuple[Neighbour, ...], names: dict[str, str]) -> None:
    findings = (", ".join(names.get(code, code) for code in n.labels) for n in neighbours)
    rows = [
        (str(n.rank), escape(n.study_id), f"{n.score:.3f}", n.shares or "", labels, _telling(n))
        for n, labels in zip(neighbours, findings, strict=True)
    ]
    if any(len(n.study_id) >= LONG for n in neighbours):
        for rank, study, *rest in rows:
            out.print(f"{rank} {study}", highlight=False, soft_wrap=True)
            out.print(Padding("  ".join(filter(None, rest)), (0, 0, 0, 2)))
        return
    show_table(("rank", "study", "score", "share", "findings", "report"), rows)


def show_answer(answer: Answer, names: dict[str, str], *, explain: bool) -> None:
    """What was understood, then the answers; with ``explain`` also what each score is made of and why it answers."""
    for sentence in answer.query.explain():
        out.print(f"[dim]{escape(sentence)}[/]")
    for notice in answer.notices:
        out.print(f"[yellow]![/] {escape(notice.message)} [dim]\\[{notice.code}][/]")
    out.print(f"[dim]{answer.matching} of {answer.searched} studies match.[/]")
    if not answer.neighbours:
        return out.print("No study answers. Ask for less, or look with --explain at what was understood.")
    show_neighbours(answer.neighbours, names)
    for n in answer.neighbours:
        lines = [f"{why}: {escape(', '.join(ids))}" for why, ids in _folded(n)]
        if n.same_patient:
            lines.append(f"perhaps the same patient as {escape(', '.join(n.same_patient))} (equal birth date)")
        if explain:
            lines.append(" + ".join(f"{part.name} {part.score:.3f}" for part in n.parts) + f" = {n.score:.3f}")
            lines += [_because(each) for each in n.evidence]
            lines += [n.link] if n.link else []
        if lines:
            out.print(f"[bold]{n.rank}[/] {escape(n.study_id)}")
            for line in lines:
                out.print(f"  {line}", highlight=False)


def show_region(answer: RegionAnswer, names: dict[str, str]) -> None:
    """Each study that shows what the box shows, and where on which film."""
    for notice in answer.notices:
        out.print(f"[yellow]![/] {escape(notice.message)} [dim]\\[{notice.code}][/]")
    out.print(f"[dim]{answer.films} films of the same view searched; x,y,width,height in the pixels of each film.[/]")
    table = Table(
        "rank",
        Column("study", overflow="fold"),
        "score",
        "film",
        "region",
        "findings",
        "report",
        box=None,
        header_style="dim",
    )
    for each in answer.found:
        n, at = each.neighbour, each.place
        box = f"{at.x},{at.y},{at.width},{at.height}" + (" mirrored" if each.mirrored else "")
        labels = ", ".join(names.get(code, code) for code in n.labels)
        film = f"{at.film + 1} ({each.columns} x {each.rows})"
        table.add_row(str(n.rank), escape(n.study_id), f"{n.score:.3f}", film, box, labels, _telling(n))
    out.print(table)


def _folded(n: Neighbour) -> list[tuple[str, list[str]]]:
    reasons = dict.fromkeys(each.why for each in n.duplicates)
    return [(why, [each.study_id for each in n.duplicates if each.why == why]) for why in reasons]


def _because(each: Evidence) -> str:
    asked = f"{each.finding or 'any finding'} {each.asked}"
    if each.basis == "prediction":
        return f"{asked}: predicted {each.probability:.2f}"
    return f"{asked}: " + {"report": f"reported {each.said}", "coding": "coded", "silence": "not spoken of"}[each.basis]


def _telling(n: Neighbour) -> str:
    """The snippet, its asserted words bold; red where they are denied."""
    from lingula.page.report_runs import pieces

    shown = ""
    for text, polarity in pieces(n):
        style = "red" if polarity == "absent" else "bold yellow"
        shown += f"[{style}]{escape(text)}[/]" if polarity else escape(text)
    return shown.replace("\n", " ")


def show_explanations(explanations: tuple[Explanation, ...], text: str, name: str) -> None:
    """For each method its strongest words and place, and its trust marks; the picture is in ``--html``."""
    from lingula.page.evidence import trust_marks

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
        for part in (*parts, *trust_marks(e)[e.completeness_error is not None :]):
            out.print(f"  {part}")
