"""predict, search, explain, analyze: one study in, an answer out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lingula.cli import output
from lingula.cli.options import (
    Anyway,
    Files,
    Html,
    Json,
    K,
    Label,
    Methods,
    Model,
    OnDevice,
    ReportFile,
    SameStudy,
    SearchedAt,
    Text,
    load_model,
    opened,
    read,
)
from lingula.errors import InputError
from lingula.study import Analysis, Explanation
from lingula.types import Device

if TYPE_CHECKING:
    from lingula.retrieval import Searched


Names = dict[str, str]


def register(app: typer.Typer) -> None:
    for command in (predict, search, explain, analyze):
        app.command()(command)


def predict(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    same_study: SameStudy = False,
    model: Model = "compact",
    device: OnDevice = "auto",
    anyway: Anyway = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", callback=output.writable, help="With a folder or archive: the table, .csv or .parquet."),
    ] = None,
    json: Json = False,
) -> None:
    """Findings with calibrated probabilities; of every study of a folder as a table.

    Example: [bold]lingula predict chest.dcm[/]
    Example: [bold]lingula predict ./films --out findings.csv[/]
    """
    if out is not None or (files and len(files) == 1 and files[0].is_dir()):
        from lingula.cli.predict_folder import predict_folder

        return predict_folder(files or [], out, model=load_model(model, device), anyway=anyway, json=json)
    from lingula.analysis import analyze as ask

    asked = read(files, report, text, same_study)
    analysis = ask(asked, load_model(model, device), methods=(), anyway=anyway)
    if json:
        return output.write_json(analysis)
    output.banner()
    output.show_notices(analysis)
    if analysis.predictions:
        output.show_predictions(analysis.predictions)


def search(
    question: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION or FILE...",
            help='What to find, in words ("effusion, no cardiomegaly"), or films and report of a study to be like.',
        ),
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option("--like", help="A file to be like, several for one study; or a study's id.")
    ] = None,
    report: ReportFile = None,
    text: Text = None,
    same_study: SameStudy = False,
    also: Annotated[str, typer.Option("--with", help='What answers must show besides: "right base".')] = "",
    without: Annotated[str, typer.Option("--without", help="What they must not show.")] = "",
    more: Annotated[list[str] | None, typer.Option("--more", help="A study to move toward; repeatable.")] = None,
    less: Annotated[list[str] | None, typer.Option("--less", help="A study to move away from; repeatable.")] = None,
    view: Annotated[str | None, typer.Option("--view", help="Answers have such a film: frontal or lateral.")] = None,
    age: Annotated[str | None, typer.Option("--age", help="Years, from-to: 40-60.")] = None,
    labels: Annotated[str, typer.Option("--labels", help="Codes answers are coded with, comma-separated.")] = "",
    source: Annotated[
        str | None, typer.Option("--read", help="What is read of the study to be like: image, text or joint.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--among", help="What it is compared with: image, text or joint embeddings.")
    ] = None,
    aim: Annotated[
        str,
        typer.Option("--aim", help="similar; normal_look_alike; or same_findings, which look different."),
    ] = "similar",
    every: Annotated[bool, typer.Option("--all", help="Do not fold duplicates.")] = False,
    region: Annotated[
        str | None,
        typer.Option("--region", metavar="X,Y,W,H", help="Ask only what this box of one film shows, pixels."),
    ] = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="With --region: the same place on the other side may answer, too.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", callback=output.writable, help="With --region: a self-contained page of the boxes on the films."
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show how the question is understood and scored.")] = False,
    library: SearchedAt = None,
    model: Model = "compact",
    device: OnDevice = "auto",
    k: K = 5,
    json: Json = False,
) -> None:
    """Studies of a library, asked for in words, by a film or report to be like, or both.

    What is on the disk is a film or report; everything else is the question. Without a library, the gallery that ships
    with the model answers.

    Example: [bold]lingula search "effusion, no cardiomegaly"[/]
    Example: [bold]lingula search chest.dcm --without effusion --with "right base" --explain[/]
    Example: [bold]lingula search chest.png --region 310,420,90,90 --mirrored --html there.html[/]
    """
    from lingula.analysis import search as find
    from lingula.retrieval import Query

    files, words = _sorted_out(question or [])
    if region is not None:
        if len(files) != 1 or any((words, like, report, text, also, without, more, less, view, age, labels)):
            message = "--region asks with a box on one film, and with nothing else."
            raise InputError("bad_request", message, "Name one film.")
        return _search_region(files[0], region, mirrored, library, model, device, k, html, json)
    if mirrored or html:
        raise InputError("bad_request", f"{'--mirrored' if mirrored else '--html'} goes with --region.", "Name a box.")
    stored = [name for name in like or [] if not Path(name).is_file()]
    files += [Path(name) for name in like or [] if name not in stored]
    if len(stored) > 1 or (stored and (files or report or text)):
        raise InputError("bad_request", f"{stored[0]} is no file.", "Name files, or one study of the library.")
    read_question = Query.read(" ".join(words), also=also, without=without)
    query = read_question.with_options(
        like=stored[0] if stored else "",
        more=tuple(more or ()),
        less=tuple(less or ()),
        view=view or read_question.view,
        age=_ages(age) or read_question.age,
        labels=tuple(filter(None, (label.strip() for label in labels.split(",")))),
        source=source,
        target=target,
        aim=aim,
        k=k,
        fold=not every,
    )
    study = read(files, report, text, same_study) if files or report or text else None
    if study is None:
        query.require_something()  # before seconds are spent on loading the model
    checkpoint = load_model(model, device)
    with opened(library, checkpoint) as known:
        answer = find(query, checkpoint, known, study)
    if json:
        return output.write_json(answer)
    output.banner()
    output.show_answer(answer, checkpoint.vocabulary.names, explain=explain)


def _search_region(
    file: Path, region: str, mirrored: bool, library: str | None, model: str, device: Device, k: int, html: Path | None,
    json: bool,
) -> None:  # fmt: skip
    """Search by a box: its edges read, the library's patches made where they are missing, the answer shown."""
    from lingula.retrieval.region import Place, check_place, library_patches, search_region

    numbers = [part.strip() for part in region.split(",")]
    if len(numbers) != 4 or not all(number.removeprefix("-").isdecimal() for number in numbers):
        raise InputError(
            "bad_request", f"{region!r} is no box.", "x,y,width,height in pixels of the film: 310,420,90,90."
        )
    study, place = read([file], None, None), Place(0, *map(int, numbers))
    check_place(study, place)  # before seconds are spent on loading the model
    checkpoint = load_model(model, device)
    names = checkpoint.vocabulary.names
    with opened(library, checkpoint) as known:
        with output.progress_bar("Patches of the library") as tell:
            patches = library_patches(checkpoint, known, tell)
        answer = search_region(study, place, checkpoint, known, mirrored=mirrored, k=k, patches=patches)
        if html:
            from lingula.page.region import write_region

            films = {each.neighbour.study_id: known.get(each.neighbour.study_id).study() for each in answer.found}
            write_region(html, answer, films, names)
    if json:
        return output.write_json(answer)
    output.banner()
    output.show_region(answer, names)
    if html:
        output.out.print(f"Page: {html}")


