"""What an ONNX file holds, read without loading it: operators, inline constants, ranges of other files, metadata.

A graph is judged by this before ONNX Runtime sees it: it may compute with the operators a checkpoint's forward needs,
and read tensors of ``weights.safetensors``, each as that file describes it; nothing else. Only these fields of ONNX's
protocol buffers are read (onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPERATORS = frozenset({
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat",
    "Constant", "ConstantOfShape", "Conv", "Cos", "CumSum", "Div", "Equal", "Erf", "Exp", "Expand", "Flatten",
    "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsNaN",
    "LayerNormalization", "Less", "LessOrEqual", "LogSoftmax", "MatMul", "Max", "Mean", "Min", "Mod", "Mul",
    "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "Round", "ScatterND", "Shape", "Sigmoid",
    "Sin", "Size", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose",
    "Trilu", "Unsqueeze", "Where",
})  # fmt: skip
"""What a graph may compute. No loops, no conditions, no functions, no operators of other makers."""
MOST_INLINE = 1 << 22
"""Bytes of all constants within one file: shapes, positions and a Swin's windows (1.6 MB of Swin-B), no weights."""
_TYPES = {1: "F32", 7: "I64", 10: "F16"}


@dataclass(frozen=True, slots=True)
class GraphFile:
    """One file.

    Attributes:
        operators: by name, with the domain where it has one. inline: bytes of its constants.
        external: for each tensor kept elsewhere (location, offset, length, type, shape).
        metadata: of the model, by key.
    """

    operators: frozenset[str]
    inline: int
    external: tuple[tuple[str, int, int, str, tuple[int, ...]], ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> GraphFile:
        """Raises ValueError for what is no ONNX file, or holds a part this reader does not know to be harmless."""
        operators: set[str] = set()
        tensors: list[Any] = []
        metadata, graphs = {}, 0
        for number, value in _fields(path.read_bytes()):
            if number == 14:
                entry = dict(_fields(value))
                metadata[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
            elif number == 7:
                graphs += 1
                _read_graph(value, operators, tensors)
            elif number in (20, 25):
                raise ValueError("training information or functions")
        if graphs != 1:
            raise ValueError(f"{graphs} graphs")
        external = tuple(tensor for tensor in tensors if not isinstance(tensor, int))
        return cls(frozenset(operators), sum(t for t in tensors if isinstance(t, int)), external, metadata)

    def check(self, weights: Mapping[str, Any]) -> None:
        """Hold it against the tensors of ``weights.safetensors``, ``TensorRange`` by name.

        Raises:
            ValueError: it computes or reads what it must not.
        """
        if strange := sorted(self.operators - OPERATORS):
            raise ValueError(f"it computes {strange[0]!r}")
        if self.inline > MOST_INLINE:
            raise ValueError(f"it holds {self.inline} bytes of constants")
        ranges = {(each.start, each.length, each.kind, each.shape) for each in weights.values()}
        for location, *place in self.external:
            if location != "weights.safetensors":
                raise ValueError(f"it reads {location!r}")
            if tuple(place) not in ranges:
                raise ValueError(f"it reads {place[1]} bytes at {place[0]}, which are no tensor")


@dataclass(frozen=True, slots=True)
class TensorRange:
    """Where a tensor lies in a safetensors file: its first byte, how many, their type and shape."""

    start: int
    length: int
    kind: str
    shape: tuple[int, ...]


def tensor_ranges(path: Path) -> dict[str, TensorRange]:
    """The tensors of a safetensors file, known to be sound, by name."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: TensorRange(8 + size + start, end - start, each["dtype"], tuple(each["shape"]))
        for name, each in header.items()
        for start, end in [each["data_offsets"]]
    }


def _read_graph(graph: bytes, operators: set[str], tensors: list[Any]) -> None:
    for number, value in _fields(graph):
        if number == 1:
            _read_node(value, operators, tensors)
        elif number == 5:
            tensors.append(_tensor(value))
        elif number == 15:
            raise ValueError("a sparse tensor")


def _read_node(node: bytes, operators: set[str], tensors: list[Any]) -> None:
    kind = domain = ""
    for number, value in _fields(node):
        if number == 4:
            kind = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            for part, inner in _fields(value):
                if part == 5:
                    tensors.append(_tensor(inner))
                elif part in (6, 10, 11, 22, 23):  # graphs, tensors and sparse tensors of an attribute
                    raise ValueError("a graph within a node")
                elif part in (4, 7, 8, 9) and isinstance(inner, bytes):
                    tensors.append(len(inner))
    operators.add(f"{domain}.{kind}" if domain not in ("", "ai.onnx") else kind)


def _tensor(data: bytes) -> int | tuple[str, int, int, str, tuple[int, ...]]:
    """Bytes of an inline tensor, or where an external one lies."""
    dims: list[int] = []
    kind = size = outside = 0
    where: dict[str, str] = {}
    for number, value in _fields(data):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2:
            kind = value
        elif number == 13:
            entry = dict(_fields(value))
            where[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
        elif number == 14:
            outside = value
        elif number in (4, 5, 6, 7, 9, 10, 11):
            size += len(value) if isinstance(value, bytes) else 8
    if not outside and not where:
        return size
    if kind not in _TYPES:
        raise ValueError(f"an external tensor of type {kind}")
    return where["location"], int(where["offset"]), int(where["length"]), _TYPES[kind], tuple(dims)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers of a message with their values: int of a number, bytes of anything longer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: int | bytes
            value, at = _varint(data, at)
        elif wire in (1, 5):
            value, at = data[at : at + (8 if wire == 1 else 4)], at + (8 if wire == 1 else 4)
        elif wire == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError("not a message")
        if at > len(data):
            raise ValueError("cut off")
        yield number, value


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("cut off")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise ValueError("not a text")
    return value.decode()
