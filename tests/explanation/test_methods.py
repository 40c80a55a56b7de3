"""Evidence from every method: in the asker's coordinates, for the label named, leaving the model as it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from tests import made_up

from lingula.errors import InputError
from lingula.explanation import METHODS
from lingula.explanation import explain as ask
from lingula.explanation import methods as named
from lingula.explanation.contribution import contribution
from lingula.explanation.methods import SMOOTH, smoothed
from lingula.explanation.occlusion import SQUARES, occlusion
from lingula.explanation.target import Target, blurred
from lingula.model.batch import collate
from lingula.model.checkpoint import Checkpoint
from lingula.study import MODES, VIEWS, Explanation, Mode, Report, Study, View
from lingula_lab.explanation.gradcam import gradcam
from lingula_lab.explanation.gradient_target import GradientTarget
from lingula_lab.explanation.integrated_gradients import GOOD, PIECES, _Path, integrated_gradients
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.training.average_film import average_shares

TALL, WIDE = made_up.film(1, (150, 90)), made_up.film(2, (50, 81), "lateral")
REPORT = Report.from_sections(findings="Fluid blunts the left angle.", impression="Worn spine.", indication="Cough.")
STUDY = Study("S", (TALL, WIDE), REPORT)
LABEL = "pleural_effusion"
SIGNED = {"contribution", "integrated_gradients", "occlusion"}
SUMMED = {"contribution", "integrated_gradients"}
FILM_ONLY = {"gradcam", "occlusion"}


def explain(
    study: Study, model: Checkpoint, label: str, *, methods: Sequence[str] = METHODS, mode: Mode | None = None
) -> tuple[Explanation, ...]:
    """Every method, shown by default or not."""
    return ask(study, model, label, methods=methods, mode=mode)


def _by_method(answers: tuple[Explanation, ...]) -> dict[str, Explanation]:
    return {answer.method: answer for answer in answers}


def test_every_method_answers_in_the_asker_s_coordinates(checkpoint: Checkpoint) -> None:
    answers = explain(STUDY, checkpoint, LABEL)
    assert tuple(answer.method for answer in answers) == METHODS
    for answer in answers:
        assert answer.label == LABEL
        assert [heat.shape for heat in answer.maps] == [(150, 90), (50, 81)]
        assert all(heat.dtype == np.float32 and np.isfinite(heat).all() for heat in answer.maps)
        assert any(heat.max() > heat.min() for heat in answer.maps)
        assert answer.signed == (answer.method in SIGNED)
        assert (answer.completeness_error is not None) == (answer.method in SUMMED)
        if not answer.signed:
            assert all(heat.min() >= 0 for heat in answer.maps)
        if answer.method in FILM_ONLY:
            assert answer.tokens == ()
            continue
        spans = [(token.start, token.end) for token in answer.tokens]
        covered = "".join(REPORT.text[start:end] for start, end in spans)
        assert covered == "Fluidbluntstheleftangle.Wornspine.Cough."
        assert all(end > start for start, end in spans)
        assert all(np.isfinite(token.score) for token in answer.tokens)


@pytest.mark.parametrize("mode", MODES)
def test_a_question_is_the_deployed_forward(checkpoint: Checkpoint, mode: Mode) -> None:
    question = Target.ask(checkpoint, STUDY, LABEL, mode)
    expected = checkpoint.model(question.batch, (mode,))[mode].logits[:, question.label]
    variants = question.logit(question.pixels.repeat(3, 0))
    np.testing.assert_allclose(variants, expected.repeat(3), atol=1e-5)
    trained = GradientTarget.of(question)
    with torch.no_grad():
        same = trained.logit(trained.pixels.expand(3, -1, -1, -1, -1), trained.words.expand(3, -1, -1))
    np.testing.assert_allclose(same.numpy(), variants, atol=1e-5)


@pytest.mark.parametrize(
    ("study", "mode", "methods", "maps", "has_tokens"),
    [
        (STUDY.image_only(), None, METHODS, 2, False),
        (STUDY.text_only(), None, ("contribution", "attention", "integrated_gradients"), 0, True),
        (STUDY, "image", METHODS, 2, False),
        (STUDY, "text", ("contribution", "attention", "integrated_gradients"), 0, True),
    ],
    ids=["no report", "no film", "image mode", "text mode"],
)
def test_only_what_is_read_is_explained(
    checkpoint: Checkpoint, study: Study, mode: Mode | None, methods: tuple[str, ...], maps: int, has_tokens: bool
) -> None:
    answers = explain(study, checkpoint, LABEL, mode=mode)
    assert tuple(answer.method for answer in answers) == methods
    for answer in answers:
        assert len(answer.maps) == maps
        assert bool(answer.tokens) == (has_tokens and answer.method not in FILM_ONLY)


def test_a_mode_is_explained_as_if_it_were_all_there_is(checkpoint: Checkpoint) -> None:
    hidden = _by_method(explain(STUDY, checkpoint, LABEL, mode="image"))
    absent = _by_method(explain(STUDY.image_only(), checkpoint, LABEL))
    for method in METHODS:
        for one, other in zip(hidden[method].maps, absent[method].maps, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_two_labels_have_two_answers(checkpoint: Checkpoint) -> None:
    one, other = (_by_method(explain(STUDY, checkpoint, label)) for label in (LABEL, "cardiomegaly"))
    for method in METHODS:
        assert not np.allclose(one[method].maps[0], other[method].maps[0], rtol=1e-3)


def test_each_film_has_its_own_map(checkpoint: Checkpoint) -> None:
    """The second map is the second film's: other pixels there change it, in its own shape, whatever the first shows."""
    other = replace(STUDY, radiographs=(TALL, made_up.film(7, (64, 40), "lateral", bright=True)))
    swapped = replace(STUDY, radiographs=(WIDE, TALL))
    one, two, three = (_by_method(explain(study, checkpoint, LABEL)) for study in (STUDY, other, swapped))
    for method in METHODS:
        assert [heat.shape for heat in two[method].maps] == [(150, 90), (64, 40)]
        assert not np.allclose(one[method].maps[1][:50, :40], two[method].maps[1][:50, :40], rtol=1e-3)
        for film in (0, 1):
            scale = np.abs(one[method].maps[film]).max()
            np.testing.assert_allclose(one[method].maps[film], three[method].maps[1 - film], atol=1e-3 * scale)


