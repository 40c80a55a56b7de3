"""why, teach: two studies at a time."""

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
    app.command()(teach)


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
    fast: options.Fast = False,
    html: options.Html = None,
    json: options.Json = False,
) -> None:
    """Why a study of the library is like the one asked about, and what would change the ranking.

    Example: [bold]lingula why chest.dcm CXR1000 --library library.sqlite --html why.html[/]
    """
    from lingula.explanation.comparison import why as find
    from lingula.library import Library
    from lingula.retrieval import Query

    *files, study_id = asked
    if not files and not report and not text:
        raise InputError("bad_request", "A film or report to ask with is missing.", "lingula why chest.dcm CXR1000")
    if missing := [name for name in files if not Path(name).is_file()]:
        raise InputError("not_found", f"there is no file {missing[0]}.", "The study's id comes last.")
    study, checkpoint = options.read([Path(name) for name in files], report, text), options.load_model(model, fast)
    names = {label.code: label.name for label in checkpoint.vocabulary.labels}
    with Library.open(library, model=checkpoint.fingerprint) as known:
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


def teach(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The drill; made when there is none.")],
    library: Annotated[
        str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="Where look-alikes are mined.")
    ] = options.DEFAULT_LIBRARY,
    count: Annotated[int, typer.Option(min=1, max=50, help="Pairs of a new drill.")] = 10,
    seed: Annotated[int, typer.Option(help="Order, sides and findings of a new drill.")] = 0,
    answer: Annotated[list[str] | None, typer.Option(help="An answer, CARD=A or CARD=B (again for more).")] = None,
    export: Annotated[
        Path | None, typer.Option(callback=output.writable, help="Progress as .csv, or cards for Anki as .txt.")
    ] = None,
    model: options.Model = "compact",
    fast: options.Fast = False,
    json: options.Json = False,
) -> None:
    """A drill: films that look alike and differ in a finding, as unknowns; answers and evidence after.

    Example: [bold]lingula teach drill --library library.sqlite[/]

    Example: [bold]lingula teach drill --answer 1=A --answer 2=B[/]

    Example: [bold]lingula teach drill --export cards.txt[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.teaching import drill as drills

    if not (folder / drills.KEY).is_file():
        if answer or export:
            drills.read_key(folder)
        _make_drill(folder, library, count, seed, model, fast)
    cards, progress = drills.read_key(folder), drills.DrillProgress.load(folder)
    names = {label.code: label.name for label in Vocabulary.load("openi22").labels}
    told = []
    for given in answer or []:
        number, _, film = given.partition("=")
        card = next((c for c in cards if str(c.number) == number.strip()), None)
        said = film.strip().upper()
        if card is None or said not in ("A", "B"):
            raise InputError("bad_request", f"{given!r} answers no card.", f"Cards 1 to {len(cards)}: --answer 1=A")
        progress = progress.with_answer(card.number, "A" if said == "A" else "B")
        right = "right" if said == card.film else f"no, it is film {card.film}"
        told.append(f"{card.number}. {names.get(card.finding, card.finding)}: {right}")
    if answer:
        progress.save(folder)
    if export:
        export.write_text(_exported(folder, export, names), encoding="utf-8")
    state = {"cards": len(cards), "answered": len(progress.answers), "right": progress.right(cards)}
    if json:
        return output.write_json({**state, "questions": str(folder / "questions.html"), "told": told})
    output.banner()
    for line in told:
        output.out.print(line, markup=False)
    output.out.print(f"{state['answered']} of {state['cards']} answered, {state['right']} right (last answers).")
    output.out.print(f"Questions: {folder / 'questions.html'}   Answers and evidence: {folder / 'answers.html'}")


def _make_drill(folder: Path, library: str, count: int, seed: int, model: str, fast: bool) -> None:
    """Mine, explain both films of each card for its finding, write both pages; the key last, so that it is whole."""
    from lingula.explanation import explain
    from lingula.library import Library
    from lingula.study import Study
    from lingula.teaching import drill as drills
    from lingula.teaching.drill_pages import write_answers, write_questions

    checkpoint = options.load_model(model, fast)
    names, normal = {label.code: label.name for label in checkpoint.vocabulary.labels}, checkpoint.vocabulary.normal
    with Library.open(library, model=checkpoint.fingerprint) as known, output.progress_bar("Drill") as tell:
        cards = drills.mine_library(known, normal=normal, count=count, seed=seed)
        studies, films, evidence = [], [], []
        for done, card in enumerate(cards, 1):
            both = known.study(card.a), known.study(card.b)
            shown = drills.shown_film(both[0]), drills.shown_film(both[1])
            first, second = (
                explain(Study("film", (film,)), checkpoint, card.finding, methods=["contribution"])[0] for film in shown
            )
            studies.append(both)
            films.append(shown)
            evidence.append((first, second))
            tell(done, len(cards))
    folder.mkdir(parents=True, exist_ok=True)
    write_questions(folder / "questions.html", cards, films, names)
    write_answers(folder / "answers.html", cards, films, studies, evidence, names)
    drills.write_key(folder, cards)


def _exported(folder: Path, path: Path, names: dict[str, str]) -> str:
    """Progress as CSV, or cards as Anki's text import; the films come from the questions page."""
    import re

    from lingula.teaching import drill as drills

    cards = drills.read_key(folder)
    if path.suffix == ".csv":
        return drills.to_csv(cards, drills.DrillProgress.load(folder), names)
    if path.suffix != ".txt":
        raise InputError("bad_request", f"{path.name} is neither .csv nor .txt (Anki).")
    images = re.findall(r'<img src="(data:image/png;base64,[^"]+)" alt="Film', (folder / "questions.html").read_text())
    pairs = zip(images[::2], images[1::2], strict=True)
    return drills.to_anki(drills.duel(card, films, names) for card, films in zip(cards, pairs, strict=True))
