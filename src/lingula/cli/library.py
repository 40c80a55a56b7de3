"""library: making one, looking after it, moving it."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, Json, LibraryAt, Model, load_model, stored
from lingula.errors import InputError, LibraryError
from lingula.plain import plain


def register(app: typer.Typer) -> None:
    library = typer.Typer(help="Make a library, look after it, move it.", no_args_is_help=True)
    for command in (create, upgrade, status, verify, reindex, reencode, backup, export, delete):
        library.command()(command)
    library.command("import")(import_library)
    app.add_typer(library, name="library")


def create(library: LibraryAt = DEFAULT_LIBRARY, model: Model = "compact", json: Json = False) -> None:
    """Make an empty library for a model; one that is there already is left as it is.

    Example: [bold]lingula library create --library postgresql://user@host/lingula[/]
    """
    from lingula.ingest.batches import create_library

    checkpoint = load_model(model)
    with create_library(checkpoint, library) as opened:
        body = {"location": opened.status().location, "model": opened.about.model, "studies": len(opened)}
    shown = f"{body['location']}: {body['studies']} studies, model {body['model']}."
    output.tell(body, json, shown)


def upgrade(library: LibraryAt = DEFAULT_LIBRARY, model: Model = "compact", json: Json = False) -> None:
    """Bring a library of an earlier version up to date: its tables, and the name of the model that filled it.

    Nothing is decoded or encoded again.

    Example: [bold]lingula library upgrade --library library.sqlite[/]
    """
    checkpoint = load_model(model)
    with stored(library) as opened:
        renamed = opened.rename_model(checkpoint.earlier, checkpoint.fingerprint)
    body = {"model": checkpoint.fingerprint, "renamed": renamed}
    shown = f"Model {checkpoint.fingerprint}" + (f", named {checkpoint.earlier} before." if renamed else ": as it was.")
    output.tell(body, json, shown)


def import_library(
    source: Annotated[str, typer.Argument(help="A library or a backup: its file or URL.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Bring in the studies of another library, with their embeddings: restore a backup, or move to PostgreSQL.

    Films and reports come in by [bold]lingula import openi[/] and [bold]lingula import files[/].

    Example: [bold]lingula library import backup.sqlite --library postgresql://user@host/lingula[/]
    """
    from lingula.library import Library
    from lingula.openi.collection import Refused

    bar = output.progress_bar("Importing")
    with stored(source) as other, Library.like(other, library) as opened, bar as progress:
        outcomes = opened.copy_from(other, progress)
    refused = [outcome for outcome in outcomes if outcome.error]
    counts = {state: sum(one.state == state for one in outcomes) for state in ("added", "present", "refused")}
    if json:
        told = [Refused(Path(one.study_id), one.error.code, one.error.message) for one in outcomes if one.error]
        return output.write_json({**counts, "refused": told})
    output.out.print(f"{counts['added']} studies added, {counts['present']} there before, {len(refused)} refused.")
    for one in refused[:50]:
        output.out.print(str(one.error), highlight=False, markup=False)


