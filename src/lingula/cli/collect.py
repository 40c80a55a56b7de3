"""fetch, import, encode, phantom: getting studies in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lingula.cli import output
from lingula.cli.memory import return_freed_memory
from lingula.cli.options import DEFAULT_LIBRARY, Json, LibraryAt, Model, OnDevice, load_model
from lingula.errors import InputError
from lingula.types import Device

if TYPE_CHECKING:
    from lingula.ingest.batches import Imported
    from lingula.library import Library
    from lingula.model.checkpoint import Checkpoint
    from lingula.node.archive_import import ArchiveIndex
    from lingula.node.settings import TlsFiles
    from lingula.reading.sandbox import Sandbox


def register(app: typer.Typer) -> None:
    fetch = typer.Typer(help="Download a collection.", no_args_is_help=True)
    fetch.command("openi")(fetch_openi)
    app.add_typer(fetch, name="fetch")
    imports = typer.Typer(help="Put studies into a library.", no_args_is_help=True)
    imports.command("openi")(import_openi)
    imports.command("files")(import_files)
    imports.command("table")(import_table)
    imports.command("dicomweb")(import_dicomweb)
    imports.command("pacs")(import_pacs)
    app.add_typer(imports, name="import")
    app.command()(encode)


def fetch_openi(
    out: Annotated[Path, typer.Argument(help="Folder for the download.")] = Path("openi"),
    reports: Annotated[bool, typer.Option("--reports", help="1.1 MB of XML reports.")] = False,
    png: Annotated[bool, typer.Option("--png", help="About 14 GB of PNG images.")] = False,
    dicom: Annotated[bool, typer.Option("--dicom", help="About 80 GB of DICOM files.")] = False,
    unpack: Annotated[bool, typer.Option(help="Unpack after the download.")] = True,
    base_url: Annotated[str, typer.Option(help="The server; default: that of the National Library of Medicine.")] = "",
    json: Json = False,
) -> None:
    """Download the Open-i chest X-ray collection from NLM (CC BY-NC-ND 4.0); stopped downloads go on.

    Example: [bold]lingula fetch openi --reports --png[/]
    """
    from lingula.openi import fetch

    asked: dict[fetch.What, bool] = {"reports": reports or not (png or dicom), "png": png, "dicom": dicom}
    done = {}
    for kind in (kind for kind, chosen in asked.items() if chosen):
        with output.progress_bar(f"Fetching {kind}") as progress:
            archive = fetch.fetch(kind, out, base_url=base_url or fetch.NLM_URL, progress=progress)
        done[kind] = str(archive)
        if unpack:
            unpacked = fetch.unpack(archive, out / archive.name.removesuffix(".tgz"))
            done[kind] = str(unpacked.folder)
    output.tell(done, json, *(f"{kind}: {place}" for kind, place in done.items()))


Workers = Annotated[int, typer.Option(help="Reading processes.")]
BurnedInChoice = Annotated[
    Literal["keep", "refuse", "cover"],
    typer.Option(
        "--burned-in",
        help="Text in films: keep it, refuse films whose header tells of it, or find and cover it (Tesseract).",
    ),
]
Authority = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Who certifies the archive (PEM): TLS with it alone.")
]
Certificate = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="What this side shows to the archive (PEM).")
]
Key = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The key of the certificate (PEM).")]
Sender = Annotated[
    str, typer.Option("--sender", help="Who sent them, by whose name they can be watched and deleted; no person.")
]


def import_openi(
    path: Annotated[Path, typer.Argument(help="The unpacked DICOM or PNG tree with the XML tree.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    device: OnDevice = "auto",
    split: Annotated[str | None, typer.Option(help="Split file; with --part, import only that part of it.")] = None,
    part: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    workers: Workers = 2,
    burned_in: BurnedInChoice = "keep",
    json: Json = False,
) -> None:
    """Import the Open-i collection. Stopped imports go on; files that cannot be read are listed with their codes.

    Example: [bold]lingula import openi ~/openi --library library.sqlite --split openi-v1 --part train[/]
    """
    from lingula.ingest.openi import import_openi as run
    from lingula.openi.splits import SPLITS, Split

    only = None
    if part is not None:
        if part not in SPLITS:
            raise InputError("bad_request", f"No part {part!r} of a split.", f"Parts: {', '.join(SPLITS)}.")
        only = frozenset(Split.load(split or "openi-v1").ids(part))
    with _target(model, device, library, workers) as (checkpoint, opened, sandbox, progress):
        result = run(opened, checkpoint, path, sandbox, only=only, burned_in=burned_in, progress=progress)
    _report(result, json)


def import_files(
    path: Annotated[
        Path,
        typer.Argument(help="A folder, a disc, an archive (zip, tar), or one film: DICOM or a picture."),
    ],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    device: OnDevice = "auto",
    workers: Workers = 2,
    burned_in: BurnedInChoice = "keep",
    sender: Sender = "",
    json: Json = False,
) -> None:
    """Import films of your own, with the reports that lie beside them. Bad files are listed, good ones are kept.

    Example: [bold]lingula import files ./films --library library.sqlite[/]
    """
    from lingula.ingest.files import import_files as run

    with _target(model, device, library, workers) as (checkpoint, opened, sandbox, progress):
        result = run(opened, checkpoint, path, sandbox, burned_in=burned_in, sender=sender, progress=progress)
    _report(result, json)


def import_table(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: path, study, report, labels or mesh, patient, …")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    device: OnDevice = "auto",
    workers: Workers = 2,
    burned_in: BurnedInChoice = "keep",
    sender: Sender = "",
    json: Json = False,
) -> None:
    """Import films with their reports, labels, patients and ages from a table, a row a film.

    Example: [bold]lingula import table ./cases.csv --library library.sqlite[/]
    """
    from lingula.ingest.table import import_table as run

    with _target(model, device, library, workers) as (checkpoint, opened, sandbox, progress):
        result = run(opened, checkpoint, file, sandbox, burned_in=burned_in, sender=sender, progress=progress)
    _report(result, json)


def import_dicomweb(
    url: Annotated[str, typer.Argument(help="DICOMweb address of an archive, such as http://host:8042/dicom-web.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    token: Annotated[str, typer.Option(help="Environment variable or file that holds a bearer token.")] = "",
    user: Annotated[str, typer.Option(help="Environment variable or file that holds name:password.")] = "",
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    workers: Workers = 2,
    burned_in: BurnedInChoice = "keep",
    json: Json = False,
) -> None:
    """Index an archive where it lies (extra pacs): what came or changed since is read, what was deleted
    there is deleted here.

    Example: [bold]lingula import dicomweb http://localhost:8042/dicom-web --library library.sqlite[/]
    """
    from lingula.node.archive_import import WebIndex
    from lingula.node.settings import WebTarget

    tls = _tls(authority, certificate, key)
    _index(WebIndex(WebTarget(url, token, user, tls)), model, library, workers, burned_in, json)


def import_pacs(
    peer: Annotated[str, typer.Argument(help="AET@host:port of an archive.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    own_aet: Annotated[str, typer.Option(help="How this side calls itself.")] = "LINGULA",
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    workers: Workers = 2,
    burned_in: BurnedInChoice = "keep",
    json: Json = False,
) -> None:
    """Index an archive by C-FIND and C-GET (extra pacs): what came or changed since is read, what was deleted
    there is deleted here.

    Example: [bold]lingula import pacs ARCHIVE@localhost:4242 --library library.sqlite[/]
    """
    from lingula.node.archive_import import DimseIndex, peer_of

    archive = replace(peer_of(peer, own_aet), tls=_tls(authority, certificate, key))
    _index(DimseIndex(archive), model, library, workers, burned_in, json)


def _tls(authority: Path | None, certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """TLS by these files (PEM); None where none is named."""
    from lingula.node.settings import TlsFiles

    if bool(certificate) != bool(key):
        raise InputError("bad_request", "a certificate goes with its key.", "Name both, or neither.")
    return TlsFiles(certificate, key, authority) if authority or certificate else None


def _index(
    archive: ArchiveIndex, model: str, library: str, workers: int, burned_in: BurnedInChoice, json: bool
) -> None:  # fmt: skip
    from lingula.node.archive_import import import_archive

    with _target(model, "auto", library, workers) as (checkpoint, opened, sandbox, progress):
        result = import_archive(opened, checkpoint, archive, sandbox, burned_in=burned_in, progress=progress)
    if not json:
        told = (
            f"{result.listed} studies in the archive, {result.known} known before, of these {result.changed} changed; "
            f"{result.gone} deleted here."
        )
        output.out.print(told, highlight=False)
        return _show(result.imported)
    output.write_json(result)


Target = tuple["Checkpoint", "Library", "Sandbox", Callable[[int, int], None]]


@contextmanager
def _target(model: str, device: Device, library: str, workers: int) -> Iterator[Target]:
    """Model, library, reading processes and progress bar of an import."""
    from lingula.ingest.batches import destination
    from lingula.reading.sandbox import Sandbox

    checkpoint = load_model(model, device)
    bar = output.progress_bar("Importing")
    with destination(checkpoint, library) as opened, Sandbox(workers) as sandbox, bar as progress:

        def told(done: int, of: int) -> None:
            progress(done, of)
            return_freed_memory()

        yield checkpoint, opened, sandbox, told


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
    from lingula.ingest.batches import destination
    from lingula.ingest.cluster import encode_openi

    checkpoint = load_model(model)
    with destination(checkpoint, library) as opened, output.progress_bar("Encoding") as progress:
        result = encode_openi(opened, model, path, address=ray, workers=workers, progress=progress)
    _report(result, json)


def _report(result: Imported, json: bool) -> None:
    """What became of the import; exit code 1 where nothing came in."""
    output.write_json(result) if json else _show(result)
    if not result.added and not result.present:
        raise typer.Exit(1)


def _show(result: Imported) -> None:
    told = [
        f"{result.added} studies added ({result.images} images)",
        f"{result.present} there before",
        *([f"{result.missing} images missing"] if result.missing else []),
        *([f"{result.unreferenced} without a report"] if result.unreferenced else []),
        *([f"{result.copies} copies of another file"] if result.copies else []),
        f"{len(result.refused)} files refused",
    ]
    output.out.print(f"{', '.join(told)}.", highlight=False)
    if result.unused:
        output.out.print(f"Columns not used: {output.plain(', '.join(result.unused))}.", highlight=False)
    if result.refused:
        rows = ((output.plain(str(each.path)), each.code, output.plain(each.message)) for each in result.refused[:50])
        output.show_table(("file", "code", "why"), rows)
        if len(result.refused) > 50:
            output.out.print(f"… and {len(result.refused) - 50} more; all of them with --json.")
