"""serve: the page and the HTTP API on this machine."""

from __future__ import annotations

import gc
import json as json_module
import secrets
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, OnDevice, load_model
from lingula.configuration import table_of
from lingula.errors import InputError, LibraryError, LingulaError

if TYPE_CHECKING:
    from lingula.library import Library
    from lingula.model.checkpoint import Checkpoint


def register(app: typer.Typer) -> None:
    app.command()(serve)


def _read_file(context: typer.Context, file: Path | None) -> Path | None:
    """What the file says becomes what the other options are by default."""
    if file is not None:
        known = [parameter.name for parameter in context.command.params if parameter.name not in ("config", None)]
        context.default_map = table_of(file, "serve", [name for name in known if name])
    return file


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="LINGULA_CONFIG",
            callback=_read_file,
            is_eager=True,
            help="A TOML file with these options in its table serve.",
        ),
    ] = None,
    library: Annotated[str, typer.Option("--library", envvar="LINGULA_LIBRARY", help="The library.")] = DEFAULT_LIBRARY,
    host: Annotated[
        str,
        typer.Option(
            envvar="LINGULA_SERVE_HOST", help="Address to listen at; other than this machine's own needs a token."
        ),
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(envvar="LINGULA_SERVE_PORT", help="Port; 0 takes a free one.")] = 8321,
    name: Annotated[
        list[str] | None, typer.Option(envvar="LINGULA_SERVE_NAME", help="Name under which it may be asked.")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar=["LINGULA_TOKEN", "LINGULA_SERVE_TOKEN"], help="What a request must bring.")
    ] = "",
    evaluation: Annotated[
        Path | None, typer.Option(envvar="LINGULA_SERVE_EVALUATION", help="Folder that lingula evaluate wrote.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", envvar="LINGULA_MODEL", help="Checkpoint folder, or a shipped one by name.")
    ] = "compact",
    device: OnDevice = "auto",
    json: Annotated[bool, typer.Option("--json", envvar="LINGULA_SERVE_JSON", help="Address and log as JSON.")] = False,
) -> None:
    """The page and the HTTP API, for a browser on this machine. Ends with Ctrl-C. A line a request goes to standard
    error, as JSON with --json.

    Example: [bold]lingula serve --library library.sqlite[/]
    """
    from lingula.library import Library
    from lingula.server import Settings, create_app
    from lingula.server.log import write_log
    from lingula.server.serving import Server, config_of
    from lingula.server.settings import LOOPBACK

    local = host in LOOPBACK
    if not local and not token:
        token = secrets.token_urlsafe(24)
    output.banner()
    checkpoint = load_model(model, device)
    opened: AbstractContextManager[Library | None]
    try:
        opened = Library.open(library, model=checkpoint.fingerprint)
    except LibraryError as error:
        if error.code != "library_missing" or library != DEFAULT_LIBRARY:
            raise
        output.err.print(
            "There is no library yet: the studies that ship with the model answer. The page brings films in."
        )
        opened = _new_library(checkpoint, library)
    hosts = tuple(dict.fromkeys([*(LOOPBACK if local else (host,)), *(name or ())]))
    settings = Settings(hosts=hosts, token=token, folder_imports=local, evaluation=evaluation)
    listening = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
    if json:
        typer.echo(json_module.dumps({"address": address, "model": checkpoint.fingerprint, "token": token}))
    else:
        output.out.print(f"[bold]{address}[/]  Ctrl-C ends it.", highlight=False)
        if token:
            output.out.print(f"Token: {token}", highlight=False)
    with opened as known:
        write_log(as_json=json)
        served = config_of(create_app(checkpoint, known, settings), settings)
        gc.collect()
        gc.freeze()  # loaded to stay: looking through it for garbage halts every answer for a third of a second
        Server(served).run(sockets=[listening])


@contextmanager
def _new_library(checkpoint: Checkpoint, place: str) -> Iterator[Library | None]:
    """A library to bring films into, gone again where none came; None where the folder takes no file."""
    from lingula.ingest.batches import destination

    with ExitStack() as stack:
        try:
            library = stack.enter_context(destination(checkpoint, place))
        except (LingulaError, OSError):
            output.err.print("No library can be made in this folder: nothing can be brought in.")
            library = None
        yield library


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; a port that is taken is refused in words."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        raise InputError(
            "bad_request", f"cannot listen at {host}:{port}: {error.strerror}.", "Try another --port."
        ) from None
    return made
