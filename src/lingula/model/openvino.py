"""Compiled encoders: exported to ONNX once, compiled by OpenVINO, held against the originals, kept in the user's cache.

Only what costs the most is compiled, the image encoder and the BERT; preprocessing, fusion, head and evidence stay the
model's own, so there is still one forward. Where gradients are asked for, the original encoders answer.

    ~/.cache/lingula/fast/<key>/    image.onnx, text.onnx, check.json, what OpenVINO keeps of its own

The key holds the model's fingerprint, the versions of the libraries and the processor.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from lingula.errors import InputError, ModelError
from lingula.model.calibration import Calibration
from lingula.model.golden import golden_study
from lingula.model.image_encoder import PatchExtractor
from lingula.model.study_model import StudyModel, batch_studies
from lingula.model.text_encoder import ReportTokenizer, TextEncoder
from lingula.study import MODES, Mode, Radiograph, Study

Precision = Literal["bf16", "f32"]
COSINE, PROBABILITY = 0.999, 0.01
"""Least cosine of an embedding with the original's, most that a probability may differ from it."""
_LAYOUT = "patches, the coarse ones mapped first"
"""What the exported files compute; another word makes them anew."""
_FILMS = 4
"""Made-up films in the check."""


class Compilable(Protocol):
    """A checkpoint, as far as its encoders are compiled and compared."""

    @property
    def model(self) -> StudyModel: ...
    @property
    def tokenizer(self) -> ReportTokenizer: ...
    @property
    def calibration(self) -> dict[Mode, Calibration]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Check:
    """How compiled encoders compare with the originals on made-up studies.

    Attributes:
        cosine: least, over studies and modes, of a compiled embedding with the original.
        probability: largest difference of a calibrated probability.
        milliseconds: fastest of three readings of one study in joint mode.
    """

    precision: Precision
    cosine: float
    probability: float
    milliseconds: float

    @property
    def passes(self) -> bool:
        return self.cosine >= COSINE and self.probability <= PROBABILITY


def compile_encoders(checkpoint: Compilable, cache: Path | None = None) -> Check:
    """Give a checkpoint's encoders compiled twins; the first time takes a minute, later ones under a second.

    Args:
        cache: folder for exported encoders; default: ``lingula/fast`` in the user's cache folder.

    Returns:
        What was measured when they were compiled first: the fastest precision that passed.

    Raises:
        InputError: ``bad_request`` when the extra ``fast`` is not installed.
        ModelError: ``model_mismatch`` when no precision stays within ``COSINE`` and ``PROBABILITY``.
    """
    try:
        from openvino import Core
    except ImportError:
        raise InputError(
            "bad_request", "Fast inference needs OpenVINO.", "pip install 'lingula[fast]', or go without."
        ) from None
    core = Core()
    folder = (cache or user_cache("fast")) / _key(checkpoint.fingerprint, core)
    if not (folder / "check.json").is_file():
        _export(checkpoint, core, folder)
    check = Check(**json.loads((folder / "check.json").read_text()))
    _attach(checkpoint.model, core, folder, check.precision)
    return check


