"""The documents say what the code does: codes, limits, dependencies, import direction, commands, figures, links."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main

import summary
from lingula.cli.main import app
from lingula.errors import WARNING_CODES, LingulaError
from lingula.model.checkpoint import load_checkpoint
from lingula.reading.limits import Limits
from lingula_lab.report.card import Results, companions_of, datasheet, model_card

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "lingula"
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}


def chapter(page: str, heading: str) -> str:
    """The text of a page between ``## heading`` and the next heading of that depth."""
    parts = re.split(r"^## (.+)\n", (ROOT / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row that begins with a name in backquotes; the name comes bare."""
    lines = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.MULTILINE)
    return [[name, *(cell.strip() for cell in cells.split("|"))] for name, cells in lines]


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file under version control."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


# -- limits.md


@pytest.mark.parametrize(("heading", "codes"), [("Error codes", LingulaError.codes), ("Warnings", WARNING_CODES)])
def test_every_code_is_described_once(heading: str, codes: frozenset[str]) -> None:
    described = rows(chapter("docs/limits.md", heading))
    assert sorted(name for name, *_ in described) == sorted(codes)
    assert all(cause and remedy for _, cause, remedy in described)


def test_limits_are_listed_with_their_defaults() -> None:
    def value(cell: str) -> float:
        number, _, unit = cell.replace(",", "").partition(" ")
        return float(number) * UNITS.get(unit, 1)

    listed = {name: value(default) for name, default, *_ in rows(chapter("docs/limits.md", "Limits"))}
    assert listed == asdict(Limits())


# -- dependencies.md


@pytest.mark.parametrize("heading", ["To run", "Extras", "To develop"])
def test_every_dependency_has_a_reason_a_licence_and_a_replacement(heading: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = dict(project["project"]["optional-dependencies"])
    develop = [*project["build-system"]["requires"], *extras.pop("dev")]
    entries = {
        "To run": project["project"]["dependencies"],
        "Extras": chain.from_iterable(extras.values()),
        "To develop": develop,
    }[heading]
    names = {re.split(r"[\[<>=!~; ]", entry)[0] for entry in entries} - {"lingula"}  # an extra may name another
    described = rows(chapter("docs/dependencies.md", heading))
    assert sorted(name for name, *_ in described) == sorted(names)
    assert all(len(cells) == 3 and all(cells) for _, *cells in described)


# -- architecture.md


def layers() -> dict[str, int]:
    """Depth of each module or folder of the package, from the drawing in the page; 0 is the lowest line."""
    drawing = re.search(r"```text\n(.*?)```", chapter("docs/architecture.md", "Import direction"), re.DOTALL)
    assert drawing
    return {name: depth for depth, line in enumerate(drawing[1].splitlines()) for name in line.split()}


def imported(file: Path) -> Iterator[str]:
    """Modules of the package that a file imports, as dotted names without ``lingula.``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lingula."):
            yield node.module.removeprefix("lingula.")
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("lingula.") for a in node.names if a.name.startswith("lingula."))


def test_imports_run_one_way() -> None:
    drawn = layers()

    def part(module: str) -> str:
        return module if module in drawn else module.partition(".")[0]

    wrong = []
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module in ("__init__", "__main__"):  # the package's public names, and the way in
            continue
        own = part(module)
        assert own in drawn, f"docs/architecture.md does not draw {own}"
        foreign = {part(name) for name in imported(file)} - {own}
        wrong += [f"{module} imports {name}" for name in foreign if not drawn[name] < drawn[own]]
    assert not wrong


# -- commands


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(words, command) of the whole tree, groups too."""
    yield " ".join(path), command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, (*path, name))


TREE = dict(commands(typer.main.get_command(app)))
LEAVES = [words for words, command in TREE.items() if not hasattr(command, "commands")]


def parse(line: str) -> None:
    """Parse a shell line as the program would, without running it; raises what is wrong with it."""
    program, *words = shlex.split(line, comments=True)
    assert program == "lingula"
    path = max((leaf for leaf in LEAVES if words[: len(leaf.split())] == leaf.split()), key=len, default=None)
    assert path is not None, f"no command: {line}"
    TREE[path].make_context(path, words[len(path.split()) :])


@pytest.mark.parametrize("words", TREE)
def test_every_command_and_group_has_a_help_text(words: str) -> None:
    assert (TREE[words].help or "").strip()


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_has_an_example_that_parses_and_speaks_json(words: str) -> None:
    examples = re.findall(r"Example: \[bold\](.+?)\[/\]", TREE[words].help)
    assert examples
    for example in examples:
        assert example.startswith(f"lingula {words}")
        parse(example)
    assert "--json" in {option for parameter in TREE[words].params for option in parameter.opts}


def test_commands_in_the_documents_parse(tracked: list[Path]) -> None:
    pages = [path.read_text() for path in tracked if path.suffix == ".md"]
    blocks = [block for page in pages for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)]
    for line in "\n".join(blocks).splitlines():
        if line.startswith("lingula "):
            parse(line)


# -- figures


def test_headline_figures_come_from_their_files() -> None:
    results = ROOT / "benchmarks" / "results"
    for key, entry in json.loads((results / "headline.json").read_text()).items():
        source = json.loads((ROOT / entry["source"]).read_text())
        figure = {name: value for name, value in entry.items() if name not in ("source", "command")}
        assert source["headline"][key] == figure, key
        assert source["command"] == entry["command"], key
        scripts = [word for word in entry["command"].split() if word.endswith(".py")]
        assert scripts, key
        assert all((ROOT / script).is_file() for script in scripts), key


def test_readme_and_cards_say_what_the_results_say() -> None:
    readme = (ROOT / "README.md").read_text()
    results = Results.load(summary.RESULTS, summary.CITED)
    assert summary.START + summary.figures(results) + summary.END in readme, "python benchmarks/summary.py"
    checkpoint = load_checkpoint("compact")
    if checkpoint.fingerprint != results.about["model"]:
        pytest.skip("the shipped checkpoint has not been evaluated: python benchmarks/evaluate.py")
    beside = companions_of(summary.RESULTS)
    for name, page in (("model-card.md", model_card), ("datasheet.md", datasheet)):
        assert (ROOT / "docs" / name).read_text() == page(results, checkpoint, beside), "python benchmarks/summary.py"


# -- every file


def test_no_file_names_a_place_on_somebodys_machine(tracked: list[Path]) -> None:
    places = re.compile(rb"(?<![\w.-])/(?:work|root|home/\w+|Users/\w+)/")
    assert [str(path.relative_to(ROOT)) for path in tracked if places.search(path.read_bytes())] == []


def test_relative_links_lead_somewhere(tracked: list[Path]) -> None:
    broken = []
    for page in (path for path in tracked if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken
