"""demo: the whole path on a made-up collection, ending in pages to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json, Model


def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("demo"),
    studies: Annotated[int, typer.Option(help="How many made-up studies.")] = 60,
    queries: Annotated[int, typer.Option(help="How many of them are asked about.")] = 4,
    model: Model = "compact",
    seed: Annotated[int, typer.Option(help="The same seed gives the same collection.")] = 0,
    json: Json = False,
) -> None:
    """Draw a made-up collection, import it, and analyse some of its studies: one page each.

    Example: [bold]lingula demo demo[/]
    """
    from lingula.analysis import analyze
    from lingula.ingest.batches import create_library
    from lingula.ingest.openi import import_openi
    from lingula.model.checkpoint import load_checkpoint
    from lingula.openi import load_many, scan
    from lingula.page import write_page
    from lingula.reading.sandbox import Sandbox
    from lingula_phantom import generate

    started = time.perf_counter()
    output.banner()
    collection = out / "collection"
    with output.progress_bar("Drawing a made-up collection") as progress:
        generate(collection, studies=studies, seed=seed, progress=progress)
    checkpoint = load_checkpoint(model, check_golden=True)
    names = checkpoint.vocabulary.names
    location = out / "library.sqlite"
    pages = []
    with create_library(checkpoint, location) as library, Sandbox(workers=2) as sandbox:
        with output.progress_bar("Importing it (read, encode, store)") as progress:
            imported = import_openi(library, checkpoint, collection, sandbox, progress=progress)
        files = scan(collection).studies[:queries]
        with output.progress_bar("Analysing: findings, similar studies, evidence") as progress:
            for done, study in enumerate(load_many(files, sandbox), 1):
                analysis = analyze(study, checkpoint, library)
                shown = {n.study_id: library.study(n.study_id) for n in analysis.neighbours}
                pages.append(out / f"{study.study_id}.html")
                write_page(pages[-1], analysis, neighbour_studies=shown, vocabulary_names=names)
                progress(done, len(files))
    body = {
        "studies": imported.added + imported.present,
        "library": str(location),
        "model": checkpoint.fingerprint,
        "pages": [str(page) for page in pages],
        "seconds": round(time.perf_counter() - started, 1),
    }
    if json:
        return output.write_json(body)
    output.out.print(f"{body['studies']} studies in {location}, {body['seconds']} s. Open these in a browser:")
    for page in pages:
        output.out.print(f"  {page}")
