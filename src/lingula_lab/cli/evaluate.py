"""evaluate: every table of a checkpoint, or of one run file by any system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from lingula.cli import output
from lingula.cli.options import Json
from lingula.errors import InputError

if TYPE_CHECKING:
    from lingula_lab.evaluation.tables.retrieval import Ground
    from lingula_lab.measures.table import Table

Protocol = Literal["generalization", "historical"]


def evaluate(
    checkpoint: Annotated[str | None, typer.Argument(help="Checkpoint folder, or a shipped one by name.")] = None,
    data: Annotated[Path | None, typer.Option(help="Study set, see prepare.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for encoded studies, tables, TREC files.")] = Path("evaluation"),
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    collection: Annotated[
        Path | None,
        typer.Option(envvar="LINGULA_OPENI", help="The collection: for subgroups and the published label set."),
    ] = None,
    trunk: Annotated[Path | None, typer.Option(help="Frozen ImageNet MobileNetV1 to compare with.")] = None,
    library: Annotated[
        str | None, typer.Option(help="A library this checkpoint filled: does it hold what the tables measure?")
    ] = None,
    sources: Annotated[
        Path | None, typer.Option(help="Films of other sources, as gate --features kept them: the table by source.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Folder of another checkpoint's evaluation: compare in pairs.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Score this TREC run file; needs no checkpoint and no data.")] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="For --run: test asks test (generalization) or training studies (historical).")
    ] = "generalization",
    qrels: Annotated[Path | None, typer.Option(help="TREC qrels for --run, in place of the split's labels.")] = None,
    explanations: Annotated[bool, typer.Option("--explanations", help="Measure the evidence instead.")] = False,
    boxes: Annotated[Path | None, typer.Option(help="Boxed films for --explanations: bbox.csv, images/.")] = None,
    reason: Annotated[
        str, typer.Option(help="Why the test part is looked at; kept in the ledger beside the split.")
    ] = "not said",
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of studies.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of every resample.")] = 0,
    json: Json = False,
) -> None:
    """Measure a checkpoint on the test studies, against chance and simple baselines; or score any system's
    run file.

    Example: [bold]lingula evaluate compact --data studies --out evaluation[/]

    Example: [bold]lingula evaluate compact --explanations --collection openi --boxes nih_bbox[/]

    With neither checkpoint nor run, it writes what others need to take part: qrels, and a random ranking.

    Example: [bold]lingula evaluate --out evaluation[/]

    Example: [bold]lingula evaluate --run evaluation/trec/run-generalization-random-ranking.txt.gz[/]
    """
    if run is not None:
        return _score(run, protocol, split, qrels, resamples, seed, json)
    if explanations:
        model, how = checkpoint or "compact", {"resamples": resamples, "seed": seed}
        return _explanations(model, split, collection, boxes, out, **how, reason=reason, json=json)
    if checkpoint is None and data is None:
        return _export(split, out, seed, json)
    if checkpoint is None or data is None:
        raise InputError("bad_request", "A checkpoint and --data go together.", "lingula prepare makes the study set.")

    from lingula.model.checkpoint import load_checkpoint
    from lingula.openi.splits import Split
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.evaluation.inputs import Request
    from lingula_lab.evaluation.run import evaluate as measure
    from lingula_lab.measures.bootstrap import Resamples
    from lingula_lab.report import report
    from lingula_lab.report.compare import compare

    parts = [f"lingula evaluate {Path(checkpoint).name} --data STUDY_SET --split {Path(split).name} --out DIR"]
    parts += ["--collection COLLECTION"] if collection else []
    parts += [f"--trunk {trunk.name}"] if trunk else []
    parts += ["--library LIBRARY"] if library else []
    parts += ["--sources FEATURES"] if sources else []
    parts += [f"--resamples {resamples} --seed {seed}"]
    request = Request(
        load_checkpoint(checkpoint),
        StudySet.load(data),
        Split.load(split),
        collection=collection,
        trunk=trunk,
        library=library,
        sources=sources,
        resamples=resamples,
        seed=seed,
        command=" ".join(parts),
    )
    _look(split, request.split.digest, request.checkpoint.fingerprint, "tables", reason)
    with _stages() as progress:
        found = measure(request, out, progress)
    if against is not None:
        draws = Resamples.draw(len(found.arrays["targets"]), resamples=resamples, seed=seed)
        found = replace(found, tables=(compare(found, against, draws), *found.tables))
    files = report.write(found, out, request.data, request.checkpoint.vocabulary)
    if json:
        return output.write_json(report.to_json(found))
    output.banner()
    for table in report.shown(found.tables):
        if table.key in _HEADLINES:
            _show(table)
    output.out.print("Written: " + ", ".join(str(path) for path in files))


def card(
    results: Annotated[Path, typer.Argument(help="results.json of an evaluation, or a result file of its form.")],
    checkpoint: Annotated[str, typer.Option(help="The checkpoint evaluated: a folder, or a shipped one by name.")] = (
        "compact"
    ),
    out: Annotated[Path, typer.Option(help="Folder for model-card.md and datasheet.md.")] = Path("."),
    cite: Annotated[str | None, typer.Option(help="How the cards name the result file; default: its name.")] = None,
    json: Json = False,
) -> None:
    """Write model card (Hugging Face front matter, CLAIM and TRIPOD+AI answers) and, for Open-i, the datasheet.

    Example: [bold]lingula card evaluation/results.json --checkpoint compact --out docs[/]
    """
    from lingula.model.checkpoint import load_checkpoint
    from lingula_lab.data.provenance import OPENI
    from lingula_lab.report import card as cards

    found, model, companions = (
        cards.Results.load(results, cite or results.name),
        load_checkpoint(checkpoint),
        cards.companions_of(results),
    )
    pages = {"model-card.md": cards.model_card}
    if cards.collection_of(found.about) is OPENI:
        pages["datasheet.md"] = cards.datasheet
    texts = {out / name: page(found, model, companions) for name, page in pages.items()}
    out.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    if json:
        return output.write_json({"written": [str(path) for path in texts]})
    output.out.print("\n".join(str(path) for path in texts), highlight=False)


def _score(
    run: Path, protocol: Protocol, split: str, qrels: Path | None, resamples: int, seed: int, json: bool
) -> None:
    """One table from a qrels file, or one for each relevance rule from the labels of the split."""
    from lingula_lab.evaluation import trec

    answers, name = trec.read_run(run), run.name.removesuffix(".gz").removesuffix(".txt")
    if qrels is not None:
        tables = [trec.score_run(trec.read_qrels(qrels), answers, name, resamples=resamples, seed=seed)]
    else:
        ground = _grounds(split)[protocol]
        tables = trec.score_on(ground, answers, name, resamples=resamples, seed=seed)
    if json:
        return output.write_json({table.key: table.to_json() for table in tables})
    for table in tables:
        _show(table)


def _export(split: str, out: Path, seed: int, json: bool) -> None:
    """Qrels of both protocols and a random ranking of each."""
    from lingula_lab.evaluation import trec

    paths = []
    for ground in _grounds(split).values():
        paths += [*trec.write_all_qrels(ground, out / "trec"), trec.write_random_run(ground, out / "trec", seed)]
    if json:
        return output.write_json({"written": [str(path) for path in paths]})
    output.out.print("\n".join(str(path) for path in paths), highlight=False)


def _grounds(split: str) -> dict[Protocol, Ground]:
    from lingula.openi.splits import Split
    from lingula_lab.data.label_file import LabelFile
    from lingula_lab.evaluation import trec

    known = Split.load(split)
    return trec.grounds(known, LabelFile.load(split).checked(known))


def _explanations(
    model: str,
    split: str,
    collection: Path | None,
    boxes: Path | None,
    out: Path,
    *,
    resamples: int,
    seed: int,
    reason: str,
    json: bool,
) -> None:
    """The tables of the evidence, and ``trust.json``: what ``explain`` shows with a map of this
    checkpoint."""
    from lingula.explanation.trust import keep
    from lingula.model.checkpoint import load_checkpoint
    from lingula.openi.splits import Split
    from lingula_lab.evaluation.explanation.boxes import read_boxes
    from lingula_lab.evaluation.explanation.tables import Plan, boxed_films, coded_cases, measure

    if collection is None:
        raise InputError("bad_request", "--explanations reads films.", "Name --collection, the unpacked collection.")
    checkpoint, plan = load_checkpoint(model), Plan(resamples=resamples, seed=seed)
    parts = Split.load(split)
    _look(split, parts.digest, checkpoint.fingerprint, "evidence", reason)
    with _stages() as told:
        cases = coded_cases(checkpoint, collection, parts.test, plan, told)
        boxed = boxed_films(read_boxes(boxes)) if boxes else []
        found = measure(checkpoint, cases, boxed, plan, told)
    out.mkdir(parents=True, exist_ok=True)
    keep(out / "trust.json", checkpoint.fingerprint, found.trust)
    (out / "explanations.md").write_text("\n".join(table.to_markdown() for table in found.tables), "utf-8")
    if json:
        return output.write_json({table.key: table.to_json() for table in found.tables})
    output.banner()
    for table in found.tables:
        _show(table)
    output.out.print(f"Written: {out / 'explanations.md'}, {out / 'trust.json'}")


def _look(split: str, digest: str, model: str, what: str, reason: str) -> None:
    """Write down, before anything is measured, that a model is asked about the split's test part."""
    from lingula_lab.evaluation.ledger import append_look, ledger_of

    ledger = ledger_of(split)
    known = append_look(ledger, split=digest, model=model, what=what, reason=reason)
    models = {look.model for look in known if look.split == digest}
    output.err.print(f"[dim]{ledger.name}: {len(models)} models have been measured on this test part.[/]")


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """One bar a stage on standard error, called with (stage, done, of how many)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.err) as bars:
        tasks = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


_HEADLINES = {"sources", "classification", "retrieval_generalization_jaccard", "pairs", "against"}


def _show(table: Table) -> None:
    output.out.print(f"\n[bold]{table.title}[/]\n[dim]{table.about}[/]", highlight=False)
    shown = Shown(box=None, header_style="dim")
    shown.add_column(table.first, overflow="fold")
    for heading in table.columns:
        shown.add_column(heading, overflow="fold", justify="right")
    for row in table.rows:
        shown.add_row(row.name, *(table.shown(cell).replace(" [", "\n[").replace(", ", "–") for cell in row.cells))
    output.out.print(shown)
