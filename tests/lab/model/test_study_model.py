"""What the joint model may and may not look at, and that a study's answer is its own."""

from __future__ import annotations

import pytest
import torch
from tests import made_up
from torch import Tensor

from lingula.model.batch import batch_studies
from lingula.study import MODES, Mode, Report, Study
from lingula_lab.model.study_model import OutputTensors, StudyModel, TensorBatch

MODEL = made_up.model()
LONG = Report.from_sections(findings="Fluid blunts the left angle. " * 20, impression="Effusion on the left.")
SHORT = Report.from_sections(impression="Worn spine.")
TALL, WIDE = made_up.film(1, (90, 60)), made_up.film(2, (70, 95), "lateral")
MIXED = (
    Study("image", (TALL,)),
    Study("text", (), SHORT),
    Study("both", (WIDE,), LONG),
    Study("two films", (WIDE, TALL), SHORT),
    Study("three films", (TALL, WIDE, made_up.film(3, view="unknown"))),
    Study("long text", (), LONG),
)


def _batch(*studies: Study) -> TensorBatch:
    return TensorBatch.of(batch_studies(studies, MODEL.architecture.preprocessing, made_up.tokenizer()))


@torch.no_grad()
def _answer(*studies: Study, mode: Mode = "joint", model: StudyModel = MODEL) -> OutputTensors:
    return model(_batch(*studies), (mode,))[mode]


def _close(one: OutputTensors, row: int, other: OutputTensors, other_row: int) -> None:
    for name in ("embedding", "logits", "state"):
        torch.testing.assert_close(getattr(one, name)[row], getattr(other, name)[other_row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_neighbours_in_the_batch_do_not_matter(mode: Mode) -> None:
    together = _answer(*MIXED, mode=mode)
    for row, study in enumerate(MIXED):
        _close(together, row, _answer(study, mode=mode), 0)


def test_a_mode_reads_only_its_modality() -> None:
    image = _answer(*MIXED, mode="image")
    _close(image, 2, _answer(MIXED[2].image_only()), 0)
    _close(image, 3, _answer(MIXED[3].image_only()), 0)
    text = _answer(*MIXED, mode="text")
    _close(text, 2, _answer(MIXED[2].text_only()), 0)
    _close(text, 3, _answer(MIXED[3].text_only()), 0)
    assert not torch.allclose(image.logits[2], text.logits[2], atol=1e-3)


def test_views_and_films_matter_their_order_does_not() -> None:
    one = _answer(Study("x", (TALL, WIDE)))
    _close(one, 0, _answer(Study("x", (WIDE, TALL))), 0)
    assert not torch.allclose(one.logits, _answer(Study("x", (TALL,))).logits, atol=1e-3)
    assert not torch.allclose(one.logits, _answer(Study("x", (TALL, WIDE.with_view("frontal")))).logits, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_attention_is_spent_on_films_and_words_alone(mode: Mode) -> None:
    """Rows sum to 1; padding, special tokens and absent films get exactly 0, like the stand-in where none is needed."""
    fused = _answer(*MIXED, mode=mode).fused
    batch, patches = _batch(*MIXED), MODEL.patches
    words = batch.word_mask if mode != "image" else batch.word_mask[:, :0]  # (B, T)
    films = torch.zeros(len(MIXED), batch.slots, dtype=torch.bool)
    films[batch.place[:, 0], batch.place[:, 1]] = mode != "text"
    films = films.repeat_interleave(patches, 1)[:, : None if mode != "text" else 0]  # (B, V * P)

    def keys(mask: Tensor) -> Tensor:
        return torch.cat([~mask.any(1, keepdim=True), mask], 1)[:, None, None]  # (B, 1, 1, 1 + K)

    for weights, mask in [(w, keys(words)) for w in fused.image_to_text] + [
        (w, keys(films)) for w in fused.text_to_image
    ]:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert (weights.masked_select(~mask) == 0).all()
        assert (weights.masked_select(mask) > 0).all()


def test_contributions_add_up_and_the_masked_are_silent() -> None:
    output = _answer(*MIXED)
    parts = MODEL.contributions(output.fused)  # (B, (1 + V * P) + (1 + T), D)
    torch.testing.assert_close(parts.sum(1), output.state, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.nn.functional.normalize(output.state), output.embedding)
    torch.testing.assert_close(MODEL.head(output.state), output.logits)
    own = torch.cat([output.fused.image_mask, output.fused.text_mask], 1)
    own[:, [0, output.fused.image_mask.shape[1]]] = False  # the stand-ins
    assert (parts[~own] == 0).all()
    assert (parts[own].abs().sum(-1) > 0).all()
    half = parts[2, : output.fused.image_mask.shape[1]].sum(0)  # images and words count alike, however many
    patches = output.fused.image[2, 1 : 1 + MODEL.patches]
    share = MODEL.image_gate(MODEL.image_norm(patches)).softmax(0)
    heads = MODEL.architecture.heads
    expected = (MODEL.image_projector(patches).unflatten(1, (heads, -1)) * share[..., None]).sum(0).flatten() / 2
    torch.testing.assert_close(half, expected, atol=1e-6, rtol=1e-4)


def test_fusion_layers_and_their_feed_forward_blocks() -> None:
    """``shared`` uses one block in all layers, otherwise each has its own; either is a chain, not a fan."""
    assert len(MODEL.fusion.feed_forward) == 2
    assert len(made_up.model(shared=True).fusion.feed_forward) == 1
    batch = _batch(MIXED[2])
    with torch.no_grad():
        encoded = MODEL.encode(batch)
        plain = MODEL.fuse(encoded)
        changed = made_up.model()
        changed.fusion.layers[0].image_reads.value.bias += 1.0
        other = changed.fuse(encoded)
    torch.testing.assert_close(plain.fused.text_to_image[0], other.fused.text_to_image[0])
    assert not torch.allclose(plain.fused.text_to_image[1], other.fused.text_to_image[1])


@pytest.mark.parametrize("change", [{"layers": 0}, {"adapter": 0}, {"shared": True}])
def test_parts_of_the_fusion_can_be_left_out(change: dict[str, int]) -> None:
    """The same code, fewer weights; without layers film and words meet in the pooling alone."""
    model, batch = made_up.model(**change), _batch(*MIXED)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in MODEL.parameters())
    with torch.no_grad():
        whole = model(batch, MODES)
        encoded = model.encode(batch)
        film = model.fuse(encoded.only("image")).state
        words = model.fuse(encoded.only("text")).state
    assert all(torch.isfinite(output.logits).all() for output in whole.values())
    both = [row for row, study in enumerate(MIXED) if study.radiographs and study.report and not study.report.is_empty]
    apart = torch.allclose(whole["joint"].state[both], ((film + words) / 2)[both], atol=1e-5)
    assert apart == (change == {"layers": 0})


def test_words_given_stand_for_the_words_read() -> None:
    batch = _batch(MIXED[2])
    with torch.no_grad():
        words = MODEL.text_encoder.words(batch.ids)
        same = MODEL.fuse(MODEL.encode(batch, words)).logits
        moved = MODEL.fuse(MODEL.encode(batch, words.flip(1))).logits
    torch.testing.assert_close(same, _answer(MIXED[2]).logits)
    assert not torch.allclose(same, moved, atol=1e-4)
