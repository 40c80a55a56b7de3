"""fetch, import, encode, phantom: getting studies in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, Fast, Json, LibraryAt, Model, load_model
from lingula.errors import InputError
from lingula.openi.fetch import NLM_URL, What


def register(app: typer.Typer) -> None:
    fetch = typer.Typer(help="Download a collection.", no_args_is_help=True)
    fetch.command("openi")(fetch_openi)
    app.add_typer(fetch, name="fetch")
    imports = typer.Typer(help="Put studies into a library.", no_args_is_help=True)
    imports.command("openi")(import_openi)
    imports.command("files")(import_files)
    app.add_typer(imports, name="import")
    app.command()(encode)


def fetch_openi(
    out: Annotated[Path, typer.Argument(help="Folder for the download.")] = Path("openi"),
    reports: Annotated[bool, typer.Option("--reports", help="1.1 MB of XML reports.")] = False,
    png: Annotated[bool, typer.Option("--png", help="About 14 GB of PNG images.")] = False,
    dicom: Annotated[bool, typer.Option("--dicom", help="About 80 GB of DICOM files.")] = False,
    unpack: Annotated[bool, typer.Option(help="Unpack after the download.")] = True,
    base_url: Annotated[str, typer.Option(help="The server.")] = NLM_URL,
    json: Json = False,
) -> None:
    """Download the Open-i chest X-ray collection from NLM (CC BY-NC-ND 4.0); stopped downloads go on.

    Example: [bold]lingula fetch openi --reports --png[/]
    """
    from lingula.openi import fetch

    asked: dict[What, bool] = {"reports": reports or not (png or dicom), "png": png, "dicom": dicom}
    wanted = [kind for kind, chosen in asked.items() if chosen]
    done = {}
    for kind in wanted:
        with output.progress_bar(f"Fetching {kind}") as progress:
            archive = fetch.fetch(kind, out, base_url=base_url, progress=progress)
        done[kind] = str(archive)
        if unpack:
            unpacked = fetch.unpack(archive, out / archive.name.removesuffix(".tgz"))
            done[kind] = str(unpacked.folder)
    if json:
        return output.write_json(done)
    for kind, place in done.items():
        output.out.print(f"{kind}: {place}")


def import_openi(
    path: Annotated[Path, typer.Argument(help="The unpacked DICOM or PNG tree with the XML tree.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    fast: Fast = False,
    split: Annotated[str | None, typer.Option(help="Split file; with --part, import only that part of it.")] = None,
    part: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    workers: Annotated[int, typer.Option(help="Reading processes.")] = 2,
    json: Json = False,
) -> None:
    """Import the Open-i collection. Stopped imports go on; files that cannot be read are listed with their codes.

    Example: [bold]lingula import openi ~/openi --library library.sqlite --split openi-v1 --part train[/]
    """
    from lingula.ingest.ingest import create_library
    from lingula.ingest.ingest import import_openi as run
    from lingula.openi.splits import SPLITS, Split
    from lingula.reading.sandbox import Sandbox

    only = None
    if part is not None:
        if part not in SPLITS:
            raise InputError("bad_request", f"No part {part!r} of a split.", f"Parts: {', '.join(SPLITS)}.")
        only = frozenset(Split.load(split or "openi-v1").ids(part))
    checkpoint = load_model(model, fast)
    bar = output.progress_bar("Importing")
    with create_library(checkpoint, library) as opened, Sandbox(workers) as sandbox, bar as progress:
        result = run(opened, checkpoint, path, sandbox, only=only, progress=progress)
    _report(result, json)


def import_files(
    path: Annotated[
        Path, typer.Argument(help="A folder (or one file) of radiographs: DICOM, PNG, JPEG, TIFF, BMP, WebP, JPEG XL.")
    ],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    fast: Fast = False,
    workers: Annotated[int, typer.Option(help="Reading processes.")] = 2,
    json: Json = False,
) -> None:
    """Import a folder of radiographs of your own. Bad files are listed with their codes, good ones are kept.

    Example: [bold]lingula import files ./films --library library.sqlite[/]
    """
    from lingula.ingest.ingest import create_library
    from lingula.ingest.ingest import import_files as run
    from lingula.reading.sandbox import Sandbox

    checkpoint = load_model(model, fast)
    bar = output.progress_bar("Importing")
    with create_library(checkpoint, library) as opened, Sandbox(workers) as sandbox, bar as progress:
        result = run(opened, checkpoint, path, sandbox, progress=progress)
    _report(result, json)


def encode(
    path: Annotated[Path, typer.Argument(help="The unpacked DICOM or PNG tree with the XML tree, on every machine.")],
    ray: Annotated[str, typer.Option("--ray", help="Address of the cluster; auto on its head, local to try it here.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    workers: Annotated[int | None, typer.Option(help="How many; by default one a processor of the cluster.")] = None,
    json: Json = False,
) -> None:
    """Import an Open-i collection with the machines of an existing Ray cluster; a stopped run goes on.

    Example: [bold]lingula encode /data/openi --ray ray://head:10001 --library postgresql://user@host/lingula[/]
    """
    from lingula.ingest.cluster import encode_openi
    from lingula.ingest.ingest import create_library

    checkpoint = load_model(model, fast=False)
    with create_library(checkpoint, library) as opened, output.progress_bar("Encoding") as progress:
        result = encode_openi(opened, model, path, address=ray, workers=workers, progress=progress)
    _report(result, json)


def _report(result: object, json: bool) -> None:
    from lingula.ingest.ingest import Imported

    assert isinstance(result, Imported)
    if json:
        refused = [{"file": str(r.path), "code": r.code, "message": r.message} for r in result.refused]
        names = ("added", "present", "images", "missing", "unreferenced")
        return output.write_json({**{name: getattr(result, name) for name in names}, "refused": refused})
    output.out.print(
        f"{result.added} studies added ({result.images} images), {result.present} there before; "
        f"{result.missing} images missing, {result.unreferenced} without a report, {len(result.refused)} files refused."
    )
    if result.refused:
        table = Table("file", "code", "why", box=None, header_style="dim")
        for entry in result.refused[:50]:
            table.add_row(entry.path.name, entry.code, entry.message)
        output.out.print(table)
        if len(result.refused) > 50:
            output.out.print(f"… and {len(result.refused) - 50} more; all of them with --json.")
