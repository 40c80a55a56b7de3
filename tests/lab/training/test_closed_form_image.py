"""The closed form of the image path against scikit-learn's ridge regression, through the model's own forward."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from tests import made_up

from lingula.model.batch import batch_studies
from lingula_lab.model.study_model import StudyModel, TensorBatch
from lingula_lab.training.closed_form_image import FilmRegression, solve_image_path
from lingula_lab.training.closed_form_text import RAREST, WORDING_SCALE, bag_of_words, solve_word_terms, solve_wording

STUDIES = [study for study in made_up.studies(24) if study.radiographs and study.report]


def _one_film_each() -> tuple[StudyModel, TensorBatch]:
    """A model that can be solved, as wide as its joint space, and the studies with their first film alone."""
    torch.manual_seed(0)
    architecture = made_up.architecture()
    model = StudyModel(replace(architecture, dimension=architecture.width)).eval()
    films = [replace(study, radiographs=study.radiographs[:1]) for study in STUDIES]
    return model, TensorBatch.of(batch_studies(films, architecture.preprocessing, made_up.tokenizer()))


def test_a_films_state_is_what_ridge_regression_says_of_its_reports() -> None:
    """One strength, features standardised within their view by hand; the text's answers stay what they were."""
    model, batch = _one_film_each()
    states = 10 * torch.randn(len(batch), model.architecture.width)
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


def test_a_reader_of_the_trunk_is_added_and_its_spread_divides() -> None:
    """A channel that varies thirty times more among all films of the trunk than among these has hardly a say."""
    model, batch = _one_film_each()
    states = 10 * torch.randn(len(batch), model.architecture.width)
    with torch.no_grad():
        features = model.image_encoder.features(batch.pixels).mean((2, 3))
        half = features.shape[1] // 2
        spread = torch.stack([features[batch.views == v].std(0, correction=0) for v in batch.views.unique()]).mean(0)
        own = spread.clamp(min=float(spread.max()) / 2)
        spread = own.clone()
        spread[half:] *= 30
        labels = len(model.head.bias)
        reader = FilmRegression(
            torch.randn(labels, features.shape[1]),
            torch.randn(3, labels),
            torch.randn(model.architecture.width, features.shape[1]),
            torch.randn(3, model.architecture.width),
            spread,
        )
        alone = replace(reader, weight=0 * reader.weight, bias=0 * reader.bias)
        found = {}
        for name, given, recall in (("without", alone, 0.0), ("with", reader, 0.0), ("recalled", reader, 3.0)):
            solved = copy.deepcopy(model)
            solve_image_path(solved, features, batch.views, states, 3.0, given, trust=2.0, recall=recall, scale=0.5)
            found[name] = solved(batch, ("image",))["image"]
            if given is alone:
                read_by = (solved.image_encoder.to_width.weight * own).abs()
                assert read_by[:, half:].max() < 0.1 * read_by[:, :half].max()
    read = features @ reader.weight.T + reader.bias[batch.views]
    added = found["with"].logits - found["without"].logits
    torch.testing.assert_close(added, 0.5 * 2.0 * (read - read.mean(0)), atol=0.05 * float(read.std()), rtol=0.05)
    guess = features @ reader.state.T + reader.state_bias[batch.views]
    guess = guess - guess.mean(0)
    head = model.head.weight.detach()
    shown, *_ = torch.linalg.lstsq(head.T, guess.T)  # what of it the head reads
    more = found["recalled"].state - found["with"].state
    expected = 0.5 * 3.0 * (guess - (head.T @ shown).T)
    torch.testing.assert_close(more, expected, atol=0.05 * float(expected.std()), rtol=0.05)
    seen = (found["recalled"].logits - found["with"].logits).abs().max()
    assert float(seen) < 0.05 * float((expected.abs() @ head.abs().T).max())


