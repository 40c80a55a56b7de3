"""The graphs of a checkpoint: each deployed part of a trained model as ONNX, its weights left in the weights' file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lingula.model.architecture import Architecture
from lingula.model.forward import OUTPUTS, Part
from lingula.model.graph_file import TensorRange, tensor_ranges
from lingula_lab.model.parts import part_of
from lingula_lab.model.study_model import StudyModel

INPUTS: dict[Part, tuple[str, ...]] = {
    "image": ("pixels",),
    "details": ("pixels",),
    "text": ("ids", "mask", "first"),
    "fusion": ("image", "image_mask", "text", "text_mask", "terms"),
}


def export_graphs(model: StudyModel, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write a model's parts beside ``weights.safetensors``, which must hold its state.

    Args:
        metadata: kept in every file.
    """
    import onnx_ir

    ranges = tensor_ranges(folder / "weights.safetensors")
    for part in OUTPUTS:
        made = onnx_ir.from_proto(_exported(model, part))
        made.metadata_props.update(metadata)
        _attach(made, ranges, onnx_ir)
        onnx_ir.save(made, folder / f"{part}.onnx")


def write_alone(folder: Path, out: Path) -> list[Path]:
    """Write the graphs of a checkpoint folder with their weights inside; ``out`` is made where it is missing."""
    import onnx_ir

    out.mkdir(parents=True, exist_ok=True)
    written = []
    for part in OUTPUTS:
        made = onnx_ir.load(folder / f"{part}.onnx")
        onnx_ir.external_data.load_to_model(made)
        onnx_ir.save(made, out / f"{part}.onnx")
        written.append(out / f"{part}.onnx")
    return written


DECIDES: dict[Part, tuple[str, ...]] = {
    "image": ("image", "grid", "levels", "fold", "trunks", "width", "preprocessing"),
    "details": ("image", "grid", "fold", "preprocessing"),
    "text": ("text", "text_levels", "width", "dimension", "tokens", "word_terms"),
    "fusion": ("width", "dimension", "layers", "heads", "hidden", "adapter", "shared", "labels"),
}
"""The fields of ``Architecture`` from which a part's graph follows."""
_GRAPHS: dict[str, Any] = {}


def key_of(architecture: Architecture, part: Part) -> str:
    """The same for architectures whose graph of this part is the same."""
    return repr((part, [getattr(architecture, field) for field in DECIDES[part]]))


def _exported(model: StudyModel, part: Part) -> Any:
    """A part's graph with its weights as inputs, as a message. It follows from ``DECIDES`` alone, and is kept."""
    import onnx_ir

    key = key_of(model.architecture, part)
    if key not in _GRAPHS:
        _GRAPHS[key] = onnx_ir.to_proto(_graph(model, part))
    return _GRAPHS[key]


def _graph(model: StudyModel, part: Part) -> Any:
    from onnxscript import optimizer

    count = len(OUTPUTS[part]) if part != "fusion" or model.architecture.layers else 4
    example, moving = _example(model.architecture, part)
    with _quietly(), torch.no_grad():
        program: Any = torch.onnx.export(
            part_of(model, part), example, dynamo=True, dynamic_shapes=moving, optimize=False, verbose=False,
            input_names=list(INPUTS[part]), output_names=list(OUTPUTS[part][:count]),
        )  # fmt: skip
        made = program.model
        stored = {f"model.{name}" for name in model.state_dict()}
        weights = [value for name, value in made.graph.initializers.items() if name in stored]
        for value in weights:  # as inputs, so that nothing is computed of them here
            del made.graph.initializers[value.name]
            value.const_value = None
            made.graph.inputs.append(value)
        optimizer.optimize_ir(made)
    for node in made.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    for value in (*made.graph.inputs, *made.graph.outputs, *(v for n in made.graph for v in n.outputs)):
        value.metadata_props.clear()
    made.metadata_props.clear()
    made.graph.metadata_props.clear()
    return made


def _attach(made: Any, ranges: Mapping[str, TensorRange], onnx_ir: Any) -> None:
    """Every weight becomes a range of the weights' file, cast to single precision where it is kept in half."""
    kinds = {"F16": onnx_ir.DataType.FLOAT16, "F32": onnx_ir.DataType.FLOAT, "I64": onnx_ir.DataType.INT64}
    graph = made.graph
    for value in [value for value in graph.inputs if value.name.startswith("model.")]:
        graph.inputs.remove(value)
        if not value.uses() and not value.is_graph_output():
            continue
        name = value.name.removeprefix("model.")
        at = ranges[name]
        stored = onnx_ir.Value(name=name)
        stored.const_value = onnx_ir.ExternalTensor(
            "weights.safetensors", at.start, at.length, kinds[at.kind], shape=onnx_ir.Shape(at.shape), name=name
        )
        stored.shape, stored.dtype = onnx_ir.Shape(at.shape), kinds[at.kind]
        graph.initializers[name] = stored
        if at.kind != "F16":
            value.replace_all_uses_with(stored)
            continue
        cast = onnx_ir.node("Cast", [stored], {"to": int(onnx_ir.DataType.FLOAT)})
        cast.outputs[0].name = f"{name}.single"
        graph.insert_before(graph[0], cast)
        value.replace_all_uses_with(cast.outputs[0])


def _example(a: Architecture, part: Part) -> tuple[tuple[torch.Tensor, ...], Any]:
    """Inputs of two studies, and which of their sides vary."""
    side, count = torch.export.Dim.DYNAMIC, 2
    if part in ("image", "details"):
        size = a.preprocessing.size
        return (torch.zeros(count, 1, size, size),), ({0: side},)
    patches, words = 8, 5
    ids = torch.ones(count, words, dtype=torch.long)
    if part == "text":
        return (ids, torch.ones_like(ids), ids > 0), ({0: side, 1: side},) * 3
    example = (
        torch.zeros(count, patches, a.width), torch.ones(count, 1 + patches, dtype=torch.bool),
        torch.zeros(count, words, a.width), torch.ones(count, 1 + words, dtype=torch.bool),
        torch.zeros(count, words, a.dimension),
    )  # fmt: skip
    return example, ({0: side, 1: side},) * 5


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's remarks on itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
