"""export: a checkpoint as ONNX, beside its weights or by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lingula.cli import output
from lingula.cli.options import Json


def export(
    form: Annotated[Literal["onnx"], typer.Argument(help="What to export to.")],
    model: Annotated[
        Path,
        typer.Argument(help="Checkpoint folder; without --out its graphs, golden output and manifest are written."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write each part here as one ONNX file with its weights, for other programs; leave the model."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Export a checkpoint's graphs from its weights and seal it; its fingerprint stays. Saving a trained model does the
    same. With --out: files that any ONNX runtime opens. Their inputs and outputs: lingula.model.forward.

    Example: [bold]lingula export onnx my-model --out my-model-onnx[/]
    """
    from lingula.model.checkpoint import load_checkpoint
    from lingula.model.checkpoint_bounds import check_folder
    from lingula.model.onnx_engine import OnnxEngine
    from lingula_lab.model.checkpoint import add_graphs
    from lingula_lab.model.onnx_export import write_alone

    if out:
        made = load_checkpoint(str(model))
        assert isinstance(made.model.engine, OnnxEngine)  # that of every folder
        written = [str(path) for path in write_alone(made.model.engine.folder, out)]
    else:
        check_folder(model, shipped=True)
        with output.err.status("Exporting"):
            made = add_graphs(model)
        written = [str(path) for path in sorted(model.glob("*.onnx"))]
    if json:
        return output.write_json({"model": made.fingerprint, "files": written})
    for path in written:
        output.out.print(path, highlight=False)
    output.out.print(f"Model {made.fingerprint}.")
