"""Two trunks as one model: each counts half, the rest is what both had."""

from __future__ import annotations

import pytest
import torch
from tests import made_up
from torch import nn

from lingula.errors import ModelError
from lingula_lab.compact.join_trunks import side_by_side
from lingula_lab.model.study_model import StudyModel, collate

LEVELS = (13, 17, 21, 25)


def _pair() -> tuple[StudyModel, StudyModel]:
    """Two that differ in all of the image path and in nothing else."""
    first, second = (made_up.model(seed, image=made_up.MOBILE, levels=LEVELS, fold=True) for seed in (0, 1))
    theirs = {k: v for k, v in second.state_dict().items() if k.startswith(("image_encoder.", "view_embedding."))}
    one = first.state_dict()
    for name in ("image_projector.weight", "image_projector.bias"):  # alike but for the scale
        theirs[name] = one[name] / 2
    second.load_state_dict(one | theirs)
    return first, second


def test_each_counts_half() -> None:
    first, second = _pair()
    both = side_by_side(first, second)
    pixels = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = [model.image_encoder(pixels) + model.view_embedding(torch.tensor(0)) for model in (first, second)]
        together = both.image_encoder(pixels) + both.view_embedding(torch.tensor(0))
    assert (alone[0] - alone[1]).abs().mean() > 0.1
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both.image_projector.weight, first.image_projector.weight)
    assert both.image_encoder.features(pixels).shape[1] == 2 * first.image_encoder.features(pixels).shape[1]


def test_linear_in_the_patches_the_logits_are_the_mean_of_both() -> None:
    """With fusion and gates silent, as the closed form leaves them but for a whisper."""
    models = _pair()
    models[1].image_projector.load_state_dict(models[0].image_projector.state_dict())
    for model in models:
        for part in (model.fusion, model.image_gate):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)
    films = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(1)).numpy()
    batch = collate([[(films[0], "frontal"), (films[1], "lateral")]], [None], size=64, pad=0)
    with torch.no_grad():
        logits = [model(batch, ("image",))["image"].logits for model in (*models, side_by_side(*models))]
    assert (logits[0] - logits[1]).abs().max() > 0.01
    torch.testing.assert_close(logits[2], (logits[0] + logits[1]) / 2, atol=1e-4, rtol=1e-4)


def test_another_report_side_is_refused() -> None:
    first, second = _pair()
    with torch.no_grad():
        second.head.bias[0] += 0.1
    with pytest.raises(ModelError) as refused:
        side_by_side(first, second)
    assert refused.value.code == "model_mismatch"
