"""The checkpoint folder: weights, configuration, tokenizer, golden output, and a manifest that ties them together.

    weights.safetensors   tensors (half precision on disk, computed in single precision)
    model.json            architecture, preprocessing, vocabulary, calibration, how it was trained
    tokenizer.json        the tokenisation
    image.onnx, details.onnx, text.onnx, fusion.onnx
                          the forward in parts (``lingula.model.forward``), its weights left in weights.safetensors
    golden.json           what the model answers to a fixed made-up study
    manifest.json         SHA-256 of each of these

Nothing is unpickled. A file that is missing, extra or altered is refused, and so is a tensor.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import ModelError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.architecture import Architecture
from lingula.model.batch import batch_studies
from lingula.model.calibration import Calibration
from lingula.model.checkpoint_bounds import check_folder, check_graphs, check_numbers, check_weights, read_json
from lingula.model.forward import OUTPUTS, Forward
from lingula.model.golden import golden_study, passed_here
from lingula.model.onnx_engine import OnnxEngine
from lingula.model.predictions import Predictions, Told
from lingula.model.tokenizer import ReportTokenizer
from lingula.study import MODES, Mode, Study
from lingula.types import Device, FilePath

GRAPHS = tuple(f"{part}.onnx" for part in OUTPUTS)
FILES = tuple(sorted(("golden.json", "model.json", "tokenizer.json", "weights.safetensors", *GRAPHS)))
DECIDING = ("model.json", "tokenizer.json", "weights.safetensors")
"""Files that decide an answer, in the order of the fingerprint."""
TOLERANCE = 2e-3
"""Largest difference of a golden value that another machine's arithmetic may cause."""
SHIPPED = {"compact": "9815c9b6bfe4f8e8cd62efa15739d2d3f0c0ce9bf484ecfad0cb3efcd7b46eeb"}
"""For each shipped checkpoint the SHA-256, hex, over the sums that its manifest lists (``content_digest``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model with everything that travels with it.

    Attributes:
        training: how and on what it was trained, plain data (recipe, split digest, data licence, versions, seed).
        average_film: (views, L, P) float32, mean share of each patch in each label's logit over normal training films
            of a view, from which ``explain.contribution`` counts; None where none was kept.
        fingerprint: 16 hex digits over weights, configuration and tokenizer; empty before it is saved. What the model
            answers to the golden study on some machine is no part of it.
        earlier: the fingerprint that version 0.1.0 before its release gave the same folder, by which libraries of
            then name their model.
    """

    model: Forward
    tokenizer: ReportTokenizer
    vocabulary: Vocabulary
    calibration: dict[Mode, Calibration]
    training: dict[str, Any]
    fingerprint: str = ""
    earlier: str = ""
    average_film: npt.NDArray[np.float32] | None = None

    def apart(self) -> Checkpoint:
        """The same, computing on threads of its own beside the answers of this one; see ``OnnxEngine.apart``."""
        engine = self.model.engine
        apart = engine.apart() if isinstance(engine, OnnxEngine) else engine
        return replace(self, model=Forward(self.model.architecture, apart))

    def save(self, folder: FilePath) -> Checkpoint:
        """Write a checkpoint that was loaded into another folder, with what was changed of it but its model.

        Args:
            folder: is made where it is missing; files of an earlier checkpoint in it are replaced.

        Returns:
            The checkpoint as loaded from there; its fingerprint is this one's where nothing was changed.

        Raises:
            ModelError: ``model_bad_file`` for a trained model in memory, which the laboratory saves.
        """
        if not isinstance(self.model.engine, OnnxEngine):
            raise ModelError("model_bad_file", "A model in memory has no graphs yet.", "The laboratory saves it.")
        folder, source = Path(folder), self.model.engine.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.samefile(source):
            for name in ("weights.safetensors", *GRAPHS):
                shutil.copyfile(source / name, folder / name)
        self.tokenizer.save(folder / "tokenizer.json")
        (folder / "model.json").write_text(self.described())
        seal(folder, golden_answer(self))
        return load_checkpoint(folder)

    def described(self) -> str:
        """What ``model.json`` holds."""
        return json.dumps(self.describe(), indent=1, ensure_ascii=False) + "\n"

    def describe(self) -> dict[str, Any]:
        """What ``model.json`` holds, plain data."""
        return {
            "format": 1,
            "architecture": self.model.architecture.to_json(),
            "vocabulary": self.vocabulary.to_json(),
            "calibration": {mode: entry.to_json() for mode, entry in self.calibration.items()},
            "training": self.training,
            "usual": None if self.average_film is None else np.round(self.average_film.astype(float), 5).tolist(),
        }

    def predict(
        self,
        studies: Study | Iterable[Study],
        mode: Mode | None = None,
        *,
        anyway: bool = False,
        progress: Told = False,
    ) -> Predictions:
        """Calibrated predictions for one study or many; as ``lingula.model.many.predict_many``."""
        answer: Predictions = _part("many").predict_many(studies, self, mode, anyway=anyway, progress=progress)
        return answer

    def embed(
        self, studies: Study | Iterable[Study], mode: Mode | None = None, *, progress: Told = False
    ) -> npt.NDArray[np.float32]:
        """Embeddings (N, D) of one study or many; as ``lingula.model.many.embed_many``."""
        rows: npt.NDArray[np.float32] = _part("many").embed_many(studies, self, mode, progress=progress)
        return rows

    @classmethod
    def from_pretrained(
        cls,
        source: FilePath,
        *,
        revision: str | None = None,
        cache_dir: FilePath | None = None,
        device: Device = "auto",
    ) -> Checkpoint:
        """From a folder, by a shipped name, or from the Hub; as ``lingula.model.hub.from_pretrained``."""
        options = {"revision": revision, "cache_dir": cache_dir, "device": device}
        found: Checkpoint = _part("hub").from_pretrained(source, **options)
        return found

    def save_pretrained(self, folder: FilePath) -> Checkpoint:
        """Save it as the Hub wants it; as ``lingula.model.hub.save_pretrained``."""
        saved: Checkpoint = _part("hub").save_pretrained(self, folder)
        return saved

    def push_to_hub(self, repository: str, *, private: bool = True, card: FilePath | None = None) -> str:
        """Publish it, and return the commit; as ``lingula.model.hub.push_to_hub``."""
        commit: str = _part("hub").push_to_hub(self, repository, private=private, card=card)
        return commit


def _part(name: str) -> Any:
    """A module of this room that knows checkpoints, imported when it is used: they do not know it."""
    return import_module(f"lingula.model.{name}")


def load_checkpoint(
    folder: FilePath = "compact", *, check_golden: bool = True, device: Device = "auto", threads: int | None = None
) -> Checkpoint:
    """Load a checkpoint folder, or a shipped one by name.

    Nothing of the size that its files claim is allocated before it is known to be sound (``checkpoint_bounds``); a part
    of the model is loaded when it is first asked for, so that a question in words never loads the image encoder.

    Args:
        folder: path, or ``compact``, the embedded default.
        check_golden: compute the golden study and compare; on this machine that is done once a checkpoint. Without it,
            only files that do not fit each other are noticed.
        device: what computes: ``cpu``, ``cuda``, or ``auto``, a GPU where ONNX Runtime has one.
        threads: for one answer's arithmetic, see ``OnnxEngine``.

    Returns:
        Model, tokenizer, vocabulary and calibration, ready to answer.

    Raises:
        InputError: ``bad_request`` for ``cuda`` where there is none.
        ModelError: ``model_bad_file`` (missing, unreadable, beyond a bound, or files that do not fit each other),
            ``model_checksum_mismatch`` (altered, or not the checkpoint that shipped),
            ``model_unsafe_format`` (a file that does not belong, a link, or a pickle), ``model_mismatch`` (another
            golden output).
    """
    pinned = SHIPPED.get(str(folder))
    folder = Path(__file__).parent / "checkpoints" / str(folder) if pinned else Path(folder)
    if not (folder / "manifest.json").is_file():
        raise ModelError(
            "model_bad_file", f"{folder} is not a checkpoint: it has no manifest.json.", "Shipped: 'compact'."
        )
    fingerprint, earlier = _verify(folder, pinned)
    engine = OnnxEngine(folder, device, threads)
    checkpoint = assemble(folder, engine, fingerprint, earlier, trusted=pinned is not None)
    if check_golden:
        try:
            golden = json.loads((folder / "golden.json").read_text())
            expected = {mode: [float(v) for v in golden[mode]] for mode in MODES}
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelError(
                "model_bad_file", f"{folder / 'golden.json'} is not a golden output: {error!r}."
            ) from error
        with passed_here(sha256(folder / "manifest.json"), engine.device) as passed:
            if not passed:
                verify_golden(checkpoint, expected)
    return checkpoint


