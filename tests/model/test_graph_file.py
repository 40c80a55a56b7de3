"""A graph may compute a forward over the checkpoint's own weights, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lingula.errors import ModelError
from lingula.model.checkpoint import GRAPHS, load_checkpoint
from lingula.model.checkpoint_bounds import check_graphs, read_json
from lingula.model.graph_file import OPERATORS, GraphFile, tensor_ranges

SHIPPED = Path(load_checkpoint.__code__.co_filename).parent / "checkpoints" / "compact"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "compact"))


def _check(folder: Path) -> None:
    check_graphs(folder, read_json(folder / "model.json")["architecture"])


@pytest.mark.parametrize("name", GRAPHS)
def test_it_reads_what_onnx_reads(name: str) -> None:
    found, expected = GraphFile.read(SHIPPED / name), onnx.load(SHIPPED / name, load_external_data=False)
    assert found.operators == {node.op_type for node in expected.graph.node} <= OPERATORS
    assert found.metadata == {entry.key: entry.value for entry in expected.metadata_props}
    outside = [tensor for tensor in expected.graph.initializer if tensor.external_data]
    assert len(found.external) == len(outside) > 0
    named = {(int(each.external_data[1].value), tuple(each.dims)) for each in outside}
    assert {(start, shape) for _, start, _, _, shape in found.external} == named
    inline = [tensor for tensor in expected.graph.initializer if not tensor.external_data]
    assert found.inline >= sum(len(tensor.raw_data) for tensor in inline)


def _node(model: Any, kind: str, domain: str = "") -> None:
    model.graph.node.append(onnx.helper.make_node(kind, ["pixels"], ["more"], domain=domain))


def _loop(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Identity", ["pixels"], ["more"], body=body))


def _elsewhere(model: Any) -> None:
    next(t for t in model.graph.initializer if t.external_data).external_data[0].value = "../../etc/passwd"


def _beyond(model: Any) -> None:
    next(t for t in model.graph.initializer if t.external_data).external_data[1].value = "8"


def _other_shape(model: Any) -> None:
    next(t for t in model.graph.initializer if t.external_data).dims.append(1)


def _large(model: Any, numbers: int = 1_100_000) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(numbers, np.float32), "large"))


def _function(model: Any) -> None:
    model.functions.append(onnx.helper.make_function("made.up", "F", [], [], [], []))


def _for_another(model: Any) -> None:
    model.metadata_props[0].value = "0" * 64


DAMAGE: dict[str, Callable[[Any], None]] = {
    "a loop": lambda model: _node(model, "Loop"),
    "another maker's operator": lambda model: _node(model, "Relu", "com.microsoft"),
    "a graph within": _loop,
    "a file elsewhere": _elsewhere,
    "bytes of no tensor": _beyond,
    "another shape": _other_shape,
    "a large constant": _large,
    "a function": _function,
    "another architecture": _for_another,
}


def test_a_full_size_swin_keeps_its_windows_in_the_graph(folder: Path) -> None:
    model = onnx.load(folder / "image.onnx", load_external_data=False)
    _large(model, 400_000)
    (folder / "image.onnx").write_bytes(model.SerializeToString())
    _check(folder)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_a_graph_must_not_do(folder: Path, damage: str) -> None:
    _check(folder)
    model = onnx.load(folder / "image.onnx", load_external_data=False)
    DAMAGE[damage](model)
    (folder / "image.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as refused:
        _check(folder)
    assert refused.value.code == "model_bad_file"


def test_garbage_is_no_graph(folder: Path) -> None:
    whole = (folder / "text.onnx").read_bytes()
    for content in (b"", b"\xff" * 100, b"{}", whole[:-7], whole[: len(whole) // 2], b"\x3a\xff\xff\xff\xff\x0f"):
        (folder / "text.onnx").write_bytes(content)
        with pytest.raises(ModelError):
            _check(folder)


def test_ranges_are_those_of_the_file() -> None:
    from safetensors.numpy import load_file

    tensors, ranges = load_file(SHIPPED / "weights.safetensors"), tensor_ranges(SHIPPED / "weights.safetensors")
    assert ranges.keys() == tensors.keys()
    data = (SHIPPED / "weights.safetensors").read_bytes()
    for name in ("head.weight", "view_embedding.weight"):
        assert data[ranges[name].start :][: ranges[name].length] == tensors[name].tobytes()
