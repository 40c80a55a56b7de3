"""One file, the environment, the command line: which outranks which, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from typer.testing import CliRunner

from lingula.cli.main import app
from lingula.configuration import configured, read_configuration, table_of
from lingula.errors import InputError


@dataclass(frozen=True)
class _Tls:
    key: Path
    required: bool = True


@dataclass(frozen=True)
class _Peer:
    title: str
    port: int = 104


@dataclass(frozen=True)
class _Listener:
    title: str
    library: str = "library.sqlite"
    port: int = 11112
    rate: float = 1.0
    names: tuple[str, ...] = ()
    kind: Literal["sr", "sc"] = "sr"
    peers: tuple[_Peer, ...] = ()
    tls: _Tls | None = None


FILE = """
library = "/var/lib/one.sqlite"
[node]
title = "LINGULA"
port = 4242
rate = 2
names = ["a", "b"]
peers = [{title = "ARCHIVE"}, {title = "OTHER", port = 11113}]
[node.tls]
key = "/etc/key.pem"
[serve]
port = 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lingula.toml"
    path.write_text(FILE)
    return path


def test_a_table_becomes_a_dataclass_with_what_all_tables_share(file: Path) -> None:
    read = configured(_Listener, "node", file, {})
    assert read == _Listener(
        "LINGULA", "/var/lib/one.sqlite", 4242, 2.0, ("a", "b"), "sr", (_Peer("ARCHIVE"), _Peer("OTHER", 11113)),
        _Tls(Path("/etc/key.pem")),
    )  # fmt: skip


def test_the_environment_outranks_the_file(file: Path) -> None:
    variables = {"LINGULA_NODE_PORT": "5", "LINGULA_LIBRARY": "two.sqlite", "LINGULA_NODE_NAMES": "x, y",
                 "LINGULA_NODE_TLS_REQUIRED": "off", "LINGULA_NODE_KIND": "sc"}  # fmt: skip
    read = configured(_Listener, "node", file, variables)
    assert (read.port, read.library, read.names, read.kind) == (5, "two.sqlite", ("x", "y"), "sc")
    assert read.tls == _Tls(Path("/etc/key.pem"), required=False)
    assert configured(_Listener, "node", None, {"LINGULA_NODE_TITLE": "T"}).title == "T"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[node]\ntitle = 3", "title in [node]"),
        ("[node]\ntitle = 'A'\nprot = 3", "Did you mean port?"),
        ("[node]\nport = 3", "title in [node]"),
        ("[node]\ntitle = 'A'\nport = true", "of type int"),
        ("[node]\ntitle = 'A'\nkind = 'xx'", "one of sr, sc"),
        ("[node]\ntitle = 'A'\npeers = [{port = 3}]", "title in peers"),
        ("libary = 'x'", "Did you mean library?"),
        ("[node\n", "line 1"),
    ],
)
def test_what_is_not_understood_is_refused_and_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "lingula.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        configured(_Listener, "node", path, {})
    assert refused.value.code == "bad_request"
    assert words in str(refused.value)


def test_a_file_that_is_not_there_has_a_code_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_configuration(tmp_path / "none.toml")
    assert refused.value.code == "not_found"


def test_a_table_alone_is_checked_for_its_keys(file: Path) -> None:
    assert table_of(file, "serve", ("port", "library")) == {"library": "/var/lib/one.sqlite", "port": 1}
    with pytest.raises(InputError, match="unknown key 'port'"):
        table_of(file, "serve", ("host",))


@pytest.mark.parametrize("given", [[], ["--port", "70001"]])
def test_serve_takes_its_options_from_the_file_unless_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    seen: dict[str, object] = {}

    def listened(host: str, port: int) -> None:
        seen.update(host=host, port=port)
        raise InputError("bad_request", "enough")

    monkeypatch.setattr("lingula.cli.serve._listen", listened)
    monkeypatch.setattr("lingula.cli.serve.load_model", lambda *_: SimpleNamespace(fingerprint="0" * 16))
    monkeypatch.setenv("LINGULA_SERVE_HOST", "localhost")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lingula.toml"
    file.write_text("[serve]\nport = 8400\nhost = '192.0.2.1'\nname = ['films.example']\n[node]\ntitle = 'A'\n")
    CliRunner().invoke(app, ["serve", "--config", str(file), *given])
    assert seen == {"host": "localhost", "port": 70001 if given else 8400}
