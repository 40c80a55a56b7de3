"""``lingula``: every command, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from lingula import __version__
from lingula.cli import access, ask, collect, compare, deidentify, library, node, serve, teach
from lingula.cli.memory import keep_freed_memory
from lingula.cli.output import err, plain, write_json
from lingula.errors import LingulaError
from lingula.study import DISCLAIMER

app = typer.Typer(
    name="lingula",
    help=f"Similar chest X-ray studies, findings and the evidence.\n\n{DISCLAIMER}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (ask, compare, collect, deidentify, library, node, serve, access, teach):
    group.register(app)
for extension in sorted(entry_points(group="lingula.commands"), key=lambda point: point.name):
    extension.load()(app)  # commands of other packages: the laboratory's


def _version(show: bool) -> None:
    if show:
        typer.echo(f"lingula {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 refused, 2 wrong usage, 130 interrupted."""
    keep_freed_memory()
    try:
        app()
    except LingulaError as error:
        if "--json" in sys.argv:
            write_json(error.answer())
        else:
            err.print(f"[bold red]{error.code}[/]  {plain(error.message)}", highlight=False)
            if error.hint:
                err.print(f"[dim]{plain(error.hint)}[/]", highlight=False)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        err.print("Stopped. What was stored stays stored; the same command goes on from there.")
        raise SystemExit(130) from None
