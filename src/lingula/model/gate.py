"""Is a film a chest radiograph, and one like those the model learnt from? Linear heads on the model's own features.

One safetensors file a checkpoint in ``gates/``, named after its fingerprint and sealed by its own SHA-256; it also
keeps how findings are called on chest films from elsewhere. ``lingula gate`` of the laboratory fits it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lingula.errors import ModelError
from lingula.model.batch import Batch
from lingula.model.calibration import Calibration
from lingula.model.forward import Encoded, Forward
from lingula.study import FilmJudgement, Radiograph

FOLDER = Path(__file__).parent / "gates"
HEADS = ("chest", "known", "lateral", "ap")
"""A chest radiograph; like the training films; a lateral; of the frontal ones, taken from the front (AP, portable)."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """How findings are called on chest films unlike the training films.

    Attributes:
        calibration: fitted on films of another source, in image mode; NaN where that source cannot tell of a label.
        judged: (L,), labels that such films tell well enough to be called; the others are left open.
    """

    calibration: Calibration
    judged: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Linear heads on ``film_features``.

    Attributes:
        model: fingerprint of the checkpoint whose features it reads.
        weight: (heads, 2 * W) float32 and bias (heads,), in the order of ``HEADS``; log-odds, above 0 is yes.
        outside: None where nobody measured how findings are told elsewhere.
        about: on what it was fitted, plain data.
    """

    model: str
    weight: Array
    bias: Array
    outside: Outside | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def log_odds(self, features: Array) -> Array:
        """(N, heads) of features (N, 2 * W)."""
        return np.asarray(features @ self.weight.T + self.bias, np.float32)

    def judge(self, features: Array, films: tuple[Radiograph, ...]) -> tuple[FilmJudgement, ...]:
        """One judgement a film. A thumbnail unlike all training films' (``out_of_distribution``) is never known."""
        judgements = []
        for film, odds in zip(films, self.log_odds(features).tolist(), strict=True):
            chest, known, lateral, ap = odds
            strange = any(notice.code == "out_of_distribution" for notice in film.notices)
            judgements.append(
                FilmJudgement(
                    image_id=film.image_id,
                    familiarity="not_chest" if chest < 0 else "unlike" if known < 0 or strange else "known",
                    projection="lateral" if lateral >= 0 else "AP" if ap >= 0 else "PA",
                    chest=_sigmoid(chest),
                    known=_sigmoid(known),
                )
            )
        return tuple(judgements)

    def save(self, folder: Path = FOLDER) -> Path:
        """Write ``<fingerprint>.safetensors``, sealed; gates of other checkpoints in the folder are left."""
        outside = self.outside and {
            "calibration": self.outside.calibration.to_json(), "judged": self.outside.judged.tolist()
        }  # fmt: skip
        tensors = {"weight": self.weight.astype(np.float32), "bias": self.bias.astype(np.float32)}
        body = {"format": 1, "model": self.model, "heads": HEADS, "outside": outside, "about": self.about}
        body["sha256"] = _digest(tensors, body)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.model}.safetensors"
        save_file(tensors, path, {"lingula": json.dumps(body, separators=(",", ":"))})
        path.chmod(0o644)  # safetensors keeps it to its owner, a package is for all
        return path


@cache
def gate_of(model: str, folder: Path = FOLDER) -> Gate | None:
    """The gate fitted for a checkpoint, by its fingerprint; None when there is none.

    Raises:
        ModelError: ``model_bad_file`` for a file that is damaged, ``model_checksum_mismatch`` for one that was altered,
            ``model_mismatch`` for one that was fitted for another checkpoint.
    """
    path = folder / f"{model}.safetensors"
    if not model or not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in ("weight", "bias")}
            body = json.loads(file.metadata()["lingula"])
        gate = _assembled(tensors, body)
        seal = _digest(tensors, body)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError("model_bad_file", f"{path} is damaged: {error!r}.", "Install lingula again.") from error
    if seal != body.get("sha256"):
        raise ModelError("model_checksum_mismatch", f"{path} was altered.", "Install lingula again.")
    if gate.model != model:
        raise ModelError("model_mismatch", f"{path} was fitted for model {gate.model}, not for {model}.")
    return gate


def film_features(model: Forward, encoded: Encoded, batch: Batch) -> Array:
    """(N, 2 * W) of a batch's N films: mean and spread of a film's tokens over its patches, before fusion and without
    the view embedding, so that they do not depend on the view a film was given."""
    shape = (len(batch), batch.slots, model.patches, -1)
    tokens = encoded.image.reshape(shape)[batch.place[:, 0], batch.place[:, 1]]  # (N, P, W)
    mean = tokens.mean(1) - model.view_embedding[batch.views]
    return np.concatenate([mean, tokens.std(1)], 1)


def _assembled(tensors: dict[str, npt.NDArray[Any]], body: dict[str, Any]) -> Gate:
    if tuple(body["heads"]) != HEADS or tensors["weight"].shape[:1] != (len(HEADS),):
        raise ValueError(f"heads {body['heads']}")
    told = body["outside"]
    outside = told and Outside(Calibration.from_json(told["calibration"]), np.array(told["judged"], np.bool_))
    return Gate(str(body["model"]), tensors["weight"], tensors["bias"], outside, body["about"])


def _digest(tensors: dict[str, npt.NDArray[Any]], body: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps({**body, "sha256": ""}, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _sigmoid(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(log_odds, -80, 80))))