def status(library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """What a library holds.

    Example: [bold]lingula library status --library library.sqlite[/]
    """
    with stored(library) as opened:
        found = opened.status()
    if json:
        return output.write_json(found)
    output.banner()
    table = Table("", "", box=None, show_header=False)
    for key, value in found.to_json().items():
        if key == "disclaimer":
            continue
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(key, shown)
    output.out.print(table)


def verify(library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """Check every record and vector of a library.

    Example: [bold]lingula library verify --library library.sqlite[/]
    """
    with stored(library) as opened:
        problems = opened.verify()
    output.tell({"problems": problems}, json, *(problems or ("Sound.",)))
    if problems:
        raise typer.Exit(1)


def reindex(library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """Make everything derived anew: what reports assert, by today's rules, and the indexes of words and vectors.

    Example: [bold]lingula library reindex --library library.sqlite[/]
    """
    with stored(library) as opened, output.progress_bar("Reading reports") as progress:
        opened.reindex(progress)
        body = {"studies": len(opened)}
    output.tell(body, json, f"{body['studies']} studies indexed.")


def reencode(
    out: Annotated[str, typer.Argument(help="The new library: its file or URL.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint that the new library is of.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Fill a library of another model from the previews and reports that this one keeps; no file is read again.

    Example: [bold]lingula library reencode new.sqlite --model my-model --library library.sqlite[/]
    """
    from lingula.ingest.batches import destination
    from lingula.ingest.batches import reencode as run

    checkpoint = load_model(model)
    bar = output.progress_bar("Encoding")
    with stored(library) as source, destination(checkpoint, out) as made, bar as progress:
        outcomes = run(made, source, checkpoint, progress)
    added = sum(each.state == "added" for each in outcomes)
    body = {"location": out, "model": checkpoint.fingerprint, "added": added, "present": len(outcomes) - added}
    shown = f"{out}: {added} studies added, {body['present']} there before, model {checkpoint.fingerprint}."
    output.tell(body, json, shown)


def backup(
    file: Annotated[Path, typer.Argument(callback=output.writable, help="The file to write; a library itself.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Copy a library into one SQLite file while it is used; a backup that was stopped goes on.

    Example: [bold]lingula library backup backup.sqlite --library postgresql://user@host/lingula[/]
    """
    with stored(library) as opened, output.progress_bar("Copying") as progress:
        opened.backup(file, progress)
    size = file.stat().st_size
    body = {"backup": str(file), "bytes": size}
    output.tell(body, json, f"Backup: {file} ({size / 1e6:.1f} MB)")


def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    kind: Annotated[str, typer.Option("--format", help="csv, parquet (with embeddings) or trec (a run).")] = "csv",
    json: Json = False,
) -> None:
    """Write a library as tables for others. Reports are in them: mind whom you give them to.

    Example: [bold]lingula library export tables --format parquet --library library.sqlite[/]
    """
    from lingula.library.export import export as write

    with stored(library) as opened, output.progress_bar("Exporting") as progress:
        files = write(opened, folder, kind, progress=progress)  # type: ignore[arg-type]
    output.banner()
    output.tell({"files": files}, json, *map(str, files))


def delete(
    studies: Annotated[list[str] | None, typer.Argument(metavar="STUDY...", help="Identifiers of studies.")] = None,
    patient: Annotated[
        str,
        typer.Option(help="All studies of a patient: by the key a study shows, or by the name it was imported under."),
    ] = "",
    sender: Annotated[str, typer.Option(help="All studies of a sender (lingula import --sender).")] = "",
    receipt: Annotated[
        Path | None, typer.Option(callback=output.writable, help="Write the receipt here, too; it names nobody.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Delete studies for good: records, vectors, pictures, sets, answers, and what was derived from them.

    Backups and exports made before may still hold them; the receipt lists those.

    Example: [bold]lingula library delete CXR17 CXR18 --yes --library library.sqlite[/]
    """
    from lingula.deletion import delete_studies

    if bool(studies) + bool(patient) + bool(sender) != 1:
        raise InputError("bad_request", "it is not clear what to delete.", "Name studies, --patient or --sender.")
    with stored(library) as opened:
        ids = tuple(studies or ()) or opened.owned(patient=patient, sender=sender)
        if not ids:
            raise LibraryError("study_unknown", f"{opened.place} has no such study.", "Nothing was deleted.")
        if not yes and (json or not typer.confirm(f"Delete {len(ids)} of {len(opened)} studies for good?", err=True)):
            raise InputError("bad_request", "nothing was deleted.", "Say --yes.")
        body = plain(delete_studies(opened, ids))
    if receipt is not None:
        receipt.write_text(json_module.dumps(body, indent=1) + "\n")
    if json:
        return output.write_json(body)
    rows = ", ".join(f"{count} of {table}" for table, count in body["rows"].items())
    output.out.print(f"{body['studies']} studies deleted at {body['at']} ({rows}; {body['files']} derived files).")
    for each in body["copies"]:
        output.out.print(f"Perhaps still in: {each['kind']} {each['place']} of {each['at']}", highlight=False)
    for words in body["remains"]:
        output.out.print(f"Bytes may be left in {words}.", highlight=False)
