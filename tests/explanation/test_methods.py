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
from lingula.explanation.contribution import contribution
from lingula.explanation.gradcam import gradcam
from lingula.explanation.integrated_gradients import GOOD, PIECES, _Path, integrated_gradients
from lingula.explanation.methods import smoothed
from lingula.explanation.occlusion import SQUARES, occlusion
from lingula.explanation.target import Target, blurred
from lingula.model.checkpoint import Checkpoint
from lingula.model.study_model import collate
from lingula.study import MODES, VIEWS, Explanation, Mode, Report, Study, View
from lingula_lab.training.average_film import usual_shares

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
    with torch.no_grad():
        expected = checkpoint.model(question.batch, (mode,))[mode].logits[:, question.label]
        variants = question.logit(question.pixels.expand(3, -1, -1, -1, -1), question.words.expand(3, -1, -1))
    torch.testing.assert_close(variants, expected.expand(3), atol=1e-5, rtol=0)


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
    question = Target.ask(checkpoint, STUDY, LABEL, "joint")
    model = checkpoint.model
    kept: list[torch.Tensor] = []
    handle = model.image_encoder.patches.register_forward_hook(lambda _, __, output: kept.append(output))
    logit = question.logit(question.pixels.clone().requires_grad_(), question.words)[0]
    handle.remove()
    (gradient,) = torch.autograd.grad(logit, kept[0])
    expected = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).clamp(min=0).detach()
    torch.testing.assert_close(gradcam(question), expected)
    assert expected.shape == (2, 8, 8)
    assert expected.max() > 0


@pytest.mark.parametrize("mode", MODES)
def test_contributions_are_the_logit_itself(checkpoint: Checkpoint, mode: Mode) -> None:
    """Without a usual film they and the bias sum to the logit; with one, to what lies beyond it."""
    question = Target.ask(checkpoint, STUDY, LABEL, mode)
    patches, words, error = contribution(question)
    with torch.no_grad():
        logit = float(question.logit(question.pixels, question.words))
    bias = checkpoint.model.head.bias[question.label].item()
    assert float(patches.sum() + words.sum()) + bias == pytest.approx(logit, abs=1e-5)
    assert error < 1e-4
    special = torch.tensor([end == start for start, end in question.spans])
    assert mode == "image" or (words[special] == 0).all()

    shape = (len(VIEWS), len(checkpoint.vocabulary), checkpoint.model.patches)
    usual = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    beyond = replace(question, checkpoint=replace(checkpoint, usual=usual))
    others, same, error = contribution(beyond)
    torch.testing.assert_close(same, words)
    assert error < 1e-4
    if mode != "text":
        share = 2 * (2 if mode == "joint" else 1)  # two films; the report takes half
        rows = [VIEWS.index(film.view) for film in STUDY.radiographs]
        torch.testing.assert_close(others, patches - torch.from_numpy(usual[rows, question.label]) / share)


def test_usual_shares_are_means_over_films_of_a_view(checkpoint: Checkpoint) -> None:
    """A naive twin: each film asked alone, its contributions averaged by view."""
    films = np.random.default_rng(0).integers(0, 256, (5, 64, 64), np.uint8)
    views: list[View] = ["frontal", "lateral", "frontal", "frontal", "lateral"]
    preprocessing = checkpoint.model.architecture.preprocessing
    found = usual_shares(checkpoint.model, films, views, batch=2)
    for row, view in enumerate(VIEWS[:2]):
        alone = []
        for film in (film for film, seen in zip(films, views, strict=True) if seen == view):
            pixels = (film.astype(np.float32) / 255 - preprocessing.mean) / preprocessing.std
            batch = collate([[(pixels, view)]], [None], size=64, pad=0)
            question = replace(Target.ask(checkpoint, STUDY.image_only(), LABEL, "image"), batch=batch)
            alone.append(contribution(question)[0][0].numpy())
        np.testing.assert_allclose(found[row, question.label], np.mean(alone, 0), atol=1e-4)


