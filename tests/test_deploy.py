"""What lies in deploy/: the example has every key and no other; units and image are sound."""

from __future__ import annotations

import configparser
import dataclasses
import re
import shlex
import shutil
import subprocess
import tomllib
import typing
from pathlib import Path

import pytest
import typer.main

from lingula.cli.main import app
from lingula.configuration import _plain_type, configured, read_configuration, table_of
from lingula.node.settings import NodeSettings

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
EXAMPLE = DEPLOY / "lingula.toml"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def keys_of(kind: type, prefix: str = "") -> set[str]:
    """Every key of a dataclass of settings, with those of its tables: ``receive.tls.key``."""
    found = set()
    for name, hint in typing.get_type_hints(kind).items():
        inner = _plain_type(hint)
        parts = typing.get_args(inner)
        inner = parts[0] if typing.get_origin(inner) is tuple and dataclasses.is_dataclass(parts[0]) else inner
        found |= keys_of(inner, f"{prefix}{name}.") if dataclasses.is_dataclass(inner) else {f"{prefix}{name}"}  # type: ignore[arg-type]
    return found


def written(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(written(each, prefix) for each in value))
    if isinstance(value, dict):
        return set().union(*(written(each, f"{prefix}{name}.") for name, each in value.items()))
    return {prefix.removesuffix(".")}


def test_the_example_has_every_key_and_no_other() -> None:
    file = read_configuration(EXAMPLE)
    serve = {each.name for each in COMMANDS["serve"].params if each.name != "config"}
    assert written(file["serve"]) | {"library", "model", "device"} == serve
    assert written(file["node"]) | {"library", "model"} == keys_of(NodeSettings)
    assert set(file) == {"library", "model", "device", "serve", "node"}


def test_the_example_is_what_the_commands_read() -> None:
    settings = configured(NodeSettings, "node", EXAMPLE, {}).checked()
    assert settings.receive is not None
    assert settings.receive.tls is not None
    assert [target.name for target in settings.send] == ["archive", "pacs"]
    table = table_of(EXAMPLE, "serve", [each.name for each in COMMANDS["serve"].params])
    assert (table["port"], table["library"]) == (8321, settings.library)


def test_defaults_are_as_the_example_says() -> None:
    """A line that does not name another default has the one of the code."""
    defaults = {field.name: field.default for field in dataclasses.fields(NodeSettings)}
    table = re.search(r"^\[node\]\n(.*?)\n\n", EXAMPLE.read_text().replace("[node]  ", "[node]\n#", 1), re.M | re.S)
    assert table
    for line in table[1].splitlines():
        if not line.startswith("#") and "by default" not in line:
            name, value = next(iter(tomllib.loads(line).items()))
            assert defaults[name] == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize("name", ["lingula.service", "lingula-node.service"])
def test_a_unit_starts_a_command_that_there_is(name: str, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / name)
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/opt/lingula/bin/lingula"
    group = COMMANDS[words[0]]
    assert len(words) == 1 or words[1] in group.commands
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    shown = (DEPLOY / name).read_text().replace(program, "/bin/true").replace("User=lingula", "User=daemon")
    (file := tmp_path / name).write_text(shown.replace("Group=lingula", "Group=daemon"))
    told = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    wrong = [line for line in told.stderr.splitlines() if name in line]
    assert wrong == []


def test_the_image_copies_what_there_is_and_runs_as_nobody_in_particular() -> None:
    root, text = DEPLOY.parent, (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        *sources, _ = line.split()
        assert [each for each in sources if not (root / each).exists()] == []
    assert re.search(r"^USER (?!0|root)", text, re.M)
    command = re.search(r"^CMD (\[.*\])$", text, re.M)
    assert command
    words = tomllib.loads(f"words = {command[1]}")["words"]
    known = {option for each in COMMANDS[words[0]].params for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= known
