"""The public names of ``lingula``: there in any order, called twice, with paths as people have them."""

from __future__ import annotations

import inspect
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lingula
from lingula.ingest.batches import create_library
from lingula.model.checkpoint import Checkpoint
from lingula_lab.model.checkpoint import save_checkpoint
from lingula_phantom import generate

FIRST = ("study", "model", "library")
"""What is asked about, then the model, then the library: the order in public functions."""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    generate(folder, studies=2, long_side=160)
    return folder


@pytest.fixture(scope="module")
def film(collection: Path) -> Path:
    return next(collection.rglob("*1001.dcm"))


def test_no_module_takes_the_name_of_a_public_function() -> None:
    for module in pkgutil.walk_packages(lingula.__path__, "lingula."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            import_module(module.name)
    assert {module.name for module in pkgutil.iter_modules(lingula.__path__)}.isdisjoint(lingula.__all__)
    assert [name for name in lingula.__all__ if inspect.ismodule(getattr(lingula, name))] == []


@pytest.mark.parametrize("order", [lingula.__all__, lingula.__all__[::-1]])
def test_every_public_name_is_there_twice_in_a_fresh_process(order: list[str]) -> None:
    code = f"import lingula; names = {order!r}; first = [getattr(lingula, n) for n in names]\n"
    code += "assert all(getattr(lingula, n) is f and callable(f) for n, f in zip(names, first))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_functions_take_the_study_then_the_model_then_the_library() -> None:
    for function in (lingula.predict, lingula.explain, lingula.analyze, lingula.why, lingula.search):
        names = [name for name in inspect.signature(function).parameters if name in FIRST]
        assert names == [name for name in FIRST if name in names] or function is lingula.search


def test_every_public_docstring_says_what_goes_in_and_what_comes_out() -> None:
    functions = {
        name: getattr(lingula, name) for name in lingula.__all__ if not inspect.isclass(getattr(lingula, name))
    }
    for name, function in functions.items():
        said = inspect.getdoc(function) or ""
        assert "Args:" in said, name
        assert "Raises:" in said or name in ("embed",), name
        assert "Returns:" in said or inspect.signature(function).return_annotation == "None", name


def test_the_path_of_a_case_twice(film: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    where = tmp_path / "library.sqlite"
    with create_library(checkpoint, str(where)) as library:
        other = lingula.read_study(film, study_id="other")
        ((_, vectors),) = lingula.embed([other], checkpoint)
        library.add(other, vectors)
    for path in (str(film), film, [str(film)], _Like(film)):
        study = lingula.read_study(path)
        assert study.radiographs[0].view != "unknown"
    with lingula.Library.open(_Like(where), model=checkpoint.fingerprint) as library:
        label = checkpoint.vocabulary.codes[1]
        for _ in range(2):
            assert lingula.predict(study, checkpoint)
            assert lingula.explain(study, checkpoint, label, methods=["contribution"])
            answer = lingula.search(study, checkpoint, library)  # the film is there under another name
            assert answer.neighbours == ()
            assert "film_in_library" in [notice.code for notice in answer.notices]
            assert lingula.why(study, "other", checkpoint, library).study_id == "other"
            analysis = lingula.analyze(study, checkpoint, library, methods=["contribution"])
        lingula.write_page(str(tmp_path / "page.html"), analysis)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    again = save_checkpoint(checkpoint, str(tmp_path / "again"))
    assert lingula.load_checkpoint(_Like(tmp_path / "again")).fingerprint == again.fingerprint


class _Like(os.PathLike[str]):
    """A path of a kind that is neither str nor Path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def test_explain_answers_on_the_input_that_predict_answered_on(
    film: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A picture names no view: it is named once, when it is read, and both read the same study."""
    from PIL import Image

    study = lingula.read_study(film)
    Image.fromarray((study.radiographs[0].pixels * 255).astype("uint8")).save(tmp_path / "film.png")
    picture = lingula.read_study(tmp_path / "film.png")
    assert picture.radiographs[0].view == study.radiographs[0].view != "unknown"
    (found,) = lingula.explain(picture, checkpoint, checkpoint.vocabulary.codes[1], methods=["contribution"])
    assert found.maps[0].shape == picture.radiographs[0].pixels.shape