def test_gradcam_against_its_definition(checkpoint: Checkpoint) -> None:
    """Selvaraju et al. 2017, eq. 1 and 2, by hand on the patch grid."""
    target = Target.ask(checkpoint, STUDY, LABEL, "joint")
    question, model = GradientTarget.of(target), trained_model(checkpoint)
    kept: list[torch.Tensor] = []
    handle = model.image_encoder.patches.register_forward_hook(lambda _, __, output: kept.append(output))
    logit = question.logit(question.pixels.clone().requires_grad_(), question.words)[0]
    handle.remove()
    (gradient,) = torch.autograd.grad(logit, kept[0])
    expected = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).clamp(min=0).detach()
    np.testing.assert_allclose(gradcam(target)[0], expected, atol=1e-6, rtol=1e-4)
    assert expected.shape == (2, 8, 8)
    assert expected.max() > 0


@pytest.mark.parametrize("mode", MODES)
def test_contributions_are_the_logit_itself(checkpoint: Checkpoint, mode: Mode) -> None:
    """Without an average film they and the bias sum to the logit; with one, to what lies beyond it."""
    question = Target.ask(checkpoint, STUDY, LABEL, mode)
    patches, words, error = contribution(question)
    logit = float(question.logit(question.pixels)[0])
    bias = float(checkpoint.model.head_bias[question.label])
    assert float(patches.sum() + words.sum()) + bias == pytest.approx(logit, abs=1e-5)
    assert error < 1e-4
    special = np.array([end == start for start, end in question.spans])
    assert mode == "image" or (words[special] == 0).all()

    shape = (len(VIEWS), len(checkpoint.vocabulary), checkpoint.model.patches)
    average = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    beyond = replace(question, checkpoint=replace(checkpoint, average_film=average))
    others, same, error = contribution(beyond)
    np.testing.assert_allclose(same, words, atol=1e-6)
    assert error < 1e-4
    if mode != "text":
        share = 2 * (2 if mode == "joint" else 1)  # two films; the report takes half
        rows = [VIEWS.index(film.view) for film in STUDY.radiographs]
        np.testing.assert_allclose(others, patches - average[rows, question.label] / share, atol=1e-6)


def test_average_shares_are_means_over_films_of_a_view(checkpoint: Checkpoint) -> None:
    """A naive twin: each film asked alone, its contributions averaged by view."""
    films = np.random.default_rng(0).integers(0, 256, (5, 64, 64), np.uint8)
    views: list[View] = ["frontal", "lateral", "frontal", "frontal", "lateral"]
    preprocessing = checkpoint.model.architecture.preprocessing
    found = average_shares(trained_model(checkpoint), films, views, batch=2)
    for row, view in enumerate(VIEWS[:2]):
        alone = []
        for film in (film for film, seen in zip(films, views, strict=True) if seen == view):
            pixels = (film.astype(np.float32) / 255 - preprocessing.mean) / preprocessing.std
            batch = collate([[(pixels, view)]], [None], size=64, pad=0)
            question = replace(Target.ask(checkpoint, STUDY.image_only(), LABEL, "image"), batch=batch)
            alone.append(contribution(question)[0][0])
        np.testing.assert_allclose(found[row, question.label], np.mean(alone, 0), atol=1e-4)


