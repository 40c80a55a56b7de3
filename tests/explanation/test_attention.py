"""Attention as evidence, on its own: what it sums to and what it never touches."""

from __future__ import annotations

import numpy as np
import pytest
from tests import made_up

from lingula.explanation.attention import attention
from lingula.explanation.target import Target
from lingula.model.checkpoint import Checkpoint
from lingula.study import Mode, Study

TWO_FILMS = made_up.study(0)
LABEL = "cardiomegaly"


@pytest.mark.parametrize("mode", ["image", "text", "joint"])
def test_sums_and_zeros(checkpoint: Checkpoint, mode: Mode) -> None:
    question = Target.ask(checkpoint, TWO_FILMS, LABEL, mode)
    patches, words = attention(question)
    assert patches.shape == (0 if mode == "text" else 2, 64)
    assert words.shape == (0 if mode == "image" else len(question.spans),)
    if mode != "text":
        assert (patches > 0).all()
        assert patches.sum() == pytest.approx(1, abs=1e-5)
    if mode != "image":
        special = np.array([end == start for start, end in question.spans])
        assert (words[special] == 0).all()
        assert (words[~special] > 0).all()
        assert words.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("label", made_up.vocabulary().codes)
def test_readers_who_speak_for_the_label_are_heard(checkpoint: Checkpoint, label: str) -> None:
    """A naive twin: each reader's row of attention, weighed by the positive part of what it adds to the label's logit;
    all alike where no reader adds anything."""
    question = Target.ask(checkpoint, TWO_FILMS, label, "joint")
    model = checkpoint.model
    encoded = question.encoded(question.pixels)
    found = model.trace(encoded)
    assert found.image_to_text is not None
    assert found.text_to_image is not None
    support = (found.contributions[0] @ model.head_weight[question.label]).clip(min=0)
    images = 1 + encoded.image.shape[1]
    for share, attended, voice, mask in (
        (attention(question)[0].ravel(), found.text_to_image, support[images:], [False, *encoded.text_mask[0]]),
        (attention(question)[1], found.image_to_text, support[:images], [False, *encoded.image_mask[0]]),
    ):
        expected = np.zeros(attended.shape[-1])
        for reader, loud in enumerate(voice.tolist() if voice.any() else mask):
            expected += loud * attended[0, :, reader].mean(0)
        np.testing.assert_allclose(share, expected[1:] / expected[1:].sum(), atol=1e-6, rtol=1e-4)


def test_without_a_report_the_films_are_still_read(checkpoint: Checkpoint) -> None:
    patches, words = attention(Target.ask(checkpoint, TWO_FILMS.image_only(), LABEL, "image"))
    assert words.shape == (0,)
    assert patches.sum() == pytest.approx(1, abs=1e-5)
    patches, words = attention(Target.ask(checkpoint, Study("t", (), TWO_FILMS.report), LABEL, "text"))
    assert patches.shape == (0, 64)
    assert words.sum() == pytest.approx(1, abs=1e-5)
