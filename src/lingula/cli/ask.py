"""predict, search, explain, analyze: one study in, an answer out."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingula.cli import output
from lingula.study import Analysis, Explanation, Study

if TYPE_CHECKING:
    from lingula.models.checkpoint import Checkpoint

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE...", help="DICOM, PNG or JPEG films of one study, and/or its report (XML, text)."),
]
ReportFile = Annotated[Path | None, typer.Option("--report", help="Report file: Open-i XML or plain text.")]
Text = Annotated[str | None, typer.Option("--text", help="Report as text.")]
Model = Annotated[str, typer.Option("--model", help="Checkpoint folder, or a shipped one by name.")]
Fast = Annotated[
    bool, typer.Option("--fast", envvar="LINGULA_FAST", help="Compiled encoders (extra fast); a minute the first time.")
]
LibraryAt = Annotated[str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="The library to search.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a self-contained page here.")]
K = Annotated[int, typer.Option("--k", help="How many similar studies, 1 to 100.")]
Label = Annotated[str | None, typer.Option("--label", help="Finding to explain; by default the one that stands out.")]
DEFAULT_LIBRARY = "library.sqlite"

Names = dict[str, str]


def register(app: typer.Typer) -> None:
    for command in (predict, search, explain, analyze):
        app.command()(command)


def predict(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    model: Model = "compact",
    fast: Fast = False,
    json: Json = False,
) -> None:
    """Findings with calibrated probabilities.

    Example: [bold]lingula predict chest.dcm[/]
    """
    analysis, _ = _answer(_read(files, report, text), model, fast, library=None, methods=())
    if json:
        return output.write_json(_without(analysis, "neighbours", "explanations", "library"))
    output.banner()
    output.show_notices(analysis)
    output.show_predictions(analysis.predictions)


def search(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    library: LibraryAt = DEFAULT_LIBRARY,
    model: Model = "compact",
    fast: Fast = False,
    k: K = 5,
    json: Json = False,
) -> None:
    """The most similar studies of a library.

    Example: [bold]lingula search chest.dcm --library library.sqlite[/]
    """
    analysis, names = _answer(_read(files, report, text), model, fast, library=library, methods=(), k=k)
    if json:
        return output.write_json(_without(analysis, "predictions", "explanations"))
    output.banner()
    output.show_notices(analysis)
    output.show_neighbours(analysis.neighbours, names)


def explain(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    label: Label = None,
    model: Model = "compact",
    fast: Fast = False,
    npz: Annotated[Path | None, typer.Option("--npz", help="Write the maps here, in the films' own pixels.")] = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Where in the film and which words: attention, Grad-CAM, Integrated Gradients.

    Example: [bold]lingula explain chest.dcm --label pleural_effusion --html why.html[/]
    """
    analysis, names = _answer(_read(files, report, text), model, fast, library=None, label=label)
    if npz:
        _save_maps(npz, analysis.explanations)
    if html:
        _write(html, analysis, names, library=None)
    if json:
        return output.write_json(_without(analysis, "predictions", "neighbours", "library"))
    output.banner()
    output.show_notices(analysis)
    _show_evidence(analysis, names)


def analyze(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    library: LibraryAt = DEFAULT_LIBRARY,
    label: Label = None,
    model: Model = "compact",
    fast: Fast = False,
    k: K = 5,
    html: Html = None,
    json: Json = False,
) -> None:
    """Findings, similar studies and evidence in one go, as a table, JSON or a page.

    Example: [bold]lingula analyze chest.dcm --report chest.xml --html chest.html[/]
    """
    analysis, names = _answer(_read(files, report, text), model, fast, library=library, label=label, k=k)
    if html:
        _write(html, analysis, names, library)
    if json:
        return output.write_json(analysis.to_json())
    output.banner()
    output.show_notices(analysis)
    output.show_predictions(analysis.predictions)
    output.show_neighbours(analysis.neighbours, names)
    _show_evidence(analysis, names)
    if html:
        output.out.print(f"Page: {html}")


def _read(files: list[Path] | None, report: Path | None, text: str | None) -> Study:
    from lingula.read import read_study
    from lingula.sandbox import Sandbox

    with Sandbox() as sandbox:
        return read_study(files or [], report=report, text=text, sandbox=sandbox)


def load_model(model: str, fast: bool) -> Checkpoint:
    """The checkpoint; says so where its encoders are compiled first."""
    from lingula.models.checkpoint import load_checkpoint

    with output.err.status("Compiling the encoders") if fast else nullcontext():
        return load_checkpoint(model, fast=fast)


def _answer(study: Study, model: str, fast: bool, library: str | None, **options: Any) -> tuple[Analysis, Names]:
    """The analysis, and the labels' names for a reader."""
    from lingula.analysis import analyze as ask
    from lingula.library import Library

    checkpoint = load_model(model, fast)
    names = {label.code: label.name for label in checkpoint.vocabulary.labels}
    if library is None:
        return ask(study, checkpoint, None, **options), names
    with Library.open(library, model=checkpoint.fingerprint) as opened:
        return ask(study, checkpoint, opened, **options), names


def _write(path: Path, analysis: Analysis, names: Names, library: str | None) -> None:
    from lingula.library import Library
    from lingula.page import write_page

    shown = {}
    if library is not None:
        with Library.open(library) as opened:
            shown = {neighbour.study_id: opened.study(neighbour.study_id) for neighbour in analysis.neighbours}
    write_page(path, analysis, neighbour_studies=shown, vocabulary_names=names)


def _show_evidence(analysis: Analysis, names: Names) -> None:
    if analysis.explanations:
        text = analysis.study.report.text if analysis.study.report else ""
        label = analysis.explanations[0].label
        output.show_explanations(analysis.explanations, text, names.get(label, label))


def _without(analysis: Analysis, *parts: str) -> dict[str, Any]:
    return {key: value for key, value in analysis.to_json().items() if key not in parts}


def _save_maps(path: Path, explanations: tuple[Explanation, ...]) -> None:
    import numpy as np

    maps = {f"{e.method}_{film}": heat for e in explanations for film, heat in enumerate(e.maps)}
    np.savez_compressed(path, **maps)  # type: ignore[arg-type]
