"""Options that commands share, and what they name opened: films and report, checkpoint, library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingula.cli import output
from lingula.errors import InputError
from lingula.study import Study
from lingula.types import Device

if TYPE_CHECKING:
    from lingula.library import Library
    from lingula.model.checkpoint import Checkpoint
    from lingula.retrieval import Searched


Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE...", help="Films of one study (DICOM or pictures), and/or its report (XML, text)."),
]
ReportFile = Annotated[Path | None, typer.Option("--report", help="Report file: Open-i XML or plain text.")]
Text = Annotated[str | None, typer.Option("--text", help="Report as text.")]
Model = Annotated[str, typer.Option("--model", help="Checkpoint folder, or a shipped one by name.")]
OnDevice = Annotated[
    Device, typer.Option("--device", envvar="LINGULA_DEVICE", help="What computes: cpu, cuda, or auto, a GPU if any.")
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway", help="Read films, too, that are no chest radiographs; give maps though they point nowhere."
    ),
]
LibraryAt = Annotated[str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="Path or URL of the library.")]
SearchedAt = Annotated[
    str | None,
    typer.Option(
        "--library", envvar="LINGULA_LIBRARY",
        help="Path or URL of the library; by default library.sqlite, else what ships with the model.",
    ),
]  # fmt: skip
SameStudy = Annotated[
    bool, typer.Option("--same-study", help="The films are of one study, although they may not say so themselves.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Html = Annotated[
    Path | None, typer.Option("--html", callback=output.writable, help="Write a self-contained page here.")
]
K = Annotated[int, typer.Option("--k", "-k", help="How many similar studies, 1 to 100.")]
Label = Annotated[str | None, typer.Option("--label", help="Finding to explain; by default the one that stands out.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Evidence by this method alone; again for more.")]


DEFAULT_LIBRARY = "library.sqlite"
STANDARD_INPUT = "-"


def read(
    files: list[Path] | None,
    report: Path | None,
    text: str | None,
    same_study: bool = False,
    *,
    handed_out: bool = False,
) -> Study:
    """The study of these options; ``handed_out`` for a page that may be given away: without names in its report."""
    from lingula.reading.sandbox import Sandbox
    from lingula.reading.study_reader import read_study

    if text is not None and report is not None:
        raise InputError("bad_request", "--text and --report are one report each.", "Give one of them.")
    with Sandbox() as sandbox:
        given: Path | bytes | None = report
        if text == STANDARD_INPUT or str(report) == STANDARD_INPUT:
            given, text = _piped(None, sandbox.limits.xml_bytes), None
        elif report is not None and report.is_fifo():
            given = _piped(report, sandbox.limits.xml_bytes)
        study = read_study(files or [], report=given, text=text, sandbox=sandbox, same_study=same_study)
        if handed_out and study.report is not None:
            from lingula.deidentification.reports import header_names, without_identifiers

            study = without_identifiers(study, header_names(files or (), sandbox))
        return study


def _piped(pipe: Path | None, most: int) -> bytes:
    """A report from a pipe, by default standard input; no more of it is read than a report may have.

    Raises:
        InputError: empty_file, too_large.
    """
    if pipe is None:
        data = sys.stdin.buffer.read(most + 1)
    else:
        with pipe.open("rb") as opened:
            data = opened.read(most + 1)
    if not data:
        raise InputError("empty_file", "nothing came from standard input.", "Pipe a report into it.")
    if len(data) > most:
        raise InputError("too_large", f"more than {most} bytes came from standard input.")
    return data


def load_model(model: str, device: Device = "auto", threads: int | None = None) -> Checkpoint:
    """The checkpoint named."""
    from lingula.model.checkpoint import load_checkpoint

    return load_checkpoint(model, device=device, threads=threads)


@contextmanager
def stored(library: str, checkpoint: Checkpoint | None = None) -> Iterator[Library]:
    """The library named; with a checkpoint, only if that very model filled it."""
    from lingula.library import Library  # its database takes a third of a second to load

    with Library.open(library, model=checkpoint.fingerprint if checkpoint else None) as known:
        yield known


@contextmanager
def opened(library: str | None, checkpoint: Checkpoint) -> Iterator[Searched]:
    """The library named, by default the one in this folder, else the gallery that ships with the model."""
    from lingula.library import ReadyGallery

    if library is None and not Path(DEFAULT_LIBRARY).exists() and (gallery := ReadyGallery.of(checkpoint.fingerprint)):
        output.err.print(
            f"[dim]No library here: the {len(gallery)} training studies that ship with the model answer. "
            "Pictures and reports appear once the collection is imported: lingula fetch openi.[/]"
        )
        yield gallery
        return
    with stored(library or DEFAULT_LIBRARY, checkpoint) as known:
        yield known
