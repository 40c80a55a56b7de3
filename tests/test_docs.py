"""The documents say what the code does: codes, limits, dependencies, commands, examples, figures, links, words."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
import yaml

import lingula
import reference_pages
import summary
from lingula.cli.main import app
from lingula.errors import WARNING_CODES, LingulaError
from lingula.model.checkpoint import load_checkpoint
from lingula.openi import scan
from lingula.reading.limits import Limits
from lingula_lab.graph import Places
from lingula_lab.report.card import Results, companions_of, datasheet, model_card

ROOT = Path(__file__).resolve().parents[1]
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
QUIET = {"NO_MKDOCS_2_WARNING": "1"}
HOUSE_WORDS = re.compile(
    r"\b(?:voices?|desks?|shel(?:f|ves)|hubs|beside|usual(?:ly)?|cells?(?! of a table)|loud\w*|whisper\w*|hardly"
    r"|stand-ins?|spares)\b",
    re.IGNORECASE,
)


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
    companions = companions_of(summary.RESULTS)
    for name, page in (("model-card.md", model_card), ("datasheet.md", datasheet)):
        assert (ROOT / "docs" / name).read_text() == page(results, checkpoint, companions), (
            "python benchmarks/summary.py"
        )


# -- pages made from code, and examples that run


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_pages_made_from_code_are_those_under_version_control(name: str) -> None:
    made = reference_pages.PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made, "python docs/reference_pages.py"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the notebook leaves behind when its cells are run in an empty one."""
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    folder, names = tmp_path_factory.mktemp("tutorial"), {"__name__": "tutorial"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in cells:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    return folder


def python_block(page: str) -> str:
    """The first block of Python on a page."""
    found = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_the_tutorial_ends_in_a_page(tutorial: Path) -> None:
    assert "Not for diagnostic use" in (tutorial / "analysis.html").read_text(encoding="utf-8")


def test_the_readme_example_runs(tutorial: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tutorial)
    shutil.copy(next((tutorial / "new").rglob("*.dcm")), "chest.dcm")
    exec(compile(python_block("README.md"), "README.md", "exec"), {"__name__": "readme"})
    assert len(capsys.readouterr().out.splitlines()) == 22 + 2  # a line a label, and two lists of neighbours
    assert "Not for diagnostic use" in Path("chest.html").read_text(encoding="utf-8")


def test_the_readme_shows_what_make_was_measured_to_take() -> None:
    readme = (ROOT / "README.md").read_text()
    measured = json.loads((ROOT / "benchmarks" / "results" / "fresh_clone.json").read_text())
    assert f", {measured['demo_seconds']} s." in readme
    assert f"in {measured['test_seconds']:.2f}s" in readme


def test_the_report_shown_for_own_data_is_a_study(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    (tmp_path / "report.xml").write_text(re.findall(r"```xml\n(.*?)```", page, re.DOTALL)[0])
    (tmp_path / "10017-frontal.png").touch()
    collection = scan(tmp_path)
    assert [(study.study_id, study.missing) for study in collection] == [("CXR10017", ("10017-lateral",))]
    report = collection.studies[0].report
    assert report.terms == ("Pleural Effusion/left/small",)
    assert report.report is not None
    assert report.report.section("impression") == "Left effusion."


def test_the_example_of_reranking_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codes = load_checkpoint("compact").vocabulary.codes
    Places(codes, np.eye(22, dtype=np.float32), "TransE", 1, "").save(Path("places.safetensors"))
    names: dict[str, Any] = {}
    exec(compile(python_block("docs/knowledge-graph.md"), "knowledge-graph.md", "exec"), names)
    assert names["mixed"].shape == (3, 40)


def test_figures_of_the_knowledge_graph_are_those_measured() -> None:
    page = (ROOT / "docs" / "knowledge-graph.md").read_text(encoding="utf-8")
    results = ROOT / "benchmarks" / "results"
    graph = json.loads((results / "graph.json").read_text())["rerank"]
    for model in ("TransE", "TransH", "RotatE", "CompGCN"):
        gains = [f"{graph[model]['gain'][key]['value']:.3f}" for key in ("nDCG@10", "P@5")]
        assert f"| {model} | {graph[model]['weight']:.0f} | {' | '.join(gains)} |" in page
    aligned = json.loads((results / "ablation.json").read_text())["rows"]["aligned with the knowledge graph"]
    for name, entry in aligned.items():
        value, low, high = (f"{entry['difference'][key]:.3f}".replace("-", "−") for key in ("value", "low", "high"))
        assert f"| {name.replace('text', 'report')} | {value} ({low} to {high}) |" in page


def test_the_way_of_a_case_names_files_that_exist() -> None:
    files = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*")}
    named = re.findall(r"`([\w/]+\.(?:py|json))`", chapter("docs/case.md", "Where to look"))
    assert len(named) > 10
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []


def test_the_site_builds_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **QUIET})
    assert (done.returncode, done.stderr) == (0, "")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    loads = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+stylesheet[^>]+href=\"https?:")
    assert [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/lingula/__init__.py"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == lingula.__version__
    assert f"## {lingula.__version__}" in (ROOT / "CHANGELOG.md").read_text()


# -- words


def test_documents_use_the_words_of_the_field() -> None:
    """CONTRIBUTING.md has the table; code in backquotes is left out, and pages made from code or results."""
    made = {*reference_pages.PAGES, "model-card.md", "datasheet.md"}
    pages = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in made)]
    wrong = []
    for page in pages:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        wrong += [f"{page.name}: {found[0]}" for found in re.finditer(HOUSE_WORDS, prose)]
    assert wrong == []


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
