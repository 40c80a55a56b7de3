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


HEAVY = ("torch", "torchvision", "transformers", "captum", "accelerate", "sklearn", "scipy")


def test_the_product_imports_no_heavy_library() -> None:
    product = [module for module in MODULES if module.split(".")[0] == "lingula"]
    wrong = [(module, each) for module in product for each in imported(module) if each.split(".")[0] in HEAVY]
    assert wrong == []


_USES = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
import lingula
from lingula.ingest.batches import create_library
from lingula.ingest.files import import_files
from lingula.reading.sandbox import Sandbox
from lingula.retrieval.region import Place, search_region
from lingula.server.app import create_app

folder = Path(sys.argv[1])
random = np.random.default_rng(0)
for name in ("one", "two"):
    (folder / name).mkdir()
    pixels = (random.random((24, 20)) * 255).astype(np.uint8)
    Image.fromarray(pixels).resize((240, 288)).save(folder / name / "film.png")
model = lingula.load_checkpoint("compact")
with Sandbox() as sandbox, create_library(model, folder / "library.sqlite") as library:
    import_files(library, model, folder, sandbox)
    study = lingula.read_study(folder / "one" / "film.png", text="The heart is enlarged.", sandbox=sandbox)
    lingula.predict(study, model, anyway=True)
    lingula.search("effusion", model, library)
    lingula.analyze(study, model, library, label="cardiomegaly", anyway=True)
    lingula.explain(study, model, "cardiomegaly", methods=["contribution", "attention", "occlusion"])
    other = next(each for each in library.ids() if each not in library.ids_of(study))
    lingula.why(study, other, model, library)
    search_region(study, Place(0, 20, 20, 60, 60), model, library)
    create_app(model, library)
print(sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def test_nothing_that_answers_loads_a_heavy_library(tmp_path: Path) -> None:
    """Predict, search, analyze, explain, why, region and the server, each once, in one process."""
    command = [sys.executable, "-c", _USES, str(tmp_path), *HEAVY]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_question_to_the_shipped_gallery_loads_no_database(tmp_path: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from lingula.cli.main import app\n"
        "run = CliRunner().invoke(app, ['search', 'effusion', '--json'])\n"
        "print(run.exit_code, 'lingula.library.library' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["0", "False", "False"], run.stderr


RETIRED = re.compile(
    r"(?<![a-z])(?:voices?|desks?|shel(?:f|ves)|guards?|standing|usual|beside|loudness|loud|aloud|whisper|hubs|hardly|stand_?ins?)(?![a-z])"
)
"""Words of the table in CONTRIBUTING.md that the field does not use."""
STORED = {
    ("lingula_lab.model.image_encoder", "beside"), ("lingula_lab.model.study_model", "voice"),
    ("lingula_lab.training.closed_form_text", "voice"),  # tensors in checkpoints
    ("lingula.server.routes.pages", "beside"), ("lingula.server.views", "beside"),  # in addresses of pages
}  # fmt: skip
"""Names that are kept because files or addresses have them."""


def names_in(file: Path) -> Iterator[str]:
    """Every name that a source file defines or uses: of modules, functions, arguments, variables, attributes."""
    for node in ast.walk(ast.parse(file.read_text())):
        for field in ("name", "id", "attr", "arg"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def test_names_are_words_of_the_field() -> None:
    wrong = {
        (module, name)
        for module, file in MODULES.items()
        for name in names_in(file)
        if RETIRED.search(name.lower()) and (module, name) not in STORED
    }
    assert sorted(wrong) == []


PARTICIPLES = {"found", "known", "asked", "wanted", "said", "told", "kept", "held"}
FRONT = {
    "lingula.analysis", "lingula.model.encode", "lingula.reading.study_reader", "lingula.explanation.methods",
    "lingula.explanation.contribution", "lingula.retrieval.query_study",
}  # fmt: skip
"""The modules that one case passes first, and that are read first."""


def test_what_is_read_first_names_things_by_nouns() -> None:
    variables = {
        (module, node.id)
        for module in FRONT
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Name)
    }
    assert sorted(each for each in variables if each[1] in PARTICIPLES) == []


def test_no_public_class_name_is_defined_twice() -> None:
    homes = defaultdict(list)
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
