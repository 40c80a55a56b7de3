"""gallery: the gallery that ships with a checkpoint, made from a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, Json, LibraryAt, Model, load_model
from lingula.errors import InputError


def gallery(
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    part: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of the package.")] = None,
    json: Json = False,
) -> None:
    """Make the gallery that ships with a model: embeddings and codes of training studies, no text and no image.

    Example: [bold]lingula gallery --library library.sqlite[/]
    """
    from lingula.library import Library
    from lingula.openi.splits import SPLITS, Split
    from lingula_lab.gallery import export_gallery

    if part not in SPLITS:
        raise InputError("bad_request", f"No part {part!r} of a split.", f"Parts: {', '.join(SPLITS)}.")
    checkpoint = load_model(model)
    with (
        Library.open(library, model=checkpoint.fingerprint) as opened,
        output.progress_bar("Reading films") as progress,
    ):
        path = export_gallery(checkpoint, opened, Split.load(split).ids(part), out, progress)
    body = {"gallery": str(path), "bytes": path.stat().st_size}
    output.write_json(body) if json else output.out.print(f"Gallery: {path} ({path.stat().st_size / 1e6:.1f} MB)")
