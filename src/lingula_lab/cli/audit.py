"""audit: is a split clean?"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from lingula.cli import output
from lingula.cli.options import Json

if TYPE_CHECKING:
    from lingula_lab.audit import Audit

Part = Literal["train", "validation", "test"]
_SHOWN = 4
"""Study ids of one collision that the table names; --json names all."""


def audit(
    split: Annotated[str, typer.Argument(help="Split file, or a shipped one by name.")],
    data: Annotated[Path, typer.Option("--data", envvar="LINGULA_OPENI", help="The collection.")],
    checkpoint: Annotated[str | None, typer.Option(help="Look into this checkpoint, too.")] = None,
    library: Annotated[str | None, typer.Option(help="Look through this library, too.")] = None,
    gallery: Annotated[Part, typer.Option(help="The part that the library claims to hold.")] = "train",
    workers: Annotated[int, typer.Option(help="Reading processes.")] = 2,
    json: Json = False,
) -> None:
    """Find studies, texts, films, birth dates or labels that parts of a split share; exit code 1 if any.

    Example: [bold]lingula audit openi-v1 --data ~/openi[/]
    """
    from lingula.library import Library
    from lingula.openi import scan
    from lingula.openi.splits import Split
    from lingula.reading.sandbox import Sandbox
    from lingula_lab.audit import audit as look
    from lingula_lab.data.label_file import LabelFile, label_path

    known = Split.load(split)
    labels = LabelFile.load(split) if label_path(split).is_file() else None
    with ExitStack() as opened:
        model = None
        if checkpoint is not None:
            from lingula.model.checkpoint import load_checkpoint

            model = load_checkpoint(checkpoint)
        opened_library = opened.enter_context(Library.open(library)) if library else None
        sandbox = opened.enter_context(Sandbox(workers, longest=256))
        collection = scan(data)
        with output.progress_bar("Reading films") as progress:
            found = look(
                known, collection, sandbox, library=opened_library, claimed=gallery, checkpoint=model, labels=labels,
                progress=progress,
            )  # fmt: skip
    output.write_json(found.to_json()) if json else _show(found)
    if found.collisions:
        raise typer.Exit(1)


def _show(found: Audit) -> None:
    output.out.print(f"{found.split} {found.sha256[:12]}…: {found.studies} studies, {found.films} films")
    for sentence in found.unchecked:
        output.out.print(f"[yellow]not checked:[/] {sentence}")
    if not found.collisions:
        return output.out.print("[green]No collision found.[/]")
    table = Table("collision", "studies", "detail", box=None, header_style="dim")
    for collision in found.collisions:
        more = f" + {len(collision.study_ids) - _SHOWN}" if len(collision.study_ids) > _SHOWN else ""
        studies = ", ".join(collision.study_ids[:_SHOWN]) + more
        table.add_row(collision.kind.replace("_", " "), studies, collision.detail)
    output.out.print(table)
    output.out.print(f"[bold]{len(found.collisions)} collisions[/]")
