"""why: two studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingula.cli import options, output
from lingula.errors import InputError
from lingula.study import Mode

if TYPE_CHECKING:
    from lingula.explanation.comparison import Why


def register(app: typer.Typer) -> None:
    app.command()(why)


def why(
    asked: Annotated[
        list[str], typer.Argument(metavar="FILE... STUDY", help="Films and report asked about, then a library study.")
    ],
    report: options.ReportFile = None,
    text: options.Text = None,
    library: Annotated[
        str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="The library the study is in.")
    ] = options.DEFAULT_LIBRARY,
    mode: Annotated[Mode | None, typer.Option(help="What is read of both: image, text or joint.")] = None,
    also: Annotated[
        str, typer.Option("--with", help="What the search asked for besides: its share of the score.")
    ] = "",
    without: Annotated[str, typer.Option("--without", help="What it was not to show: likewise.")] = "",
    model: options.Model = "compact",
    device: options.OnDevice = "auto",
    html: options.Html = None,
    json: options.Json = False,
) -> None:
    """Why a study of the library is like the one asked about, and what would change the ranking.

    Example: [bold]lingula why chest.dcm CXR1000 --library library.sqlite --html why.html[/]
    """
    from lingula.explanation.comparison import why as find
    from lingula.retrieval import Query

    *files, study_id = asked
    if not files and not report and not text:
        raise InputError("bad_request", "A film or report to ask with is missing.", "lingula why chest.dcm CXR1000")
    if missing := [name for name in files if not Path(name).is_file()]:
        raise InputError("not_found", f"there is no file {missing[0]}.", "The study's id comes last.")
    study, checkpoint = options.read([Path(name) for name in files], report, text), options.load_model(model, device)
    names = checkpoint.vocabulary.names
    with options.stored(library, checkpoint) as known:
        query = Query.read("", also=also, without=without) if also or without else None
        found = find(study, study_id, checkpoint, known, mode=mode, query=query)
    if html:
        from lingula.page.comparison import write_pair

        write_pair(html, found, names)
    if json:
        return output.write_json(found)
    output.banner()
    _show(found, names)


def _show(found: Why, names: dict[str, str]) -> None:
    from lingula.page.comparison import changes

    one, other = found.similarity.one, found.similarity.other
    output.out.print(
        f"[bold]{found.study_id}[/]  rank {found.rank}, cosine {found.similarity.score:.4f}, read as {found.mode}"
    )
    for side in (one, other):
        output.out.print(
            f"  {side.study.study_id}: films {side.image:+.4f}, report {side.text:+.4f}, sum {side.total:.4f}",
            highlight=False,
        )
    if abs(found.similarity.remainder) >= 5e-5:
        output.out.print(f"  the library's picture is smaller than the film: {found.similarity.remainder:+.4f}")
    output.out.print(f"  sums to the cosine within {found.similarity.sum_error:.0e}")
    for each in found.met:
        output.out.print(f"  {each.asked}: {each.score:+.4f} ({each.part})", markup=False, highlight=False)
    if found.met:
        output.out.print(f"  score of the search {found.total:.4f}")
    for m in found.similarity.matches:
        here = f"{m.one[1:]} of film {m.one[0] + 1}"
        output.out.print(f"  region {here} and {m.other[1:]} of film {m.other[0] + 1}: {m.score:+.4f}", markup=False)
    output.out.print("both show: " + (", ".join(names.get(p.finding, p.finding) for p in found.shared) or "nothing"))
    for pair in found.differing:
        name = names.get(pair.finding, pair.finding)
        output.out.print(f"differ: {name}, here {pair.one or 'not mentioned'}, there {pair.other or 'not mentioned'}")
    for line in changes(found):
        output.out.print(line, markup=False)
