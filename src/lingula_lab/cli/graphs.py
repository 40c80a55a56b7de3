"""graphs: what ONNX Runtime computes of a checkpoint, exported anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json


def graphs(
    folder: Annotated[Path, typer.Argument(help="Checkpoint folder; graphs, golden output and manifest are written.")],
    json: Json = False,
) -> None:
    """Export a checkpoint's graphs from its weights and seal it; its fingerprint stays. Saving a trained model does the
    same.

    Example: [bold]lingula graphs my-model[/]
    """
    from lingula.model.checkpoint_bounds import check_folder
    from lingula_lab.model.checkpoint import add_graphs

    check_folder(folder, shipped=True)
    with output.err.status("Exporting"):
        made = add_graphs(folder)
    body = {"folder": str(folder), "model": made.fingerprint}
    output.write_json(body) if json else output.out.print(f"{folder}: model {made.fingerprint}")
