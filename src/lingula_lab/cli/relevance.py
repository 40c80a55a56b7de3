"""relevance: how likely a study answers a study, fitted for a checkpoint on validation studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json, Model, load_model


def relevance(
    study_set: Annotated[Path, typer.Argument(help="Folder that lingula prepare wrote from the collection.")],
    encoded: Annotated[Path, typer.Option("--encoded", help="Keep what the model makes of studies here, or read it.")],
    model: Model = "compact",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    seed: Annotated[int, typer.Option(help="For the parts of the cross-fitted figures.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of the package.")] = None,
    json: Json = False,
) -> None:
    """Fit by what studies are similar to a study: validation studies ask the gallery that ships with the model.

    The folder of [bold]--encoded[/] may be the one that [bold]lingula evaluate[/] keeps in its output.

    Example: [bold]lingula relevance study-set --encoded evaluation/encoded[/]
    """
    from lingula.openi.splits import Split
    from lingula.retrieval.relevance import FOLDER
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.relevance import fit_from_study_set

    checkpoint = load_model(model)
    with output.progress_bar("Fitting") as progress:
        fitted = fit_from_study_set(
            checkpoint, StudySet.load(study_set), Split.load(split), encoded, seed=seed, progress=progress
        )
    path = fitted.save(out or FOLDER)
    body = {"relevance": str(path), **fitted.about}
    output.write_json(body) if json else output.out.print(f"Relevance: {path}")