def export_onnx(model: StudyModel, folder: Path) -> None:
    """Write both encoders as ONNX, for any number of films and words.

    ``image.onnx``: pixels (N, 1, S, S) to patches (N, P, width).
    ``text.onnx``: word embeddings (B, T, hidden) and mask (B, T) int64 to hidden states (B, T, hidden).
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = model.architecture.preprocessing.size
    words = torch.zeros(2, 5, model.text_encoder.backbone.config.hidden_size)
    mask = torch.ones(2, 5, dtype=torch.long)
    parts: list[tuple[str, nn.Module, tuple[Tensor, ...], Any]] = [
        ("image", PatchExtractor(model.image_encoder), (torch.zeros(2, 1, size, size),), ({0: "films"},)),
        ("text", _Bert(model.text_encoder), (words, mask), ({0: "studies", 1: "words"},) * 2),
    ]
    for name, part, example, axes in parts:
        with _quietly(), torch.no_grad():
            torch.onnx.export(
                part.eval(), example, folder / f"{name}.onnx", dynamo=True, dynamic_shapes=axes, external_data=False,
                verbose=False,
            )  # fmt: skip


def _export(checkpoint: Compilable, core: Any, folder: Path) -> None:
    """Export, check each precision, and keep the folder with the verdict; of two processes at it one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix="part-"))
    try:
        export_onnx(checkpoint.model, work)
        checks = list(_checks(checkpoint, core, work))
        good = [check for check in checks if check.passes]
        if not good:
            found = "; ".join(f"{c.precision}: cosine {c.cosine:.4f}, probability {c.probability:.3f}" for c in checks)
            raise ModelError("model_mismatch", f"Compiled encoders answer differently ({found}).", "Go without fast.")
        best = min(good, key=lambda check: check.milliseconds)
        (work / "check.json").write_text(json.dumps(asdict(best)) + "\n")
        try:
            work.rename(folder)
        except OSError:
            if not (folder / "check.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _checks(checkpoint: Compilable, core: Any, folder: Path) -> Iterator[Check]:
    """Each precision that the processor knows, on the golden study and some made-up films."""
    studies = _check_studies()
    plain, _ = _answers(checkpoint, studies)
    capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions: tuple[Precision, ...] = ("bf16", "f32") if capable else ("f32",)
    for precision in precisions:
        _attach(checkpoint.model, core, folder, precision)
        try:
            found, seconds = _answers(checkpoint, studies)
        finally:
            checkpoint.model.image_encoder.compiled = checkpoint.model.text_encoder.compiled = None
        cosine = min(float((found[mode][0] * plain[mode][0]).sum(1).min()) for mode in plain)
        probability = max(float(np.abs(found[mode][1] - plain[mode][1]).max()) for mode in plain)
        yield Check(precision, round(cosine, 6), round(probability, 6), round(1000 * seconds, 2))


def _check_studies() -> list[Study]:
    golden = golden_study()
    noise = np.random.default_rng(0)
    films = [Radiograph(f"film{i}", _made_up_film(noise), "frontal") for i in range(_FILMS)]
    return [golden, *(Study(film.image_id, (film,), golden.report) for film in films)]


def _made_up_film(noise: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(256, 256) float32 in [0, 1]: noise at several scales about two darker ovals, as a film has."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    lungs = sum(np.exp(-((((x - side) / 0.3) ** 2 + (y / 0.6) ** 2) ** 2)) for side in (-0.45, 0.45))
    film = 0.75 - 0.5 * lungs
    for size in (4, 16, 64):
        film += np.kron(noise.normal(0, 0.06, (size, size)), np.ones((256 // size, 256 // size)))
    return np.asarray(film.clip(0, 1), np.float32)


def _answers(checkpoint: Compilable, studies: list[Study]) -> tuple[dict[Mode, tuple[Any, Any]], float]:
    """Embeddings and probabilities by mode, and the seconds that one study takes."""
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    preprocessing = model.architecture.preprocessing
    batch, one = (batch_studies(some, preprocessing, tokenizer) for some in (studies, studies[:1]))
    with torch.inference_mode():
        outputs = model(batch, MODES)
        spent = []
        for _ in range(3):
            started = time.perf_counter()
            model(one)
            spent.append(time.perf_counter() - started)
    found: dict[Mode, tuple[Any, Any]] = {}
    for mode, output in outputs.items():
        probabilities = checkpoint.calibration[mode].probabilities(output.logits.numpy())
        found[mode] = (output.embedding.numpy(), probabilities)
    return found, min(spent)


def _attach(model: StudyModel, core: Any, folder: Path, precision: Precision) -> None:
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    for encoder, name in ((model.image_encoder, "image"), (model.text_encoder, "text")):
        try:
            compiled = core.compile_model(folder / f"{name}.onnx", "CPU", options)
        except RuntimeError as error:
            message = f"{folder} holds an encoder that does not compile: {error}."
            raise ModelError("model_bad_file", message, "Remove that folder.") from error
        encoder.compiled = _Compiled(compiled)


class _Compiled:
    """A compiled encoder as a function of tensors. Each thread has a request of its own."""

    def __init__(self, compiled: Any) -> None:
        self._compiled, self._threads = compiled, threading.local()

    def __call__(self, *inputs: Tensor) -> Tensor:
        if not hasattr(self._threads, "request"):
            self._threads.request = self._compiled.create_infer_request()
        found = self._threads.request.infer([tensor.detach().numpy() for tensor in inputs])
        return torch.from_numpy(found[0])

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the model may get other weights: it computes for itself."""
        return None


class _Bert(nn.Module):
    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        return self.encoder.hidden(words, mask)


def user_cache(name: str) -> Path:
    """The folder ``name`` for what can be made again, in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lingula" / name


def _key(fingerprint: str, core: Any) -> str:
    """16 hex digits over all that the exported files and the verdict depend on."""
    parts = [fingerprint, _LAYOUT, *(version(name) for name in ("lingula", "torch", "transformers", "openvino"))]
    parts.append(core.get_property("CPU", "FULL_DEVICE_NAME"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


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
