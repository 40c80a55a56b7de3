"""node: receive films next to an archive, write results back, see what became of them."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, Json, LibraryAt, stored
from lingula.study import DISCLAIMER


class RunByDefault(typer.core.TyperGroup):
    """``lingula node node.toml`` is ``lingula node run node.toml``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=RunByDefault, no_args_is_help=True, help="Work next to an archive: lingula node node.toml (extra pacs)."
    )
    group.command("run")(run)
    group.command("status")(status)
    group.command("retry")(retry)
    app.add_typer(group, name="node")
    app.command()(drift)


def run(
    config: Annotated[Path, typer.Argument(help="A TOML file with the tables node, node.receive, node.send.")],
    library: Annotated[str | None, typer.Option(help="Another library than the file's.")] = None,
    json: Json = False,
) -> None:
    """Receive films or fetch them, judge them, and write results back until the archive has them. Stop with Ctrl-C. The
    log goes to standard error, as JSON with --json.

    Example: [bold]lingula node run node.toml[/]
    """
    from dataclasses import replace

    from lingula.configuration import configured
    from lingula.model.checkpoint import load_checkpoint
    from lingula.node.log import write_log
    from lingula.node.settings import NodeSettings

    settings = configured(NodeSettings, "node", config).checked()
    settings = settings if library is None else replace(settings, library=library)
    from lingula.node.node import Node, node_library

    write_log(as_json=json)
    checkpoint = load_checkpoint(settings.model)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with node_library(settings.library, checkpoint) as opened:
        Node(settings, opened, checkpoint).run(stop)
        counts = opened.exchange.counts()
    if json:
        output.write_json({"disclaimer": DISCLAIMER, "counts": counts})


def status(
    library: LibraryAt = DEFAULT_LIBRARY,
    limit: Annotated[int, typer.Option(help="How many studies and objects.")] = 30,
    json: Json = False,
) -> None:
    """What nodes received, answered and delivered, what waits first.

    Example: [bold]lingula node status --library library.sqlite[/]
    """
    from lingula.plain import plain

    with stored(library) as opened:
        counts, items = opened.exchange.counts(), opened.exchange.items(now=time.time(), limit=limit)
    if json:
        return output.write_json({"disclaimer": DISCLAIMER, "counts": counts, "items": [plain(item) for item in items]})
    for name, states in counts.items():
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "nothing"
        output.out.print(f"{name}: {told}", highlight=False)
    rows = []
    for item in items:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item.at))
        what = f"study, {item.films} film{'s' * (item.films != 1)}" if item.kind == "study" else item.kind
        rows.append((what, item.state, item.code, output.plain(item.target), str(item.attempts), at))
    output.show_table(("what", "state", "why", "target", "attempts", "at"), rows)


def retry(
    item: Annotated[
        str, typer.Argument(help="A study's name or an object's identifier; by default all that waits.")
    ] = "",
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Try again now what waits for its next attempt; a study that is named is read again, too, where it was refused.

    Example: [bold]lingula node retry --library library.sqlite[/]
    """
    with stored(library) as opened:
        count = opened.exchange.retry(item)
    output.tell({"retried": count}, json, f"{count} tried again.")


def drift(
    accept: Annotated[str, typer.Option(help="A sender whose films are taken as usual from now on.")] = "",
    weeks: Annotated[int, typer.Option(help="How many weeks of each sender are listed.")] = 8,
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Whether the films of each sender are as they were: refusals, faults, unknown films, findings, pictures.

    Example: [bold]lingula drift --library library.sqlite[/]
    """
    from lingula.node.drift import accept_sender, drift_report
    from lingula.plain import plain

    with stored(library) as opened:
        if accept:
            accept_sender(opened, accept)
        report = drift_report(opened, weeks=weeks)
    if json:
        return output.write_json(plain(report))
    for one in report.senders:
        told = {"learning": f"{one.films} films, learning", "usual": "as usual", "drift": "not as it was"}[one.state]
        output.out.print(f"{output.plain(one.sender)}: {told}", highlight=False)
    for found in report.signals:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.at))
        values = "" if found.measure == "kind" else f": {found.now:.3g} where {found.baseline:.3g} was usual"
        output.out.print(f"[bold]{output.plain(found.sender)}[/]  {when}  {found.name}{values}", highlight=False)
    headings = ("sender", "week", "films", "refused", "view", "inverted", "unknown", "flags/100", "outside")
    rows = []
    for week in report.weeks:
        shares = (week.refused, week.view_faults, week.polarity_faults, week.unfamiliar)
        flags = "" if week.flags_per_hundred is None else f"{week.flags_per_hundred:.0f}"
        cells = (output.plain(week.sender), week.week, str(week.films), *map(percent, shares))
        rows.append((*cells, flags, ", ".join(week.outside)))
    output.show_table(headings, rows, "No node has seen a film yet.")


def percent(share: float) -> str:
    """A share as it is read; empty where there was nothing to count."""
    return "" if share != share else f"{100 * share:.1f} %"
