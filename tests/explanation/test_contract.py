"""One contract for every explainer, and three explainers that break it: each must be caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests import made_up

from lingula.explanation.contribution import contribution
from lingula.explanation.methods import METHODS, raw
from lingula.explanation.target import Floats, Target
from lingula.model.checkpoint import Checkpoint
from lingula.study import Report, Study

Explainer = Callable[[Target], tuple[Floats, Floats | None]]
LABEL = "pleural_effusion"
REPORT = Report.from_sections(findings="Fluid blunts the left angle.", impression="Worn spine.")


def real(name: str) -> Explainer:
    return lambda question: raw(question, name)[:2]


def _grid(patches: Floats) -> Floats:
    side = int(patches.shape[1] ** 0.5)
    return patches.reshape(-1, side, side)


def wrong_axis(question: Target) -> tuple[Floats, Floats | None]:
    patches, words, _ = contribution(question)
    return _grid(patches).transpose(0, 2, 1), words


def item_zero(question: Target) -> tuple[Floats, Floats | None]:
    patches, words, _ = contribution(question)
    return _grid(patches)[:1].repeat(len(patches), 0), words


def reads_padding(question: Target) -> tuple[Floats, Floats | None]:
    patches, words, _ = contribution(question)
    return _grid(patches), words + np.abs(words).sum()


def check(checkpoint: Checkpoint, explainer: Explainer) -> None:
    """Where a film changes its map changes most, in the film that changed; padding and special tokens carry 0."""
    film = made_up.film(1, (64, 64))
    spot = film.pixels.copy()
    spot[40:60, 2:22] = 1 - spot[40:60, 2:22]  # low on image left: transposed it would be high on the right
    other = made_up.film(2, (64, 64))
    for place in (0, 1):
        films = [other, other]
        films[place] = film
        before = _on_grid(explainer(_ask(checkpoint, films))[0])
        films[place] = type(film)("spot", spot, film.view)
        after = _on_grid(explainer(_ask(checkpoint, films))[0])
        assert before.shape == after.shape == (2, 4, 4)
        change = np.abs(after - before)
        scale = float(np.abs(after).max())
        assert float(change[place].sum()) > float(change[1 - place].sum()), "the other film's map changed"
        assert float(change[place].max()) > 1e-3 * scale, "the map does not see the film"
        corner, mirrored = change[place][2:, :2].sum(), change[place][:2, 2:].sum()
        assert float(corner) > float(mirrored), "the change is elsewhere"
    question = _ask(checkpoint, [film, other], REPORT, padding=5)
    words = explainer(question)[1]
    if words is not None:
        is_word = question.batch.word_mask[0]
        assert words.shape == is_word.shape
        assert bool((words[~is_word] == 0).all()), "padding or a special token carries weight"
        assert bool((words[is_word] != 0).any())


def _ask(checkpoint: Checkpoint, films: list, report: Report | None = None, padding: int = 0) -> Target:  # type: ignore[type-arg]
    question = Target.ask(checkpoint, Study("S", tuple(films), report), LABEL, "joint" if report else "image")
    if padding:
        b, blank = question.batch, np.zeros((1, padding), np.bool_)
        ids = np.concatenate([b.ids, np.full((1, padding), checkpoint.tokenizer.pad)], 1)
        token_mask, word_mask = (np.concatenate([mask, blank], 1) for mask in (b.token_mask, b.word_mask))
        batch = replace(b, ids=ids, token_mask=token_mask, word_mask=word_mask)
        question = Target(question.checkpoint, question.study, batch, question.label, question.mode)
    return question


def _on_grid(maps: Floats) -> Floats:
    side = maps.shape[-1] // 4
    return np.asarray(maps.reshape(-1, 4, side, 4, side).mean((2, 4)), np.float32)


# Attention without a report has one reader, whose weights hardly move; gradients reach far in a net of random weights.
@pytest.mark.parametrize("name", [name for name in METHODS if name != "attention"])
def test_every_explainer_keeps_the_contract(checkpoint: Checkpoint, name: str) -> None:
    check(checkpoint, real(name))


@pytest.mark.parametrize(
    ("broken", "why"),
    [(wrong_axis, "elsewhere"), (item_zero, "other film's|does not see"), (reads_padding, "padding")],
    ids=["wrong axis", "item 0 for the batch", "reads padding"],
)
def test_a_broken_explainer_is_caught(checkpoint: Checkpoint, broken: Explainer, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check(checkpoint, broken)


def test_attention_to_padding_is_zero(checkpoint: Checkpoint) -> None:
    films = [made_up.film(1), made_up.film(2)]
    question = _ask(checkpoint, films, REPORT, padding=5)
    words = raw(question, "attention")[1]
    assert words is not None
    assert bool((words[~question.batch.word_mask[0]] == 0).all())
    np.testing.assert_allclose(words.sum(), 1, rtol=1e-5)