def test_occlusion_against_its_definition(checkpoint: Checkpoint) -> None:
    """A place inside lies under a square of each grid; its value is the mean of what they are worth, gone and alone."""
    question = Target.ask(checkpoint, STUDY.image_only(), LABEL, "image")
    film, empty, size = question.pixels, blurred(question.pixels), question.pixels.shape[-1]
    assert (SQUARES, size) == (5, 64)  # the first grid's edges: 0, 13, 26, 38, 51, 64; between them 6, 19, 32, 44, 57
    worth = []
    for top, bottom, left, right in ((26, 38, 13, 26), (32, 44, 19, 32)):
        here = (0, 1, 0, slice(top, bottom), slice(left, right))
        gone, alone = film.copy(), empty.copy()
        gone[here], alone[here] = empty[here], film[here]
        at = [float(question.logit(pixels)[0]) for pixels in (film, gone, alone, empty)]
        worth.append((at[0] - at[1] + at[2] - at[3]) / 2)
    assert np.ptp(worth) > 1e-4
    found = occlusion(question)[1]
    assert found[35, 22] == pytest.approx(np.mean(worth), abs=1e-5)
    assert np.isfinite(found).all()  # every place is covered


@pytest.mark.parametrize("mode", ["image", "text", "joint"])
def test_integrated_gradients_are_complete(checkpoint: Checkpoint, mode: Mode) -> None:
    target = Target.ask(checkpoint, STUDY, LABEL, mode)
    question = GradientTarget.of(target)
    pixels, words, error = integrated_gradients(target)
    assert pixels.shape == (2, 64, 64)
    special = np.array([end == start for start, end in target.spans])
    assert (words[special] == 0).all()
    assert (words == 0).all() == (mode == "image")
    assert (pixels == 0).all() == (mode == "text")
    assert error <= GOOD
    blank = question.model.text_encoder.words(torch.full_like(question.batch.ids, checkpoint.tokenizer.pad))
    there = question.pixels, question.words
    start = torch.from_numpy(blurred(target.pixels)), torch.where(question.batch.word_mask[..., None], blank, there[1])
    with torch.no_grad():
        change = float(question.logit(*there) - question.logit(*start))
    assert abs(float(pixels.sum(dtype=float) + words.sum(dtype=float)) - change) == pytest.approx(
        error * abs(change), abs=1e-5
    )


def test_the_piece_with_the_kink_is_halved_first() -> None:
    """max(0, x - 0.91) bends between 13/15 and 14/15 and rises by 0.09: only that piece misses its change."""
    path = _Path(lambda x: (x[:, 0] - 0.91).clamp(min=0), (torch.zeros(1, 1),), (torch.ones(1, 1),))
    (found,), error = path.integrated(0, PIECES + 2)
    assert sorted(path._points) == sorted([*(i / 15 for i in range(16)), 27 / 30])
    assert float(found) == pytest.approx(1 - 14 / 15 + 1 / 60, abs=1e-6)  # the slope is 1 from 14/15, and half before
    assert abs(float(found) - 0.09) == pytest.approx(0.09 * error, abs=1e-6)
    (better,), _ = path.integrated(0, 97)
    assert float(better) == pytest.approx(0.09, abs=1e-4)


def test_without_halving_they_are_captums_own(checkpoint: Checkpoint) -> None:
    target = Target.ask(checkpoint, STUDY, LABEL, "image")
    question = GradientTarget.of(target)
    pixels, _, _ = integrated_gradients(target, good=math.inf)
    captums = IntegratedGradients(lambda x: question.logit(x, question.words.expand(len(x), -1, -1))).attribute(
        question.pixels,
        baselines=torch.from_numpy(blurred(target.pixels)),
        n_steps=PIECES + 1,
        method="riemann_trapezoid",
        internal_batch_size=8,
    )
    whole = (PIECES + 1) / PIECES  # Captum's trapezoid weights of n points add up to (n - 1) / n
    np.testing.assert_allclose(pixels, whole * captums[0, :, 0].float(), atol=1e-6, rtol=1e-3)


