"""deidentify: films and reports without their patients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lingula.cli import output
from lingula.cli.options import Json
from lingula.errors import InputError
from lingula.plain import plain


def register(app: typer.Typer) -> None:
    app.command()(deidentify)


def deidentify(
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="A DICOM file or a folder with films and reports.")
    ] = None,
    target: Annotated[Path | None, typer.Argument(metavar="OUT", help="Folder to write into.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the profile, may be repeated; by default those --explain shows.")
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="File with a secret: the same one replaces alike again. By default one is forgotten."),
    ] = None,
    pixels: Annotated[bool, typer.Option(help="Find and cover burned-in text; needs tesseract-ocr.")] = True,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what becomes of every attribute, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Write films and reports without their patients: PS3.15 Basic Profile, burned-in text, names in reports.

    Example: [bold]lingula deidentify ./films ./films-deidentified[/]
    """
    from lingula.deidentification import deidentify as run
    from lingula.deidentification.profile import DEFAULT, check_options, explain_profile

    options = check_options(option or DEFAULT)
    if explain:
        rows = explain_profile(options)
        if json:
            return output.write_json({"options": options, "actions": rows})
        shown = ((row["tag"], row["keyword"], row["basic"], row["option"], row["action"]) for row in rows)
        return output.show_table(("tag", "attribute", "basic profile", "option", "action"), shown)
    if source is None or target is None:
        raise InputError("bad_request", "what to read and where to write are missing.", "Give IN and OUT.")
    key = _secret(secret) if secret is not None else b""
    with output.progress_bar("De-identifying") as progress:
        report = run(source, target, secret=key, options=options, pixels=pixels, progress=progress)
    if json:
        output.write_json(plain(report))
    else:
        done = ", ".join(f"{count} {what}" for what, count in report.actions.items())
        output.out.print(
            f"{report.files} file{'s' * (report.files != 1)} written. Attributes: {done}.", highlight=False
        )
        output.out.print(f"{report.covered} words covered in pictures, {report.words} masked in reports.")
        if report.unread:
            output.err.print(f"{report.unread} films were not looked through for burned-in text.")
        for each in report.refused:
            output.err.print(f"file {each.number}: {each.code}  {each.message}", highlight=False)
    if report.refused and not report.files:
        raise typer.Exit(1)


def _secret(file: Path) -> bytes:
    """What the file holds; a new one is made where there is none."""
    from lingula.library.private_file import make_private

    if not file.exists():
        make_private(file)
        file.write_bytes(os.urandom(32))
    data = file.read_bytes()
    if len(data) < 16:
        raise InputError("bad_request", f"{file} holds no secret.", "It needs 16 bytes or more.")
    return data