def test_occlusion_against_its_definition(checkpoint: Checkpoint) -> None:
    """A place inside lies under four squares; its value is the mean of what they are worth, gone and alone."""
    question = Target.ask(checkpoint, STUDY.image_only(), LABEL, "image")
    film, empty, size = question.pixels, blurred(question.pixels), question.pixels.shape[-1]
    side, step = size // SQUARES, size // SQUARES // 2
    worth = []
    with torch.no_grad():
        for top in (4 * step, 5 * step):
            for left in (2 * step, 3 * step):
                here = (0, 1, 0, slice(top, top + side), slice(left, left + side))
                gone, alone = film.clone(), empty.clone()
                gone[here], alone[here] = empty[here], film[here]
                at = [float(question.logit(pixels, question.words)) for pixels in (film, gone, alone, empty)]
                worth.append((at[0] - at[1] + at[2] - at[3]) / 2)
    assert np.ptp(worth) > 1e-4
    found = float(occlusion(question)[1, 5 * step + step // 2, 3 * step + step // 2])
    assert found == pytest.approx(np.mean(worth), abs=1e-5)


@pytest.mark.parametrize("mode", ["image", "text", "joint"])
def test_integrated_gradients_are_complete(checkpoint: Checkpoint, mode: Mode) -> None:
    question = Target.ask(checkpoint, STUDY, LABEL, mode)
    pixels, words, error = integrated_gradients(question)
    assert pixels.shape == (2, 64, 64)
    special = torch.tensor([end == start for start, end in question.spans])
    assert (words[special] == 0).all()
    assert (words == 0).all() == (mode == "image")
    assert (pixels == 0).all() == (mode == "text")
    assert error <= GOOD
    blank = checkpoint.model.text_encoder.words(torch.full_like(question.batch.ids, checkpoint.tokenizer.pad))
    there = question.pixels, question.words
    start = blurred(there[0]), torch.where(question.batch.word_mask[..., None], blank, there[1])
    with torch.no_grad():
        change = float(question.logit(*there) - question.logit(*start))
    assert abs(float(pixels.double().sum() + words.double().sum()) - change) == pytest.approx(
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
    question = Target.ask(checkpoint, STUDY, LABEL, "image")
    pixels, _, _ = integrated_gradients(question, good=math.inf)
    captums = IntegratedGradients(lambda x: question.logit(x, question.words.expand(len(x), -1, -1))).attribute(
        question.pixels,
        baselines=blurred(question.pixels),
        n_steps=PIECES + 1,
        method="riemann_trapezoid",
        internal_batch_size=8,
    )
    whole = (PIECES + 1) / PIECES  # Captum's trapezoid weights of n points add up to (n - 1) / n
    torch.testing.assert_close(pixels, whole * captums[0, :, 0].float(), atol=1e-6, rtol=1e-3)


def test_integrated_gradients_halve_what_misses_most(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients at 400 places, one by one, say the same; without halving the error is that of the first pieces."""
    question = Target.ask(checkpoint, STUDY, LABEL, "image")
    start, end = blurred(question.pixels), question.pixels
    dense = torch.zeros_like(end)
    for step in range(400):
        at = (start + (step + 0.5) / 400 * (end - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(question.logit(at, question.words).sum(), at)
        dense += gradient * (end - start) / 400
    pixels, _, _ = integrated_gradients(question)
    assert torch.corrcoef(torch.stack([pixels.flatten(), dense[0, :, 0].flatten()]))[0, 1] > 0.99
    monkeypatch.setattr(
        "lingula.explanation.integrated_gradients.PIECES", 2
    )  # so coarse that the first pieces miss something
    errors = [integrated_gradients(question, good=0, most=most)[2] for most in (3, 64)]
    assert errors[1] < errors[0]
    assert integrated_gradients(question, good=math.inf, most=64)[2] == errors[0]


def test_integrated_gradients_keep_their_sum_in_film_pixels(checkpoint: Checkpoint) -> None:
    """The shares of a film are thinned when it is enlarged: map and words together still add up to the change."""
    big = Study("big", (made_up.film(1, (300, 210)),), REPORT)
    question = Target.ask(checkpoint, big, LABEL, "joint")
    pixels, words, _ = integrated_gradients(question)
    answer = _by_method(explain(big, checkpoint, LABEL))["integrated_gradients"]
    assert answer.maps[0].sum() == pytest.approx(pixels.sum().item(), abs=0.03 * pixels.abs().sum().item())
    assert sum(token.score for token in answer.tokens) == pytest.approx(words.sum().item(), rel=1e-4)


def _state(checkpoint: Checkpoint) -> list[object]:
    model = checkpoint.model
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
            broken.setattr(getattr(checkpoint.model, module), method, fail)
            for name in METHODS:
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

    maps = torch.randn(2, 14, 14, generator=torch.Generator().manual_seed(0))
    smooth = smoothed(maps)
    torch.testing.assert_close(smooth.sum((1, 2)), maps.sum((1, 2)), atol=1e-4, rtol=0)
    expected = [gaussian_filter(each.double().numpy(), 14 / 16, mode="reflect", truncate=16) for each in maps]
    np.testing.assert_allclose(smooth.numpy(), expected, atol=1e-5)
