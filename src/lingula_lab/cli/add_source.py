"""add-source: a checkpoint that learnt from labelled films of another source, too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json, Model, load_model


def add_source(
    study_set: Annotated[Path, typer.Argument(help="Folder that lingula prepare wrote from the collection.")],
    films: Annotated[Path, typer.Option("--films", help="Folder with films.csv: films with NIH-14 labels.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new checkpoint.")],
    source: Annotated[str, typer.Option(help="Which source of the table.")] = "nih14",
    model: Model = "compact",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    json: Json = False,
) -> None:
    """Correct a checkpoint's image path in closed form by the labels of films of another source.

    Example: [bold]lingula add-source study-set --films films --out corrected[/]
    """
    from lingula.openi.splits import Split
    from lingula_lab.compact.with_source import with_source
    from lingula_lab.data.study_set import StudySet

    checkpoint = load_model(model)
    made = with_source(checkpoint, StudySet.load(study_set), Split.load(split), films, out, source)
    body = {"checkpoint": str(out), "model": made.fingerprint}
    output.write_json(body) if json else output.out.print(f"Checkpoint: {out} ({made.fingerprint})")
