"""What a checkpoint may ask of a machine, judged before anything of its size is allocated.

A description is held against fixed bounds; each graph against the operators that a forward needs, and against the
header of the weights: it was made for that description and for those tensors, and reads nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from lingula.errors import ModelError
from lingula.model.architecture import Architecture
from lingula.model.forward import OUTPUTS
from lingula.model.graph_file import GraphFile, TensorRange, tensor_ranges

MOST_BYTES = {
    **{f"{part}.onnx": 1 << 23 for part in OUTPUTS},
    "README.md": 1 << 20,
    "config.json": 1 << 20,
    "golden.json": 1 << 20,
    "manifest.json": 1 << 14,
    "model.json": 1 << 24,
    "tokenizer.json": 1 << 25,
    "weights.safetensors": 1 << 32,
}
"""Of each file a checkpoint may hold."""
MOST = {
    "labels": 1024, "grid": 32, "trunks": 8, "width": 8192, "dimension": 8192, "layers": 32, "heads": 64,
    "hidden": 1 << 15, "adapter": 8192, "tokens": 2048, "size": 2048, "image_size": 2048, "num_channels": 4,
    "vocab_size": 1 << 20,
}  # fmt: skip
"""Of the numbers of an ``Architecture``, its preprocessing and its encoders, by name."""
MOST_REPEATED = 256
"""Of every number of an encoder that says how often something is repeated."""
MOST_NUMBER = 1 << 16
"""Of any other number of an encoder."""
KINDS = ("F16", "F32", "I64")
"""How a tensor may be stored."""
PICKLES = (b"\x80", b"PK\x03\x04")
"""How a pickle and a ``torch.save`` archive start."""
_REPEATS = ("layer", "depth", "block", "stage", "head")


def check_folder(folder: Path, *, shipped: bool) -> None:
    """Refuse what does not belong in a checkpoint folder: other names, links, devices, files beyond ``MOST_BYTES``.

    Args:
        shipped: the package's own folder, which installers may fill with hard links from their cache.

    Raises:
        ModelError: ``model_bad_file``, ``model_unsafe_format``.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        stats = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise ModelError("model_bad_file", f"{folder} cannot be read: {error.strerror}.") from error
    if extra := [name for name in stats if name not in MOST_BYTES]:
        named = ", ".join(map(repr, extra[:5]))
        raise ModelError("model_unsafe_format", f"{folder} holds files that do not belong: {named}.", "Remove them.")
    for entry in entries:
        known = stats[entry.name]
        if not entry.is_file(follow_symlinks=False) or (known.st_nlink > 1 and not shipped):
            message = f"{folder / entry.name} is a link or no regular file."
            raise ModelError("model_unsafe_format", message, "Put a copy of the file in its place.")
        if known.st_size > MOST_BYTES[entry.name]:
            message = f"{folder / entry.name} exceeds {MOST_BYTES[entry.name]} bytes."
            raise ModelError("model_bad_file", message)


def read_json(path: Path) -> Any:
    """A JSON file in which every name occurs once and every number is finite.

    Raises:
        ValueError, OSError, RecursionError: anything else.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(body := dict(pairs)) != len(pairs):
            raise ValueError("a name occurs twice")
        return body

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number")

    return json.loads(path.read_bytes(), object_pairs_hook=once, parse_constant=refused)


def check_numbers(body: Mapping[str, Any]) -> None:
    """Hold the numbers of an ``Architecture``'s JSON against their bounds.

    Raises:
        ValueError: the first that is none or too large.
    """
    whole = {each.name for each in fields(Architecture) if each.type == "int"}
    for name, value in (*body.items(), ("size", body["preprocessing"]["size"])):
        least = 0 if name == "adapter" else 1
        if name in (*whole, "size") and not (type(value) is int and least <= value <= MOST[name]):
            raise ValueError(f"{name} is {value!r}, not from {least} to {MOST[name]}")
    for part in ("image", "text"):
        if strange := {"auto_map", "quantization_config"}.intersection(body[part]):
            raise ValueError(f"{part} names {sorted(strange)}, which would load code or other weights")
        for name, number in _numbers(body[part]):
            most = MOST.get(name, MOST_REPEATED if any(word in name for word in _REPEATS) else MOST_NUMBER)
            if not abs(number) <= most:
                raise ValueError(f"{name} of {part} is {number!r}, at most {most}")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in plain data, with the name it stands under."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, str(key))
    elif isinstance(value, list | tuple):
        yield name, len(value)
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int | float):
        yield name, value


def check_weights(path: Path) -> None:
    """Refuse what is no safetensors file, tensors of other types than a checkpoint's, and values that are not finite.

    Raises:
        ModelError: ``model_bad_file``, ``model_unsafe_format``.
    """
    try:
        with safe_open(path, "numpy") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (not a mapping)
                if (kind := tensors.get_slice(key).get_dtype()) not in KINDS:
                    raise ModelError("model_bad_file", f"{key} is of type {kind}, not one of a checkpoint's.")
                if kind != "I64" and not np.isfinite(tensors.get_tensor(key)).all():
                    raise ModelError("model_bad_file", f"{key} in {path.name} holds values that are not finite.")
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            code = "model_unsafe_format" if file.read(4).startswith(PICKLES) else "model_bad_file"
        raise ModelError(code, f"{path} is not a safetensors file: {error}.") from error


def check_graphs(folder: Path, architecture: Mapping[str, Any]) -> None:
    """Refuse graphs that were made for another architecture or other tensors, or that do what they must not.

    Args:
        architecture: as ``model.json`` holds it.

    Raises:
        ModelError: ``model_bad_file``.
    """
    weights = tensor_ranges(folder / "weights.safetensors")
    expected = graph_metadata(architecture, weights)
    for part in OUTPUTS:
        path = folder / f"{part}.onnx"
        try:
            graph = GraphFile.read(path)
            graph.check(weights)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ModelError("model_bad_file", f"{path} is no graph of a checkpoint: {error}.") from error
        for key, value in expected.items():
            if graph.metadata.get(key) != value:
                message = f"{path} was made for another {key.removeprefix('lingula.')} than the folder's."
                raise ModelError("model_bad_file", message, f"With lingula[lab]: lingula export onnx {folder}")


def graph_metadata(architecture: Mapping[str, Any], weights: Mapping[str, TensorRange]) -> dict[str, str]:
    """What every graph of a checkpoint states: for which architecture and which tensors it was made."""
    body = json.dumps(architecture, sort_keys=True)
    tensors = json.dumps(sorted((name, *map(str, asdict(each).values())) for name, each in weights.items()))
    return {
        f"lingula.{name}": hashlib.sha256(text.encode()).hexdigest()
        for name, text in (("architecture", body), ("tensors", tensors))
    }
