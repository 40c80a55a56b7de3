"""A model adapted to one's own studies in minutes: frozen encoders, a ridge head, calibration.

Nothing is learnt by gradients. Of a checkpoint everything but the head stays as it is, so that its embeddings, and a
library's vectors, keep their meaning. Of another image backbone (any that ``transformers`` reads) the map to the joint
space is solved first, as a ridge regression of each report's state on its films' mean features
(``closed_form_image``); the text side is the checkpoint's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint
from lingula.model.tokenizer import Tokens
from lingula.openi.splits import Split
from lingula.reading.preprocess import Preprocessing
from lingula.study import MODES, VIEWS, Mode
from lingula_lab.data.study_set import StudySet
from lingula_lab.model.checkpoint import save_checkpoint, trained_checkpoint, trained_model
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.calibration_fit import fit_calibration
from lingula_lab.training.closed_form_image import solve_image_path
from lingula_lab.training.fit import average_film_of, report_states
from lingula_lab.training.loop import macro_auroc, predict_states
from lingula_lab.training.pretrained import describe, load_backbone

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Penalties tried, in units of the mean eigenvalue of the states' scatter."""
BATCH = 4
"""Studies read together: more is not quicker on a processor, and takes 50 MB a film."""
LEAST = 10
"""Coded studies that training and validation must have each."""
Rows = npt.NDArray[np.int64]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A checkpoint as it lies in its folder; mean AUROC over the labels on validation by mode, and the penalty chosen.

    A mode that no validation study has the parts for is left out.
    """

    checkpoint: Checkpoint
    auroc: dict[Mode, float]
    strength: float


def adapt(
    base: Checkpoint,
    data: StudySet,
    split: Split,
    out: Path,
    *,
    vocabulary: Vocabulary,
    backbone: str | None = None,
    told: Report = lambda step: None,
) -> Adapted:
    """Fit a head for these studies and labels on frozen encoders, calibrate it on validation, save the checkpoint.

    Args:
        base: whose encoders, fusion and tokenizer are kept.
        data: prepared as the base, or the backbone, reads films.
        vocabulary: the labels of the set; not necessarily the base's.
        backbone: an image backbone by name or folder in place of the base's.

    Raises:
        InputError: ``bad_request`` for a set that does not fit the vocabulary or has too few coded studies,
            ``not_found`` where the backbone is not at hand.
    """
    if data.labels.shape[1] != len(vocabulary):
        raise InputError(
            "bad_request",
            f"The study set has {data.labels.shape[1]} labels, the vocabulary {len(vocabulary)}.",
            "Prepare it with this vocabulary.",
        )
    train, validation = (_coded(data, part) for part in (split.train, split.validation))
    if min(len(train), len(validation)) < LEAST:
        message = f"{len(train)} coded studies to train on and {len(validation)} to validate with."
        raise InputError("bad_request", message, f"Each needs {LEAST}: give labels to more studies.")
    model = copy.deepcopy(trained_model(base)) if backbone is None else _with_backbone(base, backbone)
    data.require(model.architecture.preprocessing, backbone or "its checkpoint")
    tokens = [base.tokenizer(report) if report and not report.is_empty else None for report in data.reports]
    if backbone is not None:
        told("features")
        _solve_images(model, data, data.rows(split.train), report_states(model, data, base.tokenizer))
    told("states")
    known = _states(model, data, train, tokens, base.tokenizer.pad)
    asked = _states(model, data, validation, tokens, base.tokenizer.pad)
    states, owners = (
        torch.cat([state for state, _ in known.values()]),
        np.concatenate([own for _, own in known.values()]),
    )
    best: tuple[float, float, nn.Linear, dict[Mode, float]] | None = None
    architecture = replace(model.architecture, labels=len(vocabulary))
    for strength in STRENGTHS:
        told(f"head, penalty {strength:g}")
        model.head = ridge_head(states, torch.from_numpy(data.labels[owners]), strength)
        found = {mode: macro_auroc(model.head(state).numpy(), data.labels[own]) for mode, (state, own) in asked.items()}
        score = float(np.mean(list(found.values()))) if found else 0.0
        if best is None or score > best[0]:
            best = score, strength, model.head, found
    assert best is not None
    _, strength, model.head, auroc = best
    model.architecture = architecture
    told("calibration")
    training: dict[str, Any] = {
        "preset": "adapted",
        "stages": [],
        "started_from": {"checkpoint": base.fingerprint, **({"image": backbone} if backbone else {})},
        "graph": None,
        "strength": strength,
        "validation_auroc": auroc,
        "split": {"name": split.name, "sha256": split.digest},
        "studies": {"train": len(train), "validation": len(validation)},
        "calibrated_on": "validation",
        "data": data.provenance.note,
        "collection": {"name": data.provenance.name, "licence": data.provenance.licence},
        "versions": {name: version(name) for name in ("lingula", "torch", "transformers")},
    }
    made = trained_checkpoint(
        model=model,
        tokenizer=base.tokenizer,
        vocabulary=vocabulary,
        calibration={mode: _calibrated(model.head, data, asked.get(mode)) for mode in MODES},
        training=training,
        average_film=average_film_of(model, data, train) if len(data.films) else None,
    )
    return Adapted(save_checkpoint(made, out), auroc, strength)


def ridge_head(states: Tensor, targets: Tensor, strength: float) -> nn.Linear:
    """The linear map from states (N, D) to labels (N, L) in {0, 1, NaN} by ridge regression on +-1, each label on the
    studies it is known of; scaled so that the outputs are like logits, which calibration then makes them."""
    x, goals = states.double(), targets.double()
    mean = x.mean(0)
    x = x - mean
    scale = strength * float(x.square().sum()) / x.shape[1]
    head = nn.Linear(x.shape[1], goals.shape[1])
    weights, biases = [], []
    for goal in goals.T:
        known = ~goal.isnan()
        own, sign = x[known], 2 * goal[known] - 1
        centre = sign.mean() if known.any() else torch.zeros((), dtype=x.dtype)
        gram = own.T @ own + max(scale, 1e-9) * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(gram, own.T @ (sign - centre))
        weights.append(2 * weight)
        biases.append(2 * (centre - weight @ mean))
    with torch.no_grad():
        head.weight.copy_(torch.stack(weights))
        head.bias.copy_(torch.stack(biases))
    return head.requires_grad_(False)


@torch.no_grad()
def _calibrated(head: nn.Linear, data: StudySet, known: tuple[Tensor, Rows] | None) -> Calibration:
    """Fitted on the states of validation studies; as the head gives it where none has the parts for the mode."""
    if known is None:
        return Calibration.identity(data.labels.shape[1])
    return fit_calibration(head(known[0]).numpy(), data.labels[known[1]])


def _coded(data: StudySet, ids: tuple[str, ...]) -> Rows:
    rows = data.rows(ids)
    return rows[~np.isnan(data.labels[rows]).all(1)]


def _able(data: StudySet, rows: Rows, mode: Mode) -> Rows:
    """The rows that have what a mode reads."""
    has_film = np.isin(rows, data.owner)
    has_text = np.array([(report := data.reports[row]) is not None and not report.is_empty for row in rows], np.bool_)
    able: Rows = rows[{"image": has_film, "text": has_text, "joint": has_film & has_text}[mode]]
    return able


def _states(
    model: StudyModel, data: StudySet, rows: Rows, tokens: list[Tokens | None], pad: int
) -> dict[Mode, tuple[Tensor, Rows]]:
    """For each mode, the states (N, D) of the studies that have the parts for it, and their rows (N,)."""
    parts = {mode: _able(data, rows, mode) for mode in MODES}
    return {
        mode: (predict_states(model.eval(), data, own, tokens, pad, mode, BATCH), own)
        for mode, own in parts.items()
        if len(own)
    }


def preprocessing_of(base: Checkpoint, backbone: str | None = None) -> Preprocessing:
    """How films are prepared for the base, or for another image backbone beside it."""
    known = base.model.architecture.preprocessing
    return known if backbone is None else replace(known, size=_side(describe(backbone, "vit")))


def _side(config: dict[str, Any]) -> int:
    size = config.get("image_size") or 224
    return int(size[0] if isinstance(size, list | tuple) else size)


def _with_backbone(base: Checkpoint, source: str) -> StudyModel:
    """The base with another image backbone, its weights loaded, its map to the joint space still unknown."""
    known = base.model.architecture
    config = describe(source, "vit")
    preprocessing = replace(known.preprocessing, size=_side(config))
    architecture = replace(known, image=config, levels=(), fold=False, trunks=1, preprocessing=preprocessing)
    model = StudyModel(architecture)
    kept = {
        key: value for key, value in trained_model(base).state_dict().items() if not key.startswith("image_encoder.")
    }
    model.load_state_dict(kept, strict=False)
    model.image_encoder.backbone = load_backbone(architecture.image, source)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _solve_images(model: StudyModel, data: StudySet, rows: Rows, states: Tensor) -> None:
    """Solve the map of a new backbone's patches from the reports' states."""
    films = np.flatnonzero(np.isin(data.owner, rows))
    films = films[~states[data.owner[films]].isnan().any(1).numpy()]
    if len(films) < LEAST:
        message = f"{len(films)} films with a report to train on."
        raise InputError("bad_request", message, "Another backbone is placed by the reports: give some.")
    preprocessing, found = model.architecture.preprocessing, []
    for start in range(0, len(films), 16):
        pixels = preprocessing.normalised(data.films[films[start : start + 16]].astype(np.float32) / np.float32(255))
        found.append(model.image_encoder.features(torch.as_tensor(pixels)[:, None]).mean((2, 3)))
    views = torch.tensor([VIEWS.index(data.views[film]) for film in films])
    solve_image_path(model, torch.cat(found), views, states[data.owner[films]], strength=0.1 * len(films))