def test_wording_is_told_louder_than_solved() -> None:
    """In its directions a film's state is five times what it was, elsewhere and in its report's nothing changes."""
    model, batch = _one_film_each()
    wording = torch.linalg.qr(torch.randn(model.architecture.width, 3))[0]
    found = []
    with torch.no_grad():
        features = model.image_encoder.features(batch.pixels).mean((2, 3))
        for gain in (1.0, 5.0):
            solved = copy.deepcopy(model)
            states = 10 * torch.randn(len(batch), model.architecture.width, generator=torch.Generator().manual_seed(1))
            solve_image_path(solved, features, batch.views, states, 3.0, wording=wording, gain=gain)
            found.append(solved(batch, ("image", "text")))
    quiet, loud = (each["image"].state for each in found)
    torch.testing.assert_close(loud, quiet + 4 * quiet @ wording @ wording.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[0]["text"].state, found[1]["text"].state)


def test_words_speak_as_logistic_regression_says() -> None:
    """In text mode the head reads half of what it read, and the coefficients of a report's distinct words."""
    torch.manual_seed(0)
    model = StudyModel(replace(made_up.architecture(), word_terms=True)).eval()
    tokens = [made_up.tokenizer()(study.report) for study in STUDIES if study.report]
    labels = np.stack([made_up.vocabulary().encode(study.terms) for study in STUDIES])
    reports = [replace(study, radiographs=()) for study in STUDIES]
    batch = TensorBatch.of(batch_studies(reports, model.architecture.preprocessing, made_up.tokenizer()))
    with torch.no_grad():
        before = model(batch, ("text",))["text"].logits - model.head.bias
        solve_word_terms(model, tokens, labels, 0.3, 0.5)
        after = model(batch, ("text",))["text"].logits - model.head.bias
    bag = bag_of_words(tokens, model.architecture.text["vocab_size"])
    label = int(np.argmax(labels.sum(0) * (labels.sum(0) < len(labels))))
    fitted = LogisticRegression(C=0.3, solver="liblinear", max_iter=200).fit(bag, labels[:, label])
    expected = 0.5 * before[:, label].numpy() + (bag @ fitted.coef_[0])
    np.testing.assert_allclose(after[:, label].numpy(), expected, atol=1e-3)


def test_wording_is_latent_semantic_analysis_that_the_head_does_not_read() -> None:
    """Inner products of what is added are those of the whitened principal components; logits stay."""
    torch.manual_seed(0)
    model = StudyModel(replace(made_up.architecture(), word_terms=True)).eval()
    reports = [replace(study, radiographs=()) for study in STUDIES if study.report]
    tokens = [made_up.tokenizer()(study.report) for study in reports if study.report]
    batch = TensorBatch.of(batch_studies(reports, model.architecture.preprocessing, made_up.tokenizer()))
    with torch.no_grad():
        before = model(batch, ("text",))["text"]
        wording = solve_wording(model, tokens, before.state, 4)
        after = model(batch, ("text",))["text"]
        of_few = solve_wording(copy.deepcopy(model), tokens[:6], before.state[:6], 4)  # fewer than dimensions
    torch.testing.assert_close(model.head.weight @ of_few, torch.zeros(len(model.head.weight), 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-3, rtol=1e-3)
    bag = bag_of_words(tokens, model.architecture.text["vocab_size"]).toarray()
    having = bag.sum(0)
    weighted = np.where(having >= RAREST, bag * np.log(len(bag) / np.maximum(having, 1)), 0)
    components = np.linalg.svd(weighted - weighted.mean(0), full_matrices=False)[0][:, :4]
    added = after.state - before.state
    own = before.state - before.state.mean(0)
    size = WORDING_SCALE**2 * float(own.square().sum(1).mean()) * len(bag) / 4
    added = added - added.mean(0)
    np.testing.assert_allclose((added @ added.T).numpy(), size * components @ components.T, atol=1e-4 * size)
    torch.testing.assert_close(added @ wording @ wording.T, added, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="do not fit"):
        solve_wording(model, tokens, before.state, model.architecture.dimension)
