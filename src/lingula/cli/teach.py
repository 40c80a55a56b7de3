"""teach: sets of studies, quizzes at the terminal, slides, cards, results, drills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingula.cli import options, output
from lingula.errors import InputError
from lingula.types import Device

if TYPE_CHECKING:
    from lingula.teaching.drill import DrillCard
    from lingula.teaching.sets import TeachingSet
    from lingula.teaching.tasks import Findings, Reveal, TaskQuestion

teach = typer.Typer(name="teach", help="Sets of studies to teach and to learn with.", no_args_is_help=True)
SetName = Annotated[str, typer.Argument(metavar="SET", help="The set's id, or its title.")]
File = Annotated[Path, typer.Argument(metavar="FILE", callback=output.writable, help="File to write.")]
Student = Annotated[str, typer.Option("--name", help="Whose answers these are.")]


def register(app: typer.Typer) -> None:
    for command, name in (
        (create, None), (list_sets, "list"), (show, None), (export, None), (import_file, "import"), (marks, None),
        (delete, None), (quiz, None), (slides, None), (anki, None), (results, None), (drill, None),
    ):  # fmt: skip
        teach.command(name)(command)
    app.add_typer(teach)


@teach.callback()
def _about() -> None:
    pass


def create(
    title: Annotated[str, typer.Argument(help="The set's title.")],
    query: Annotated[str, typer.Option("--query", help="Take the studies that answer this question best.")] = "",
    study: Annotated[list[str] | None, typer.Option("--study", help="Take this study; again for more.")] = None,
    like: Annotated[str, typer.Option("--like", help="Take the studies most like this one.")] = "",
    count: Annotated[int, typer.Option(min=1, max=100, help="How many of an answer.")] = 10,
    owner: Annotated[str, typer.Option("--name", help="Whose set it is.")] = "",
    library: options.LibraryAt = options.DEFAULT_LIBRARY,
    model: options.Model = "compact",
    json: options.Json = False,
) -> None:
    """Make a set of studies: named, or those that answer a question.

    Example: [bold]lingula teach create "Effusions" --query "right effusion without cardiomegaly"[/]

    Example: [bold]lingula teach create "Two" --study CXR1000 --study CXR1001[/]
    """
    from lingula.teaching.gathering import gathered
    from lingula.teaching.sets import new_set

    if not (query or study or like):
        raise InputError("bad_request", "No study is asked for.", "Give --query, --like or --study.")
    checkpoint = options.load_model(model)
    with options.stored(library, checkpoint) as known:
        ids = gathered(known, checkpoint, study_ids=study or (), query=query, like=like, count=count)
        made = new_set(known, title, owner=owner, study_ids=ids)
    _told(made, json)


def list_sets(library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False) -> None:
    """The library's sets.

    Example: [bold]lingula teach list --library library.sqlite[/]
    """
    from lingula.teaching.sets import listed, load_sets

    with options.stored(library) as known:
        sets = load_sets(known)
    lines = [f"{each.set_id}  {output.plain(each.title)}  {len(each.cases)} studies" for each in sets]
    output.tell(listed(sets), json, *(lines or ["No sets yet. lingula teach create makes one."]))


def show(name: SetName, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False) -> None:
    """What is in a set.

    Example: [bold]lingula teach show Effusions[/]
    """
    from lingula.teaching.sets import load_set

    with options.stored(library) as known:
        found = load_set(known, name)
    _told(found, json)


def export(
    name: SetName, file: File, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False
) -> None:
    """Write a set as one JSON file: ids, words and marks of its teacher, nothing of a film or report.

    Example: [bold]lingula teach export Effusions effusions.json[/]
    """
    from lingula.teaching.sets import export_set, load_set

    with options.stored(library) as known:
        found = load_set(known, name)
    file.write_text(export_set(found), encoding="utf-8")
    _written(file, json, studies=len(found.cases))


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What teach export wrote.")],
    library: options.LibraryAt = options.DEFAULT_LIBRARY,
    json: options.Json = False,
) -> None:
    """Bring in a set from its file; its studies must be in the library.

    Example: [bold]lingula teach import effusions.json[/]
    """
    from lingula.teaching.sets import import_set

    if not file.is_file():
        raise InputError("not_found", f"there is no file {file}.")
    with options.stored(library) as known:
        made = import_set(known, file.read_bytes())
    _told(made, json)


def marks(
    name: SetName,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study of the set that the marks are on.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A DICOM presentation state or structured report.")],
    library: options.LibraryAt = options.DEFAULT_LIBRARY,
    json: options.Json = False,
) -> None:
    """Take the marks of a DICOM file for a study of a set, in place of those it has.

    Example: [bold]lingula teach marks Effusions 2.25.1 state.dcm[/]
    """
    from lingula.reading.sandbox import Sandbox
    from lingula.teaching.dicom_marks import take_marks
    from lingula.teaching.sets import load_set

    with options.stored(library) as known, Sandbox() as sandbox:
        changed = take_marks(known, load_set(known, name), study, file, sandbox)
    _told(changed, json)


def delete(name: SetName, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False) -> None:
    """Delete a set with its answers and class links; no study goes.

    Example: [bold]lingula teach delete Effusions[/]
    """
    from lingula.teaching.sets import load_set

    with options.stored(library) as known:
        found = load_set(known, name)
        known.teaching.delete_set(found.set_id)
    output.tell({"deleted": found.set_id}, json, f"Deleted {found.set_id}.")


def quiz(
    name: SetName,
    task: Annotated[str, typer.Option(help="quiz, pairs, marking or writing.")] = "quiz",
    student: Student = "me",
    film: Annotated[Path, typer.Option(callback=output.writable, help="Where the question's film is written.")] = Path(
        "film.png"
    ),
    answer: Annotated[
        str | None, typer.Option(help="Findings by code, with commas; A or B; x,y or x,y,x,y in percent; or words.")
    ] = None,
    confidence: Annotated[int, typer.Option(min=0, max=100, help="Percent that the answer is right.")] = 70,
    library: options.LibraryAt = options.DEFAULT_LIBRARY,
    json: options.Json = False,
) -> None:
    """The next question of a set; with --answer, what it shows, and the question after.

    Example: [bold]lingula teach quiz Effusions[/]

    Example: [bold]lingula teach quiz Effusions --answer pleural_effusion --confidence 90[/]

    Example: [bold]lingula teach quiz Effusions --task writing --answer "Small left effusion."[/]
    """
    from lingula.teaching.sets import load_set
    from lingula.teaching.tasks import TASKS, TaskSession

    if task not in TASKS:
        raise InputError("bad_request", f"there is no task {task!r}.", f"One of {', '.join(TASKS)}.")
    with options.stored(library) as known:
        session = TaskSession(known, load_set(known, name), task, student, _findings())
        reveal, question = None, session.next()
        if answer is not None and question is not None:
            reveal = session.answer(question.question_id, _given(task, answer, confidence), question.attempt)
            question = session.next()
        films = []
        for row in range(question.films if question else 0):
            assert question is not None
            place = film if row == 0 else film.with_name(f"{film.stem}-{row + 1}{film.suffix}")
            place.write_bytes(session.film(question.question_id, row))
            films.append(str(place))
    if json:
        return output.write_json({"reveal": reveal, "question": question, "films": films})
    output.banner()
    _show_reveal(reveal)
    _show_question(question, films)


def slides(
    name: SetName, file: File, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False
) -> None:
    """Slides of a set as a .pdf, or as .png files numbered from FILE: each study as a question, then with its answer.

    Example: [bold]lingula teach slides Effusions effusions.pdf[/]
    """
    from lingula.teaching.sets import load_set
    from lingula.teaching.slides import set_slides, slide_png, slides_pdf

    if file.suffix not in (".pdf", ".png"):
        raise InputError("bad_request", f"{file.name} is neither .pdf nor .png.")
    with options.stored(library) as known:
        drawn = set_slides(known, load_set(known, name), _findings())
    if file.suffix == ".pdf":
        file.write_bytes(slides_pdf(drawn))
    else:
        for number, slide in enumerate(drawn, 1):
            file.with_name(f"{file.stem}-{number:02}{file.suffix}").write_bytes(slide_png(slide))
    _written(file, json, slides=len(drawn))


def anki(
    name: SetName, file: File, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False
) -> None:
    """Cards of a set as a package for Anki (.apkg; extra anki).

    Example: [bold]lingula teach anki Effusions effusions.apkg[/]
    """
    from lingula.teaching.anki import set_cards, write_apkg
    from lingula.teaching.sets import load_set

    with options.stored(library) as known:
        found = load_set(known, name)
        cards = write_apkg(file, found.title, set_cards(known, found, _findings()))
    _written(file, json, cards=cards)


def results(name: SetName, library: options.LibraryAt = options.DEFAULT_LIBRARY, json: options.Json = False) -> None:
    """How a set went: by student, film and finding; the hardest films; how sure the students were, and the model.

    Example: [bold]lingula teach results Effusions --json[/]
    """
    from lingula.teaching.results import results_of
    from lingula.teaching.sets import load_set

    with options.stored(library) as known:
        found = results_of(known, load_set(known, name), _findings())
    lines = [
        f"[bold]{output.plain(found.title)}[/]  {found.answers} answers",
        *(
            f"  {output.plain(who.student)}: {who.right} of {who.answered} right, {who.confidence:.0f} % sure"
            for who in found.students
        ),
        *(
            f"  {each.name}: found {each.found} of {each.shown}, named without reason {each.invented}"
            for each in found.findings
        ),
        *([f"Hardest: {', '.join(found.hardest)}"] if found.hardest else []),
    ]
    output.tell(found, json, *lines)


def _findings() -> Findings:
    from lingula.labels import Vocabulary, search_findings
    from lingula.teaching.tasks import Findings

    vocabulary = Vocabulary.load("openi22")
    names = {code: each.name for code, each in search_findings().items()}
    names |= vocabulary.names
    return Findings(names, vocabulary.codes, vocabulary.normal)


def _given(task: str, answer: str, confidence: int) -> Any:
    from lingula.teaching.sets import read_drawings
    from lingula.teaching.tasks import GivenAnswer

    if task == "quiz":
        return GivenAnswer(confidence, tuple(code.strip() for code in answer.split(",") if code.strip()))
    if task == "pairs":
        return GivenAnswer(confidence, side=answer.strip().upper())
    if task == "writing":
        return GivenAnswer(confidence, text=answer)
    try:
        numbers = [float(part) / 100 for part in answer.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4):
        raise InputError("bad_request", f"{answer!r} is no mark.", "x,y for a point; x,y,x,y for a box; in percent.")
    points = [numbers[at : at + 2] for at in range(0, len(numbers), 2)]
    return GivenAnswer(
        confidence, drawings=read_drawings([{"shape": "box" if len(points) == 2 else "point", "points": points}])
    )


def _told(found: TeachingSet, json: bool) -> None:
    lines = [f"[bold]{output.plain(found.title)}[/]  {found.set_id}"]
    for case in found.cases:
        marks = f"  {len(case.drawings)} marks" if case.drawings else ""
        lines.append(f"  {output.plain(case.study_id)}{marks}  {output.plain(case.key_point)}")
    output.tell(found, json, *lines)


def _written(file: Path, json: bool, **counts: int) -> None:
    if json:
        return output.write_json({"file": str(file), **counts})
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    output.out.print(f"{file}: {told}.", markup=False, highlight=False)


def _show_reveal(reveal: Reveal | None) -> None:
    if reveal is None:
        return
    output.out.print("[bold]Right.[/]" if reveal.right else "[bold]Not quite.[/]")
    for title, some in (("It shows", reveal.labels), ("missed", reveal.missed), ("not there", reveal.invented)):
        if some:
            output.out.print(f"  {title}: {', '.join(some)}", markup=False)
    for mark in reveal.marks:
        how = f"{mark.distance} {mark.unit} from the middle" if mark.distance is not None else "nothing drawn there"
        output.out.print(f"  {'hit' if mark.hit else 'missed'}, overlap {mark.overlap:.2f}, {how}", markup=False)
    for each in reveal.written:
        passages = [part["text"] for side in ("written", "reported") for part in each[side]]
        output.out.print(f"  {each['name']}: {each['status'].replace('_', ' ')}  {passages}", markup=False)
    output.out.print(reveal.report, markup=False)
    if reveal.key_point:
        output.out.print(reveal.key_point, markup=False)


def _show_question(question: TaskQuestion | None, films: list[str]) -> None:
    if question is None:
        return output.out.print("Everything was answered right.")
    output.out.print(f"[bold]{question.number} of {question.of}[/]  {output.plain(question.question)}", highlight=False)
    for line in (question.history, f"Hint: {question.hint}" if question.hint else "", f"Film: {', '.join(films)}"):
        if line:
            output.out.print(line, markup=False)
    if question.choices:
        output.out.print("  ".join(f"{code} ({name})" for code, name in question.choices.items()), markup=False)


def drill(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The drill; made when there is none.")],
    library: Annotated[
        str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="Where look-alikes are mined.")
    ] = options.DEFAULT_LIBRARY,
    count: Annotated[int, typer.Option(min=1, max=50, help="Pairs of a new drill.")] = 10,
    seed: Annotated[int, typer.Option(help="Order, sides and findings of a new drill.")] = 0,
    answer: Annotated[list[str] | None, typer.Option(help="An answer, CARD=A or CARD=B (again for more).")] = None,
    export: Annotated[
        Path | None, typer.Option(callback=output.writable, help="Progress as .csv, or cards for Anki as .apkg.")
    ] = None,
    model: options.Model = "compact",
    device: options.OnDevice = "auto",
    json: options.Json = False,
) -> None:
    """A drill: films that look alike and differ in a finding, as unknowns; answers and evidence after.

    Example: [bold]lingula teach drill pairs --library library.sqlite[/]

    Example: [bold]lingula teach drill pairs --answer 1=A --answer 2=B[/]

    Example: [bold]lingula teach drill pairs --export cards.apkg[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.teaching import drill as drills

    if not (folder / drills.KEY).is_file():
        if answer or export:
            drills.read_key(folder)
        _make_drill(folder, library, count, seed, model, device)
    cards, progress = drills.read_key(folder), drills.DrillProgress.load(folder)
    names = Vocabulary.load("openi22").names
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
        _export_drill(folder, export, names)
    state = {"cards": len(cards), "answered": len(progress.answers), "right": progress.right(cards)}
    if json:
        return output.write_json({**state, "questions": str(folder / "questions.html"), "told": told})
    output.banner()
    for line in told:
        output.out.print(line, markup=False)
    output.out.print(f"{state['answered']} of {state['cards']} answered, {state['right']} right (last answers).")
    output.out.print(f"Questions: {folder / 'questions.html'}   Answers and evidence: {folder / 'answers.html'}")


def _make_drill(folder: Path, library: str, count: int, seed: int, model: str, device: Device) -> None:
    """Mine, explain both films of each card for its finding, write both pages; the key last, so that it is whole."""
    from lingula.explanation import explain
    from lingula.study import Study
    from lingula.teaching import drill as drills
    from lingula.teaching.drill_pages import write_answers, write_questions

    checkpoint = options.load_model(model, device)
    names, normal = checkpoint.vocabulary.names, checkpoint.vocabulary.normal
    with options.stored(library, checkpoint) as known, output.progress_bar("Drill") as tell:
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


def _export_drill(folder: Path, path: Path, names: dict[str, str]) -> None:
    """Progress as CSV, or cards as a package for Anki; the films come from the questions page."""
    import re
    from base64 import b64decode

    from lingula.teaching import drill as drills
    from lingula.teaching.anki import AnkiCard, write_apkg

    cards = drills.read_key(folder)
    if path.suffix == ".csv":
        path.write_text(drills.to_csv(cards, drills.DrillProgress.load(folder), names), encoding="utf-8")
        return
    if path.suffix != ".apkg":
        raise InputError("bad_request", f"{path.name} is neither .csv nor .apkg (Anki).")
    page = (folder / "questions.html").read_text(encoding="utf-8")
    images = [b64decode(each) for each in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="Film', page)]

    def card_of(card: DrillCard, films: tuple[bytes, bytes]) -> AnkiCard:
        asked = f"Which film shows {names.get(card.finding, card.finding).lower()}, A (first) or B?"
        shown = card.a if card.film == "A" else card.b
        return AnkiCard(f"{card.a} {card.b} {card.finding}", films, asked, (), f"Film {card.film} ({shown})")

    pairs = zip(images[::2], images[1::2], strict=True)
    write_apkg(path, folder.name, [card_of(card, films) for card, films in zip(cards, pairs, strict=True)])
