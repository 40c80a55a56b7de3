"""The checkpoint folder: weights, configuration, tokenizer, golden output, and a manifest that ties them together.

    weights.safetensors   tensors (half precision on disk, computed in single precision)
    model.json            architecture, preprocessing, vocabulary, calibration, how it was trained
    tokenizer.json        the tokenisation
    golden.json           what the model answers to a fixed made-up study
    manifest.json         SHA-256 of each of these

Nothing is unpickled. A file that is missing, extra or altered is refused, and so is a tensor.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lingula.errors import ModelError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.calibration import Calibration
from lingula.model.study_model import Architecture, StudyModel, batch_studies
from lingula.model.text_encoder import ReportTokenizer
from lingula.study import Mode, Radiograph, Report, Study

FILES = ("golden.json", "model.json", "tokenizer.json", "weights.safetensors")
MODES: tuple[Mode, ...] = ("image", "text", "joint")
TOLERANCE = 2e-3
"""Largest difference of a golden value that another machine's arithmetic may cause."""
PICKLES = (b"\x80", b"PK\x03\x04")
"""How a pickle and a ``torch.save`` archive start."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model with everything that travels with it.

    Attributes:
        training: how and on what it was trained, plain data (recipe, split digest, data licence, versions, seed).
        usual: (views, L, P) float32, mean share of each patch in each label's logit over normal training films of a
            view, from which ``explain.contribution`` counts; None where none was kept.
        fingerprint: first 16 hex digits of the manifest's SHA-256; empty before it is saved.
    """

    model: StudyModel
    tokenizer: ReportTokenizer
    vocabulary: Vocabulary
    calibration: dict[Mode, Calibration]
    training: dict[str, Any]
    fingerprint: str = ""
    usual: npt.NDArray[np.float32] | None = None

    def save(self, folder: Path) -> Checkpoint:
        """Write the folder and load it back, so that what is returned is what is on disk."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: _stored(tensor) for key, tensor in self.model.state_dict().items()}, folder / "weights.safetensors"
        )
        self.tokenizer.save(folder / "tokenizer.json")
        body = {
            "format": 1,
            "architecture": self.model.architecture.to_json(),
            "vocabulary": self.vocabulary.to_json(),
            "calibration": {mode: entry.to_json() for mode, entry in self.calibration.items()},
            "training": self.training,
            "usual": None if self.usual is None else np.round(self.usual.astype(float), 5).tolist(),
        }
        (folder / "model.json").write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        stored = _assemble(folder)
        (folder / "golden.json").write_text(json.dumps(_golden(stored)) + "\n")
        sums = {name: _sha256(folder / name) for name in FILES}
        (folder / "manifest.json").write_text(json.dumps(sums, indent=1) + "\n")
        return load_checkpoint(folder)


def load_checkpoint(folder: str | Path = "compact", *, check_golden: bool = False, fast: bool = False) -> Checkpoint:
    """Load a checkpoint folder, or a shipped one by name.

    Args:
        folder: path, or ``compact``, the embedded default.
        check_golden: also compute the golden study and compare.
        fast: let compiled encoders answer where no gradient is asked for; needs the extra ``fast``, and a minute the
            first time (``lingula.model.openvino``).

    Raises:
        InputError: ``bad_request`` when the extra ``fast`` is asked for and not installed.
        ModelError: ``model_bad_file`` (missing, unreadable, or tensors that are not the architecture's),
            ``model_checksum_mismatch`` (altered), ``model_unsafe_format`` (a file that does not belong, or a pickle),
            ``model_mismatch`` (another golden output).
    """
    shipped = Path(__file__).parent / "checkpoints" / str(folder)
    folder = shipped if shipped.is_dir() else Path(folder)
    if not (folder / "manifest.json").is_file():
        raise ModelError(
            "model_bad_file", f"{folder} is not a checkpoint: it has no manifest.json.", "Shipped: 'compact'."
        )
    fingerprint = _verify(folder)
    checkpoint = _assemble(folder, fingerprint)
    if check_golden:
        try:
            golden = json.loads((folder / "golden.json").read_text())
            expected = {mode: [float(v) for v in golden[mode]] for mode in MODES}
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelError(
                "model_bad_file", f"{folder / 'golden.json'} is not a golden output: {error!r}."
            ) from error
        verify_golden(checkpoint, expected)
    if fast:
        from lingula.model.openvino import compile_encoders

        compile_encoders(checkpoint)
    return checkpoint


def _verify(folder: Path) -> str:
    """Compare the folder with its manifest; the fingerprint."""
    try:
        sums = json.loads((folder / "manifest.json").read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError("model_bad_file", f"{folder / 'manifest.json'} cannot be read: {error}.") from error
    if not isinstance(sums, dict) or sorted(sums) != sorted(FILES):
        raise ModelError("model_bad_file", f"{folder / 'manifest.json'} must name exactly {', '.join(FILES)}.")
    if extra := sorted({path.name for path in folder.iterdir()} - {*FILES, "manifest.json", "README.md"}):
        raise ModelError(
            "model_unsafe_format", f"{folder} holds files that do not belong: {', '.join(extra)}.", "Remove them."
        )
    for name, expected in sums.items():
        if not (folder / name).is_file():
            raise ModelError("model_bad_file", f"{folder / name} is missing.", "Fetch the checkpoint again.")
        if (found := _sha256(folder / name)) != expected:
            raise ModelError(
                "model_checksum_mismatch",
                f"{folder / name} was altered: SHA-256 {found[:12]}…, the manifest says {str(expected)[:12]}….",
                "Fetch the checkpoint again.",
            )
    return _sha256(folder / "manifest.json")[:16]


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """As it is kept on disk: half precision, but integers (counts, positions) as they are."""
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def _assemble(folder: Path, fingerprint: str = "") -> Checkpoint:
    """The parts of a folder. A bad description breaks anywhere (transformers and tokenizers raise what they like)."""
    try:
        body = json.loads((folder / "model.json").read_text())
        architecture = Architecture.from_json(body["architecture"])
        vocabulary = Vocabulary.from_json(body["vocabulary"])
        calibration: dict[Mode, Calibration] = {
            mode: Calibration.from_json(body["calibration"][mode]) for mode in MODES
        }
        tokenizer = ReportTokenizer.load(
            folder / "tokenizer.json", sections=architecture.sections, length=architecture.tokens
        )
        training: dict[str, Any] = body["training"]
        usual = None if body.get("usual") is None else np.asarray(body["usual"], np.float32)
        model = StudyModel(architecture).eval()
    except Exception as error:
        raise ModelError("model_bad_file", f"{folder} is not described by its JSON files: {error!r}.") from error
    sizes = {len(vocabulary), *(len(entry.threshold) for entry in calibration.values())}
    if sizes != {architecture.labels} or tokenizer.vocabulary_size > architecture.text["vocab_size"]:
        raise ModelError("model_bad_file", f"{folder}: labels, calibration or tokenizer do not fit the architecture.")
    if usual is not None and (usual.shape[1:] != (architecture.labels, model.patches) or not np.isfinite(usual).all()):
        raise ModelError("model_bad_file", f"{folder}: the usual shares do not fit the architecture.")
    load_weights(model, folder / "weights.safetensors")
    model.image_encoder.channels_last()
    model.requires_grad_(False)  # it answers; a map asks for gradients of films and words alone
    return Checkpoint(model, tokenizer, vocabulary, calibration, training, fingerprint, usual)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a safetensors file into a model; every key and shape must match, nothing may be left over or not finite."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            code = "model_unsafe_format" if file.read(4).startswith(PICKLES) else "model_bad_file"
        raise ModelError(code, f"{path} is not a safetensors file: {error}.") from error
    expected = model.state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ModelError("model_bad_file", f"{path.name} lacks {len(missing)} tensors, first {missing[0]}.")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ModelError("model_bad_file", f"{path.name} has {len(extra)} unknown tensors, first {extra[0]}.")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise ModelError("model_bad_file", f"{key} is {tuple(tensor.shape)}, not {tuple(expected[key].shape)}.")
        if not torch.isfinite(tensor).all():
            raise ModelError("model_bad_file", f"{key} in {path.name} holds values that are not finite.")
    model.load_state_dict({key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()})


def golden_study() -> Study:
    """A made-up study: a smooth pattern and two sentences. The same on every machine."""
    y, x = np.mgrid[0:256, 0:208].astype(np.float32) / 256
    pixels = (0.5 + 0.3 * np.sin(9 * x) * np.cos(7 * y) + 0.2 * x * y).astype(np.float32)
    report = Report.from_sections(findings="The heart is enlarged. No pleural effusion.", impression="Cardiomegaly.")
    return Study("golden", (Radiograph("golden", pixels, "frontal"),), report)


def _golden(checkpoint: Checkpoint) -> dict[Mode, list[float]]:
    model = checkpoint.model
    batch = batch_studies([golden_study()], model.architecture.preprocessing, checkpoint.tokenizer)
    with torch.inference_mode():
        outputs = model(batch, MODES)
    return {mode: [round(v, 6) for v in outputs[mode].logits[0].tolist()] for mode in MODES}


def verify_golden(checkpoint: Checkpoint, golden: dict[Mode, list[float]]) -> None:
    """Raise ModelError ``model_mismatch`` where this machine's answer to the golden study is not the recorded one."""
    found = _golden(checkpoint)
    for mode in MODES:
        if len(found[mode]) != len(golden[mode]):
            raise ModelError("model_mismatch", f"The golden study has {len(golden[mode])} {mode} logits recorded.")
        worst = float(np.abs(np.subtract(found[mode], golden[mode])).max())
        if not worst <= TOLERANCE:  # NaN too
            raise ModelError("model_mismatch", f"The {mode} answer to the golden study is off by {worst:.2g}.")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


__all__ = ["MODES", "Checkpoint", "golden_study", "load_checkpoint", "load_weights", "verify_golden"]