def _verify(folder: Path, pinned: str | None = None) -> tuple[str, str]:
    """Compare the folder with its manifest, and that with what shipped; the fingerprint, and the earlier one."""
    check_folder(folder, shipped=pinned is not None)
    try:
        sums = read_json(folder / "manifest.json")
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError("model_bad_file", f"{folder / 'manifest.json'} cannot be read: {error}.") from error
    if isinstance(sums, dict) and sums and not set(sums) & set(GRAPHS):
        hint = f"With lingula[lab] installed: lingula export onnx {folder}"
        raise ModelError("model_bad_file", f"{folder} is of an earlier version: it has no graphs.", hint)
    if not isinstance(sums, dict) or sorted(sums) != sorted(FILES):
        raise ModelError("model_bad_file", f"{folder / 'manifest.json'} must name exactly {', '.join(FILES)}.")
    for name, expected in sums.items():
        if not (folder / name).is_file():
            raise ModelError("model_bad_file", f"{folder / name} is missing.", "Fetch the checkpoint again.")
        if (found := sha256(folder / name)) != expected:
            raise ModelError(
                "model_checksum_mismatch",
                f"{folder / name} was altered: SHA-256 {found[:12]}…, the manifest says {str(expected)[:12]}….",
                "Fetch the checkpoint again.",
            )
    if pinned is not None and content_digest(sums) != pinned:
        message = f"the checkpoint {folder.name} is not the one that ships with this version."
        raise ModelError("model_checksum_mismatch", message, "Install lingula again.")
    return fingerprint_of(sums), sha256(folder / "manifest.json")[:16]


def fingerprint_of(sums: Mapping[str, str]) -> str:
    """16 hex digits over the SHA-256 of each file that decides an answer."""
    deciding = [f"{name} {sums[name]}" for name in DECIDING]
    return hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:16]


def content_digest(sums: dict[str, str]) -> str:
    """SHA-256, hex, over the sums of what makes a model: all files but the golden output, which follows from them."""
    return hashlib.sha256("\n".join(sums[name] for name in FILES if name != "golden.json").encode()).hexdigest()


def assemble(
    folder: Path, engine: OnnxEngine, fingerprint: str = "", earlier: str = "", *, trusted: bool = False
) -> Checkpoint:
    """The parts of a folder. A bad description breaks anywhere (tokenizers raise what they like).

    Args:
        trusted: its digest is pinned in the code, so that its bounds need not be judged.

    Raises:
        ModelError: ``model_bad_file``, ``model_unsafe_format``.
    """
    try:
        body = read_json(folder / "model.json")
        check_numbers(body["architecture"])
        architecture = Architecture.from_json(body["architecture"])
        vocabulary = Vocabulary.from_json(body["vocabulary"])
        calibration: dict[Mode, Calibration] = {
            mode: Calibration.from_json(body["calibration"][mode]) for mode in MODES
        }
        tokenizer = ReportTokenizer.load(
            folder / "tokenizer.json", sections=architecture.sections, length=architecture.tokens
        )
        training: dict[str, Any] = body["training"]
        average_film = None if body.get("usual") is None else np.asarray(body["usual"], np.float32)
    except Exception as error:
        raise ModelError("model_bad_file", f"{folder} is not described by its JSON files: {error!r}.") from error
    sizes = {len(vocabulary), *(len(entry.threshold) for entry in calibration.values())}
    if sizes != {architecture.labels} or tokenizer.vocabulary_size > architecture.text["vocab_size"]:
        raise ModelError("model_bad_file", f"{folder}: labels, calibration or tokenizer do not fit the architecture.")
    if average_film is not None and (
        average_film.shape[1:] != (architecture.labels, architecture.grid**2) or not np.isfinite(average_film).all()
    ):
        raise ModelError("model_bad_file", f"{folder}: the average film does not fit the architecture.")
    if not all(entry.is_sound for entry in calibration.values()):
        raise ModelError("model_bad_file", f"{folder}: the calibration holds values that are no probabilities.")
    if not trusted:
        check_weights(folder / "weights.safetensors")
        check_graphs(folder, body["architecture"])
    model = Forward(architecture, engine)
    return Checkpoint(model, tokenizer, vocabulary, calibration, training, fingerprint, earlier, average_film)


def seal(folder: Path, golden: Mapping[Mode, list[float]]) -> None:
    """Write the golden output and the manifest over all files of a folder."""
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    sums = {name: sha256(folder / name) for name in FILES}
    (folder / "manifest.json").write_text(json.dumps(sums, indent=1) + "\n")


def golden_answer(checkpoint: Checkpoint) -> dict[Mode, list[float]]:
    """Logits of the golden study in each mode."""
    model = checkpoint.model
    outputs = model(batch_studies([golden_study()], model.architecture.preprocessing, checkpoint.tokenizer), MODES)
    return {mode: [round(v, 6) for v in outputs[mode].logits[0].tolist()] for mode in MODES}


def verify_golden(checkpoint: Checkpoint, golden: dict[Mode, list[float]]) -> None:
    """Raise ModelError ``model_mismatch`` where this machine's answer to the golden study is not the recorded one."""
    found = golden_answer(checkpoint)
    for mode in MODES:
        if len(found[mode]) != len(golden[mode]):
            raise ModelError("model_mismatch", f"The golden study has {len(golden[mode])} {mode} logits recorded.")
        worst = float(np.abs(np.subtract(found[mode], golden[mode])).max())
        if not worst <= TOLERANCE:  # NaN too
            raise ModelError("model_mismatch", f"The {mode} answer to the golden study is off by {worst:.2g}.")


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
