"""What a checkpoint may ask of a machine, judged before anything of its size is allocated.

A description is first held against fixed bounds, then built without memory (PyTorch's ``meta`` device), and what it
would need is compared with the header of the weights: only tensors that are in the file are ever made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lingula.errors import ModelError
from lingula.model.study_model import Architecture, StudyModel

MOST_BYTES = {
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
"""Of the numbers of an ``Architecture``, its preprocessing and its encoders, by name. With these, what a report becomes
stays within ``MOST_ELEMENTS``."""
MOST_REPEATED = 256
"""Of every number of an encoder that says how often something is repeated."""
MOST_NUMBER = 1 << 16
"""Of any other number of an encoder."""
MOST_ELEMENTS = 1 << 28
"""Of one tensor, weights and what a film becomes on its way alike: 1 GiB in single precision."""
MOST_BUFFERS = 1 << 24
"""Elements of all tensors that are computed and not stored."""
DTYPES = {torch.float32: ("F16", "BF16", "F32"), torch.int64: ("I64",)}
"""How a tensor of the model may be stored."""
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


class _Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses to make a tensor of more than ``MOST_ELEMENTS``."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.numel() > MOST_ELEMENTS:
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} is too large")
        return made


def outline(architecture: Architecture) -> dict[str, torch.Tensor]:
    """The tensors of a model by name, without memory, once a film went through it in the same way.

    Raises:
        ValueError: it would need a tensor beyond ``MOST_ELEMENTS``. Others as the encoders raise them.
    """
    size = architecture.preprocessing.size
    with torch.device("meta"), _Bounded(), torch.no_grad():  # type: ignore[no-untyped-call]
        model = StudyModel(architecture).eval()
        model.image_encoder(torch.zeros(1, 1, size, size))
    stored = model.state_dict()
    computed = sum(buffer.numel() for name, buffer in model.named_buffers() if name not in stored)
    if computed > MOST_BUFFERS:
        raise ValueError(f"{computed} computed values are too many")
    return stored


def check_header(path: Path, expected: Mapping[str, torch.Tensor]) -> None:
    """Compare names, shapes and types in a safetensors file with the tensors of a model; no value is read.

    Raises:
        ModelError: ``model_bad_file``, ``model_unsafe_format``.
    """
    try:
        with safe_open(path, "pt") as tensors:
            slices = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118 (not a mapping)
            found = {key: (tuple(each.get_shape()), each.get_dtype()) for key, each in slices.items()}
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            code = "model_unsafe_format" if file.read(4).startswith(PICKLES) else "model_bad_file"
        raise ModelError(code, f"{path} is not a safetensors file: {error}.") from error
    if missing := sorted(expected.keys() - found.keys()):
        raise ModelError("model_bad_file", f"{path.name} lacks {len(missing)} tensors, first {missing[0]}.")
    if extra := sorted(found.keys() - expected.keys()):
        raise ModelError("model_bad_file", f"{path.name} has {len(extra)} unknown tensors, first {extra[0]!r}.")
    for key, (shape, kind) in found.items():
        if shape != tuple(expected[key].shape):
            raise ModelError("model_bad_file", f"{key} is {shape}, not {tuple(expected[key].shape)}.")
        if kind not in DTYPES.get(expected[key].dtype, ()):
            raise ModelError("model_bad_file", f"{key} is of type {kind}, not one of a checkpoint's.")
