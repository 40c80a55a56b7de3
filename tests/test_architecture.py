"""Who may import whom, what loads without the heavy libraries, and that a class name has one meaning."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src"
PACKAGES = ("lingula", "lingula_lab", "lingula_phantom")


def name_of(file: Path) -> str:
    """The dotted name of a source file's module."""
    return ".".join(file.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for package in PACKAGES for file in (SOURCES / package).rglob("*.py")}


def imported(module: str) -> Iterator[str]:
    """Modules of the three packages that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{each.name}" for each in node.names]
            yield from (name if name in MODULES else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


ARROWS = {module: {each for each in imported(module) if each in MODULES} - {module} for module in MODULES}


def room(module: str) -> str:
    """``lingula.reading.dicom.pixels`` lies in room ``reading``; the package itself in ``lingula``."""
    return module.split(".")[1] if "." in module else module


def rooms() -> dict[str, int]:
    """Depth of each room of the product, from the drawing in ``docs/architecture.md``; 0 is the lowest line."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawing = re.search(r"## Import direction\n.*?```text\n(.*?)```", page, re.DOTALL)
    assert drawing
    return {name: depth for depth, line in enumerate(drawing[1].splitlines()) for name in line.split()}


def test_the_product_imports_neither_laboratory_nor_phantom() -> None:
    product = [module for module in MODULES if module.split(".")[0] == "lingula"]
    named = [module for module in product if re.search(r"lingula_(lab|phantom)", MODULES[module].read_text())]
    assert named == []


def test_the_phantom_imports_nothing_of_the_others() -> None:
    arrows = {each for module in MODULES if module.startswith("lingula_phantom") for each in ARROWS[module]}
    assert {each.split(".")[0] for each in arrows} <= {"lingula_phantom"}


def test_rooms_import_from_lines_above_their_own() -> None:
    drawn = rooms()
    wrong = []
    for module in MODULES:
        if not module.startswith("lingula.") or module == "lingula.__main__":
            continue
        assert room(module) in drawn, f"docs/architecture.md does not draw {room(module)}"
        for other in ARROWS[module]:
            if other != "lingula" and room(other) != room(module) and drawn[room(other)] >= drawn[room(module)]:
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    tuple(TopologicalSorter(ARROWS).static_order())  # raises CycleError and names the circle


@pytest.mark.parametrize(
    "module", ["lingula", "lingula.reading.study_reader", "lingula.labels", "lingula.library", "lingula.retrieval"]
)
def test_it_loads_without_the_heavy_libraries(module: str) -> None:
    heavy = "{'torch', 'transformers', 'captum', 'sklearn', 'scipy'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_public_class_name_is_defined_twice() -> None:
    homes = defaultdict(list)
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
