"""bench: how fast the model is on this machine."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lingula.cli import output
from lingula.cli.options import Json, Model, OnDevice


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Files of one study; without any, a drawn DICOM film."),
    ] = None,
    library: Annotated[str | None, typer.Option("--library", help="Search this library too.")] = None,
    model: Model = "compact",
    device: OnDevice = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="Threads for arithmetic.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", callback=output.writable, help="Write the figures here, as JSON.")
    ] = None,
    json: Json = False,
) -> None:
    """Time the way from a film to its embedding and from a file to its answer. Let nothing else run meanwhile.

    Example: [bold]lingula bench chest.dcm --library library.sqlite --threads 2[/]
    """
    import json as jsons
    from tempfile import TemporaryDirectory

    from lingula.cli.options import load_model
    from lingula.library import Library
    from lingula_lab.speed import bench as measure

    checkpoint = load_model(model, device, threads)
    opened = Library.open(library, model=checkpoint.fingerprint) if library else nullcontext()
    with TemporaryDirectory() as folder, opened as at:
        measured = measure(checkpoint, files or [_drawn(Path(folder))], at, rounds, threads=threads)
    if out:
        out.write_text(jsons.dumps(measured.to_json(), indent=1) + "\n")
    if json:
        return output.write_json(measured.to_json())
    table = Table("", "p50", "p95", "", box=None, header_style="dim")
    for e in measured.encode:
        name = f"encode, {e.batch} film{'s' * (e.batch > 1)}"
        table.add_row(name, f"{e.time.p50_ms:.1f} ms", f"{e.time.p95_ms:.1f} ms", f"{e.images_per_second} images/s")
    found = f"{measured.studies} studies searched" if library else "nothing searched"
    table.add_row("file to answer", f"{measured.answer.p50_ms:.1f} ms", f"{measured.answer.p95_ms:.1f} ms", found)
    output.out.print(table)


def _drawn(folder: Path) -> Path:
    """A phantom film as large as real ones are."""
    from lingula_phantom import generate

    return next((generate(folder, studies=1, long_side=2048) / "NLMCXR_dcm").rglob("*1001.dcm"))