_REPORTS = (".xml", ".txt", ".md", ".rpt", ".rtf", ".html", ".json", ".hl7", ".pdf", ".docx", ".csv")
_SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg", *_REPORTS)
_ROOTS = tuple(start + os.sep for start in ("", ".", "..", "~"))


def _in_a_folder(path: Path) -> bool:
    return path.parent != Path() and path.parent.is_dir()


def _sorted_out(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Files that are there, and words; a word that looks like the name of a file that is not there is refused.

    A slash alone makes no name of a file ("w/o effusion", "atelectasis/pneumonia"): it does where the folder is there
    or the path is given from the root, this folder or the home folder.
    """
    files, words = [], []
    for argument in arguments:
        path = Path(argument)
        if path.is_file():
            files.append(path)
        elif path.suffix.lower() in _SUFFIXES or argument.startswith(_ROOTS) or _in_a_folder(path):
            raise InputError("bad_request", f"there is no file {argument}.", "Check its name.")
        else:
            words.append(argument)
    return files, words


def _ages(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    years = text.replace("\u2013", "-").split("-")
    if not 1 <= len(years) <= 2 or not all(part.strip().isdecimal() for part in years):
        raise InputError("bad_request", f"{text!r} is no range of ages.", "For example 40-60.")
    return int(years[0]), int(years[-1])


def explain(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    same_study: SameStudy = False,
    label: Label = None,
    model: Model = "compact",
    device: OnDevice = "auto",
    method: Methods = None,
    npz: Annotated[
        Path | None,
        typer.Option("--npz", callback=output.writable, help="Write the maps here, in the films' own pixels."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", callback=output.writable, help="Write a figure of films and maps here.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="The figure on a dark ground.")] = False,
    contour: Annotated[
        bool, typer.Option("--contour", help="The figure with lines round the strongest areas instead of colours.")
    ] = False,
    html: Html = None,
    anyway: Anyway = False,
    json: Json = False,
) -> None:
    """Where in the film and which words, by every method that passed its tests, each with how far to trust it.

    Example: [bold]lingula explain chest.dcm --label pleural_effusion --html why.html[/]
    """
    from lingula.analysis import analyze as ask
    from lingula.explanation import DEPLOYED, shown_methods

    study = read(files, report, text, same_study, handed_out=html is not None)
    checkpoint = load_model(model, device)
    methods = method or shown_methods(checkpoint.fingerprint, DEPLOYED)
    analysis, names = ask(study, checkpoint, label=label, methods=methods, anyway=anyway), checkpoint.vocabulary.names
    if npz:
        _save_maps(npz, analysis.explanations)
    if png:
        from lingula.page.figure import evidence_png

        theme: Literal["light", "dark"] = "dark" if dark else "light"
        figure = evidence_png(analysis.study, analysis.explanations, names, theme=theme, contour=contour)
        png.write_bytes(figure)
    if html:
        _write(html, analysis, names, library=None)
    if json:
        return output.write_json(_shown(analysis, names))
    output.banner()
    output.show_notices(analysis)
    _show_evidence(analysis, names)


def analyze(
    files: Files = None,
    report: ReportFile = None,
    text: Text = None,
    same_study: SameStudy = False,
    library: SearchedAt = None,
    label: Label = None,
    method: Methods = None,
    model: Model = "compact",
    device: OnDevice = "auto",
    k: K = 10,
    html: Html = None,
    anyway: Anyway = False,
    json: Json = False,
) -> None:
    """Findings, similar studies and evidence in one go, as a table, JSON or a page. Evidence is by the quick methods;
    the slow ones, which take seconds, are named or asked of [bold]lingula explain[/].

    Example: [bold]lingula analyze chest.dcm --report chest.xml --html chest.html[/]
    """
    from lingula.analysis import analyze as ask

    study = read(files, report, text, same_study, handed_out=html is not None)
    checkpoint = load_model(model, device)
    names = checkpoint.vocabulary.names
    with opened(library, checkpoint) as known:
        analysis = ask(study, checkpoint, known, label=label, methods=method, k=k, anyway=anyway)
        if html:
            _write(html, analysis, names, known)
    if json:
        return output.write_json(_shown(analysis, names))
    output.banner()
    output.show_notices(analysis)
    if analysis.predictions:
        output.show_predictions(analysis.predictions)
        output.show_neighbours(analysis.neighbours, names)
        _show_evidence(analysis, names)
    if html:
        output.out.print(f"Page: {html}")


def _write(path: Path, analysis: Analysis, names: Names, library: Searched | None) -> None:
    from lingula.page import write_page

    known = {n.study_id: library.get(n.study_id).study() for n in analysis.neighbours} if library else {}
    shown = {study_id: study for study_id, study in known.items() if study.radiographs or study.report}
    write_page(path, analysis, neighbour_studies=shown, vocabulary_names=names)


def _show_evidence(analysis: Analysis, names: Names) -> None:
    if analysis.explanations:
        text = analysis.study.report.text if analysis.study.report else ""
        label = analysis.explanations[0].label
        output.show_explanations(analysis.explanations, text, names.get(label, label))
    elif analysis.predictions:
        output.out.print("No finding is flagged, so no evidence is shown. --label names a finding to explain.")


def _shown(analysis: Analysis, names: Names) -> dict[str, Any]:
    """The answer with its explanations as the API gives each."""
    from lingula.page.explained import shown_explanation

    shown = [shown_explanation(analysis.study, each, names) for each in analysis.explanations]
    return {**analysis.to_json(), "explanations": shown}


def _save_maps(path: Path, explanations: tuple[Explanation, ...]) -> None:
    import numpy as np

    maps = {f"{e.method}_{film}": heat for e in explanations for film, heat in enumerate(e.maps)}
    np.savez_compressed(path, **maps)  # type: ignore[arg-type]
