"""phantom: a made-up collection, drawn and written in the formats of Open-i."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    studies: Annotated[int, typer.Option(help="How many studies.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    json: Json = False,
) -> None:
    """Write a made-up collection in Open-i's own file formats: drawn radiographs, invented reports.

    Example: [bold]lingula phantom phantom --studies 48[/]
    """
    from lingula_phantom import generate

    with output.progress_bar("Drawing") as progress:
        generate(out, studies=studies, seed=seed, progress=progress)
    output.write_json({"folder": str(out), "studies": studies}) if json else output.out.print(f"Collection: {out}")
