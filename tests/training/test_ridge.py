"""The closed form of the image path against scikit-learn's ridge regression, through the model's own forward."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tests import made_up

from lingula.models.study_model import StudyModel, batch_studies
from lingula.training.ridge import solve_image_path

STUDIES = [study for study in made_up.studies(24) if study.radiographs and study.report]


def test_a_films_state_is_what_ridge_regression_says_of_its_reports() -> None:
    """One strength, features standardised within their view by hand; the text's answers stay what they were."""
    torch.manual_seed(0)
    architecture = made_up.architecture()
    model = StudyModel(replace(architecture, dimension=architecture.width)).eval()
    tokenizer, preprocessing = made_up.tokenizer(), architecture.preprocessing
    films = [replace(study, radiographs=study.radiographs[:1]) for study in STUDIES]
    batch = batch_studies(films, preprocessing, tokenizer)
    states = 10 * torch.randn(len(films), architecture.width)
    with torch.no_grad():
        before = model(batch, ("text",))["text"]
        features = model.image_encoder.features(batch.pixels).mean((2, 3))
        solve_image_path(model, features, batch.views, states, 3.0)
        after = model(batch, ("image", "text"))
    torch.testing.assert_close(after["text"].logits, before.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after["text"].state, before.state - states.mean(0))
    x, y, views = (tensor.double().numpy() for tensor in (features, states, batch.views))
    for view in np.unique(views):
        x[views == view] -= x[views == view].mean(0)
    x /= np.sqrt((x**2).mean(0))
    expected = Ridge(alpha=3.0, fit_intercept=False).fit(x, y - y.mean(0)).predict(x)
    found = after["image"].state.numpy()  # fusion adds a whisper to what is linear
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
    assert np.abs(found - expected).mean() < 0.03 * np.abs(expected).mean()


def test_it_needs_one_width() -> None:
    model = StudyModel(made_up.architecture())
    if model.architecture.width == model.architecture.dimension:
        model = StudyModel(replace(made_up.architecture(), dimension=2 * model.architecture.width))
    with pytest.raises(ValueError, match="width"):
        solve_image_path(model, torch.zeros(3, 4), torch.zeros(3, dtype=torch.long),
                         torch.zeros(3, model.architecture.dimension), 1.0)  # fmt: skip
