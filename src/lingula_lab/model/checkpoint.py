"""From a trained model to a checkpoint folder and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lingula.errors import ModelError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.architecture import Architecture
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint, assemble, golden_answer, load_checkpoint, seal
from lingula.model.checkpoint_bounds import check_weights, graph_metadata, read_json
from lingula.model.forward import Forward
from lingula.model.graph_file import tensor_ranges
from lingula.model.onnx_engine import OnnxEngine
from lingula.model.tokenizer import ReportTokenizer
from lingula.study import MODES, Mode
from lingula.types import FilePath
from lingula_lab.model.onnx_export import export_graphs
from lingula_lab.model.parts import TorchEngine
from lingula_lab.model.study_model import StudyModel

EQUAL = 1e-4
"""Largest difference of a golden logit between the graphs and the trained model."""


def trained_checkpoint(
    model: StudyModel,
    tokenizer: ReportTokenizer,
    vocabulary: Vocabulary,
    calibration: Mapping[Mode, Calibration],
    training: dict[str, Any],
    average_film: np.ndarray[Any, np.dtype[np.float32]] | None = None,
) -> Checkpoint:
    """A checkpoint that is in no folder yet: the trained model itself answers."""
    forward = Forward(model.architecture, TorchEngine(model))
    return Checkpoint(forward, tokenizer, vocabulary, dict(calibration), training, average_film=average_film)


def with_model(checkpoint: Checkpoint, model: StudyModel, **changes: Any) -> Checkpoint:
    """A checkpoint with another trained model, in no folder yet."""
    forward = Forward(model.architecture, TorchEngine(model))
    return replace(checkpoint, model=forward, **{"fingerprint": "", "earlier": "", **changes})


def trained_model(checkpoint: Checkpoint) -> StudyModel:
    """The model behind a checkpoint, in PyTorch: the very one of a checkpoint in memory, else read from its folder.

    It is shared among callers; who changes it copies it first.
    """
    engine = checkpoint.model.engine
    if isinstance(engine, TorchEngine):
        return engine.model
    assert isinstance(engine, OnnxEngine)
    return _read_model(engine.folder, checkpoint.fingerprint)


@lru_cache(maxsize=2)
def _read_model(folder: Path, fingerprint: str) -> StudyModel:
    body = read_json(folder / "model.json")
    model = StudyModel(Architecture.from_json(body["architecture"])).eval()
    load_weights(model, folder / "weights.safetensors")
    model.image_encoder.channels_last()
    return model.requires_grad_(False)  # a map asks for gradients of films and words alone


def save_checkpoint(checkpoint: Checkpoint, folder: FilePath) -> Checkpoint:
    """Write a checkpoint's folder, its graphs too, and load it back, so that what is returned is what is on disk.

    Args:
        folder: is made where it is missing; files of an earlier checkpoint in it are replaced.

    Returns:
        The checkpoint as loaded; its fingerprint is this one's where that was loaded, too.

    Raises:
        ModelError: ``model_bad_file`` for weights that are not finite in half precision, ``model_mismatch`` where the
            graphs answer otherwise than the model.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = trained_model(checkpoint).state_dict()
    save_file({key: _stored(tensor) for key, tensor in state.items()}, folder / "weights.safetensors")
    checkpoint.tokenizer.save(folder / "tokenizer.json")
    (folder / "model.json").write_text(checkpoint.described())
    return add_graphs(folder)


def add_graphs(folder: FilePath) -> Checkpoint:
    """Export the graphs of a folder that holds weights, description and tokenizer, hold them against the model, and
    seal the folder. Its fingerprint stays what it was.

    Raises:
        ModelError: as ``save_checkpoint``.
    """
    folder = Path(folder)
    check_weights(folder / "weights.safetensors")
    body = read_json(folder / "model.json")
    architecture = Architecture.from_json(body["architecture"])
    model = StudyModel(architecture).eval()
    load_weights(model, folder / "weights.safetensors")
    export_graphs(model, folder, graph_metadata(body["architecture"], tensor_ranges(folder / "weights.safetensors")))
    made = assemble(folder, OnnxEngine(folder, "cpu"))
    _compare(golden_answer(made), golden_answer(with_model(made, model)))
    seal(folder, golden_answer(made))
    return load_checkpoint(folder)


def _compare(graphs: Mapping[Mode, list[float]], model: Mapping[Mode, list[float]]) -> None:
    for mode in MODES:
        worst = float(np.abs(np.subtract(graphs[mode], model[mode])).max())
        if not worst <= EQUAL * max(1.0, float(np.abs(model[mode]).max())):
            raise ModelError(
                "model_mismatch", f"The graphs answer otherwise than the model in {mode} mode: {worst:.2g}."
            )


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a safetensors file into a model; every key and shape must match, no value may be other than finite.

    Raises:
        ModelError: ``model_bad_file``, ``model_unsafe_format``.
    """
    check_weights(path)
    expected = model.state_dict()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError("model_bad_file", f"{path} cannot be read: {error}.") from error
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ModelError("model_bad_file", f"{path.name} lacks {len(missing)} tensors, first {missing[0]}.")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ModelError("model_bad_file", f"{path.name} has {len(extra)} unknown tensors, first {extra[0]!r}.")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape or tensor.is_floating_point() != expected[key].is_floating_point():
            found = f"{tuple(tensor.shape)} {tensor.dtype}"
            raise ModelError("model_bad_file", f"{key} is {found}, not {tuple(expected[key].shape)}.")
    model.load_state_dict({key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()})


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """As it is kept on disk: half precision, but integers (counts, positions) as they are."""
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
