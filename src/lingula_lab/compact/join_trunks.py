"""Two trained models joined into one: both trunks encode each film, and its state is the mean of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lingula.errors import ModelError
from lingula_lab.model.study_model import StudyModel

_IMAGE_PATH = ("image_encoder.", "view_embedding.", "image_projector.")


@torch.no_grad()
def side_by_side(first: StudyModel, second: StudyModel) -> StudyModel:
    """A model with the trunks of two that differ in their image path alone, each solved into the same reports' states.

    Each trunk's contribution of a patch counts half; the scale of the whole against a report, and its
    wording, are the first's. In image mode the logits are then the mean of both models' where both are linear
    in the patches: all but what fusion adds.

    Raises:
        ModelError: ``model_mismatch`` when the two differ in more than the image path.
    """
    one, other = first.state_dict(), second.state_dict()
    alike = first.architecture == second.architecture and first.architecture.trunks == 1
    shared = [name for name in one if not name.startswith(_IMAGE_PATH)]
    if not alike or not all(torch.allclose(one[name], other[name], atol=1e-3, rtol=1e-3) for name in shared):
        raise ModelError(
            "model_mismatch",
            "The two models differ in more than one trunk and what reads it.",
            "Train the second for the first.",
        )
    both = StudyModel(replace(first.architecture, trunks=2))
    kept = (*shared, "image_projector.weight", "image_projector.bias")
    made: dict[str, Tensor] = {name: one[name] for name in kept}
    for name in ("view_embedding.weight", "image_encoder.to_width.bias"):
        made[name] = (one[name] + other[name]) / 2
    made |= _trunks(one, "backbone") | _trunks(other, "beside.0")
    size = first.architecture.preprocessing.size
    counts = [level[0].shape[1] for level in first.image_encoder.levels_of(torch.zeros(1, 1, size, size))]
    halves = [state["image_encoder.to_width.weight"].split(counts, 1) for state in (one, other)]
    made["image_encoder.to_width.weight"] = torch.cat(
        [part / 2 for level in zip(*halves, strict=True) for part in level], 1
    )
    both.load_state_dict(made)
    return both.eval()


def _trunks(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The one trunk of a model, under the name that it has in the other."""
    own = "image_encoder.backbone."
    return {f"image_encoder.{name}.{key.removeprefix(own)}": state[key] for key in state if key.startswith(own)}
