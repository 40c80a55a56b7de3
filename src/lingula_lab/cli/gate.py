"""gate: what stands before an answer, fitted for a checkpoint on films of several sources."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json, Model, load_model

SEED = 0


def gate(
    study_set: Annotated[Path, typer.Argument(help="Folder that lingula prepare wrote from the collection.")],
    films: Annotated[Path, typer.Option("--films", help="Folder with films.csv: chest films of other sources.")],
    pictures: Annotated[Path, typer.Option("--pictures", help="Folder with not_chest.csv: other pictures.")],
    model: Model = "compact",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    features: Annotated[Path | None, typer.Option(help="Keep the films' features here, or read them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of the package.")] = None,
    boxed: Annotated[
        Path | None, typer.Option(help="Boxed films (labels.csv, images/), kept with the features for measuring.")
    ] = None,
    sample: Annotated[int, typer.Option(min=100, help="Most films of a source.")] = 1500,
    json: Json = False,
) -> None:
    """Fit what tells chest films like those the model learnt from, other chest films, and everything else apart.

    Example: [bold]lingula gate study-set --films films --pictures not_chest --features gate.npz[/]
    """
    from lingula.model.gate import FOLDER
    from lingula.openi.splits import Split
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.gate import films as sources
    from lingula_lab.gate.fit import fit_gate

    checkpoint = load_model(model)
    if features is not None and features.is_file():
        read = sources.GateFilms.load(features)
    else:
        plain = [
            *sources.openi_films(StudySet.load(study_set), Split.load(split), sample),
            *sources.table_films(films, sample, taught=checkpoint.training.get("other_films") or ()),
            *sources.other_pictures(pictures),
        ]
        changed = sources.distorted(plain, SEED)
        measured = sources.boxed_films(boxed) if boxed else ()
        every = chain(plain, measured, changed, sources.nothing(350, SEED), sources.phantoms(75))
        with output.progress_bar("Reading films") as progress:
            read = sources.read_features(checkpoint, every, progress)
        if features is not None:
            read.save(features)
    counts = {str(source): int((read.source == source).sum()) for source in sorted(set(read.source.tolist()))}
    fitted = fit_gate(read, checkpoint.fingerprint, checkpoint.vocabulary.codes, {"films": counts, "split": split})
    path = fitted.save(out or FOLDER)
    body = {"gate": str(path), "films": counts}
    output.write_json(body) if json else output.out.print(f"Gate: {path} ({len(read)} films)")