def test_integrated_gradients_halve_what_misses_most(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients at 400 places, one by one, say the same; without halving the error is that of the first pieces."""
    target = Target.ask(checkpoint, STUDY, LABEL, "image")
    question = GradientTarget.of(target)
    start, end = torch.from_numpy(blurred(target.pixels)), question.pixels
    dense = torch.zeros_like(end)
    for step in range(400):
        at = (start + (step + 0.5) / 400 * (end - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(question.logit(at, question.words).sum(), at)
        dense += gradient * (end - start) / 400
    pixels, _, _ = integrated_gradients(target)
    assert np.corrcoef(pixels.ravel(), dense[0, :, 0].flatten())[0, 1] > 0.99
    monkeypatch.setattr(
        "lingula_lab.explanation.integrated_gradients.PIECES", 2
    )  # so coarse that the first pieces miss something
    errors = [integrated_gradients(target, good=0, most=most)[2] for most in (3, 64)]
    assert errors[1] < errors[0]
    assert integrated_gradients(target, good=math.inf, most=64)[2] == errors[0]


def test_integrated_gradients_keep_their_sum_in_film_pixels(checkpoint: Checkpoint) -> None:
    """The shares of a film are thinned when it is enlarged: map and words together still add up to the change."""
    big = Study("big", (made_up.film(1, (300, 210)),), REPORT)
    question = Target.ask(checkpoint, big, LABEL, "joint")
    pixels, words, _ = integrated_gradients(question)
    answer = _by_method(explain(big, checkpoint, LABEL))["integrated_gradients"]
    assert answer.maps[0].sum() == pytest.approx(float(pixels.sum()), abs=0.03 * float(np.abs(pixels).sum()))
    assert sum(token.score for token in answer.tokens) == pytest.approx(float(words.sum()), rel=1e-4)


def _state(checkpoint: Checkpoint) -> list[object]:
    model = trained_model(checkpoint)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    return [
        [module.training for module in model.modules()],
        [(parameter.requires_grad, parameter.grad is None) for parameter in model.parameters()],
        hooks,
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
    ]


def test_the_model_is_left_as_it_was(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _state(checkpoint)
    explain(STUDY, checkpoint, LABEL)
    assert _state(checkpoint) == before

    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    for module, method in (("fusion", "forward"), ("head", "forward")):
        with monkeypatch.context() as broken:
            broken.setattr(getattr(trained_model(checkpoint), module), method, fail)
            for name in named.GRADIENT:
                with pytest.raises(RuntimeError, match="on purpose"):
                    explain(STUDY, checkpoint, LABEL, methods=[name])
                assert _state(checkpoint) == before


def test_same_question_same_answer_under_no_grad(checkpoint: Checkpoint) -> None:
    one = _by_method(explain(STUDY, checkpoint, LABEL))
    with torch.no_grad():
        other = _by_method(explain(STUDY, checkpoint, LABEL))
    for method in METHODS:
        np.testing.assert_array_equal(one[method].maps[0], other[method].maps[0])


@pytest.mark.parametrize(
    "wrong", [{"label": "cough"}, {"methods": ["guess"]}, {"mode": "text", "study": STUDY.image_only()}], ids=str
)
def test_what_cannot_be_explained_is_refused(checkpoint: Checkpoint, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError) as refused:
        explain(model=checkpoint, **{"study": STUDY, "label": LABEL, **wrong})  # type: ignore[arg-type]
    assert refused.value.code == "bad_request"


def test_smoothing_keeps_the_sum_and_is_the_mirrored_gaussian() -> None:
    from scipy.ndimage import gaussian_filter

    maps = np.random.default_rng(0).standard_normal((2, 14, 14), np.float32)
    smooth = smoothed(maps)
    np.testing.assert_allclose(smooth.sum((1, 2)), maps.sum((1, 2)), atol=1e-4)
    expected = [gaussian_filter(each.astype(float), 14 * SMOOTH, mode="reflect", truncate=16) for each in maps]
    np.testing.assert_allclose(smooth, expected, atol=1e-5)


@pytest.mark.parametrize("size", [64, 100, 224])
def test_blurring_is_torch_s_own(size: int) -> None:
    films = np.random.default_rng(0).random((2, 1, size, size), np.float32)
    coarse = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(films), 8)
    expected = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(blurred(films), expected, atol=1e-5)


def test_without_the_extra_gradients_are_named_with_what_brings_them(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "_extensions", dict)
    assert named.installed_methods() == named.DEPLOYED
    assert {answer.method for answer in ask(STUDY, checkpoint, LABEL)} <= set(named.DEPLOYED)
    with pytest.raises(InputError, match="gradients") as refused:
        explain(STUDY, checkpoint, LABEL, methods=["gradcam"])
    assert "lingula[lab]" in str(refused.value.hint)
