"""evaluate: every table of a checkpoint, or one run file against qrels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from lingula.cli import output
from lingula.cli.ask import Json
from lingula.errors import InputError

if TYPE_CHECKING:
    from lingula.evaluation.table import Table


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


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
    against: Annotated[
        Path | None, typer.Option(help="Folder of another checkpoint's evaluation: compare in pairs.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Score this TREC run file; needs no checkpoint.")] = None,
    qrels: Annotated[Path | None, typer.Option(help="TREC qrels for --run.")] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples of studies.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of every resample.")] = 0,
    json: Json = False,
) -> None:
    """Measure a checkpoint on the test studies, beside chance and simple baselines; or score any system's run file.

    Example: [bold]lingula evaluate compact --data studies --out evaluation[/]

    Example: [bold]lingula evaluate --run other.trec --qrels evaluation/trec/qrels-generalization-jaccard.txt.gz[/]
    """
    if run is not None:
        if qrels is None:
            raise InputError("bad_request", "--run needs --qrels.", "lingula evaluate writes them below OUT/trec.")
        from lingula.evaluation.trec import read_qrels, read_run, score_run

        table = score_run(read_qrels(qrels), read_run(run), run.name, resamples=resamples, seed=seed)
        return output.write_json({table.key: table.to_json()}) if json else _show(table)
    if checkpoint is None or data is None:
        raise InputError("bad_request", "Name a checkpoint and --data, or --run and --qrels.", "See --help.")

    from lingula.evaluation import report
    from lingula.evaluation.bootstrap import Resamples
    from lingula.evaluation.compare import compare
    from lingula.evaluation.inputs import Request
    from lingula.evaluation.run import evaluate as measure
    from lingula.models.checkpoint import load_checkpoint
    from lingula.openi.splits import Split
    from lingula.training.data import StudySet

    parts = [f"lingula evaluate {Path(checkpoint).name} --data STUDY_SET --split {Path(split).name} --out DIR"]
    parts += ["--collection COLLECTION"] if collection else []
    parts += [f"--trunk {trunk.name}"] if trunk else []
    parts += [f"--resamples {resamples} --seed {seed}"]
    request = Request(
        load_checkpoint(checkpoint),
        StudySet.load(data),
        Split.load(split),
        collection=collection,
        trunk=trunk,
        resamples=resamples,
        seed=seed,
        command=" ".join(parts),
    )
    with _stages() as progress:
        found = measure(request, out, progress)
    if against is not None:
        draws = Resamples.draw(len(found.arrays["targets"]), resamples=resamples, seed=seed)
        found = replace(found, tables=(compare(found, against, draws), *found.tables))
    files = report.write(found, out)
    if json:
        return output.write_json(report.to_json(found))
    output.banner()
    for table in report.shown(found.tables):
        if table.key in _HEADLINES:
            _show(table)
    output.out.print("Written: " + ", ".join(str(path) for path in files))


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


_HEADLINES = {"classification", "retrieval_generalization_jaccard", "pairs", "against"}


def _show(table: Table) -> None:
    output.out.print(f"\n[bold]{table.title}[/]\n[dim]{table.about}[/]", highlight=False)
    shown = Shown(box=None, header_style="dim")
    for heading in (table.first, *table.columns):
        shown.add_column(heading, overflow="fold")
    for row in table.rows:
        shown.add_row(row.name, *(table.shown(cell) for cell in row.cells))
    output.out.print(shown)
