"""ONNX Runtime as the engine of a checkpoint: one session a part, made when the part is first asked for.

The graphs hold no weights: each weight is a range of bytes of ``weights.safetensors``, in half precision, and a cast
that ONNX Runtime computes once while it loads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import safe_open

from lingula.errors import InputError, ModelError
from lingula.model.batch import Floats
from lingula.model.forward import Arrays, Part
from lingula.types import Device

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxEngine:
    """The parts of a checkpoint folder (``lingula.model.forward.Engine``); any number of threads may ask at once.

    Args:
        folder: that of the checkpoint, known to be sound.
        device: ``auto`` takes a GPU where ONNX Runtime has one.
        threads: for the arithmetic of one call; by default as many as there are processors, four at most.

    Raises:
        InputError: ``bad_request`` for ``cuda`` where ONNX Runtime has none.
    """

    def __init__(self, folder: Path, device: Device = "auto", threads: int | None = None) -> None:
        self.folder, self.device = folder, _provided(device)
        self._threads = threads or min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
        self._sessions: dict[Part, InferenceSession] = {}
        self._lock = threading.Lock()

    def apart(self) -> OnnxEngine:
        """The same folder, with sessions and threads of its own: on Linux they have the priority of who asks first."""
        return OnnxEngine(self.folder, self.device, self._threads if sys.platform == "linux" else 1)

    def tensor(self, name: str) -> Floats:
        """A weight by its name, in single precision."""
        with safe_open(self.folder / "weights.safetensors", "numpy") as file:
            return np.asarray(file.get_tensor(name), np.float32)

    def run(self, part: Part, inputs: Mapping[str, Arrays], outputs: tuple[str, ...]) -> tuple[Arrays, ...]:
        """A part's outputs by name.

        Raises:
            ModelError: ``model_bad_file`` for a graph that ONNX Runtime refuses or cannot compute.
        """
        try:
            found = self._session(part).run(list(outputs), dict(inputs))
        except Exception as error:  # ONNX Runtime raises classes of its own, not all of them public
            message = f"{self.folder / part}.onnx does not compute: {str(error)[:300]}"
            raise ModelError("model_bad_file", message, "Fetch the checkpoint again.") from error
        return tuple(np.asarray(each) for each in found)

    def _session(self, part: Part) -> Any:
        if (session := self._sessions.get(part)) is not None:
            return session
        with self._lock:
            if part not in self._sessions:
                self._sessions[part] = _opened(self.folder / f"{part}.onnx", self.device, self._threads)
            return self._sessions[part]


def _opened(path: Path, device: str, threads: int) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits leaves the processor to others
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return onnxruntime.InferenceSession(path, options, providers=providers)


def _provided(device: Device) -> Literal["cpu", "cuda"]:
    """As there is."""
    if device == "cpu":
        return "cpu"
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return "cuda"
    if device == "cuda":
        raise InputError("bad_request", "ONNX Runtime has no GPU here.", "Install onnxruntime-gpu, or use the CPU.")
    return "cpu"
