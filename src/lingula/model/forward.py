"""The deployed forward: films and reports through encoders and fusion, as arrays, whatever engine computes the parts.

A model has four parts, each a function of arrays:

    image     pixels (N, 1, S, S) -> patches (N, P, W), before the view embedding
    details   pixels (N, 1, S, S) -> details (N, C, grid, grid), how a spot looks from near
    text      ids, mask (B, T) int64, first (B, T) bool -> tokens (B, T, W), terms (B, T, D); T of one window
    fusion    image (B, V * P, W), text (B, T, W), terms (B, T, D), and masks that begin with the stand-ins
              -> embedding (B, D), logits (B, L), state (B, D), contributions (B, 1 + V * P + 1 + T, D) and the last
              layer's attention, image_to_text (B, heads, 1 + V * P, 1 + T) and text_to_image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lingula.model.architecture import Architecture
from lingula.model.batch import Batch, Floats, Mask
from lingula.study import Mode

Part = Literal["image", "details", "text", "fusion"]
Arrays = npt.NDArray[Any]
OUTPUTS: dict[Part, tuple[str, ...]] = {
    "image": ("patches",),
    "details": ("details",),
    "text": ("tokens", "terms"),
    "fusion": ("embedding", "logits", "state", "contributions", "image_to_text", "text_to_image"),
}


class Engine(Protocol):
    """What computes the parts of one model."""

    @property
    def device(self) -> str: ...
    def tensor(self, name: str) -> Floats:
        """A weight by its name."""

    def run(self, part: Part, inputs: Mapping[str, Arrays], outputs: tuple[str, ...]) -> tuple[Arrays, ...]:
        """A part's outputs by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Both encoders' tokens, before fusion: image (B, V * P, W), text (B, T, W), masks bool; and what the words add to
    the state by themselves, (B, T, D)."""

    image: Floats
    image_mask: Mask
    text: Floats
    text_mask: Mask
    terms: Floats

    def only(self, mode: Mode) -> Encoded:
        """The same studies with one modality hidden; ``joint`` hides nothing."""
        images = 0 if mode == "text" else self.image.shape[1]
        words = 0 if mode == "image" else self.text.shape[1]
        return Encoded(
            self.image[:, :images], self.image_mask[:, :images],
            self.text[:, :words], self.text_mask[:, :words], self.terms[:, :words],
        )  # fmt: skip

    def rows(self, rows: Sequence[int]) -> Encoded:
        """Some of the studies."""
        at = list(rows)  # copies, whatever the rows
        return Encoded(self.image[at], self.image_mask[at], self.text[at], self.text_mask[at], self.terms[at])


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """An answer.

    Attributes:
        embedding: (B, D), unit norm.
        logits: (B, L), uncalibrated.
        state: (B, D), the embedding before its norm is taken: a mean of what each token contributes.
    """

    embedding: Floats
    logits: Floats
    state: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """An answer with what led to it.

    Attributes:
        embedding, logits, state: as of ``Output``.
        contributions: (B, (1 + V * P) + (1 + T), D), what each token adds to the state, image tokens first; of masked
            tokens and stand-ins 0.
        image_to_text, text_to_image: the last fusion layer's attention, (B, heads, 1 + V * P, 1 + T) and the other way
            round, rows summing to 1; None of a model without fusion layers.
    """

    embedding: Floats
    logits: Floats
    state: Floats
    contributions: Floats
    image_to_text: Floats | None
    text_to_image: Floats | None


class Forward:
    """A model that answers."""

    def __init__(self, architecture: Architecture, engine: Engine) -> None:
        self.architecture, self.engine = architecture, engine

    @property
    def patches(self) -> int:
        """Of one film."""
        return self.architecture.grid**2

    @cached_property
    def head_weight(self) -> Floats:
        """(L, D): logits are ``head_weight @ state + head_bias``."""
        return self.engine.tensor("head.weight")

    @cached_property
    def head_bias(self) -> Floats:
        """(L,)."""
        return self.engine.tensor("head.bias")

    @cached_property
    def view_embedding(self) -> Floats:
        """(views, W), added to every patch of a film, in the order of ``VIEWS``."""
        return self.engine.tensor("view_embedding.weight")

    def __call__(self, batch: Batch, modes: Sequence[Mode] = ("joint",)) -> dict[Mode, Output]:
        """The answer in each mode; the encoders run once."""
        encoded = self.encode(batch)
        return {mode: self.fuse(encoded.only(mode)) for mode in modes}

    def encode(self, batch: Batch) -> Encoded:
        """Run both encoders once; fusion may then be asked in several modes. A modality nobody has is not computed."""
        a, size = self.architecture, len(batch)
        image = np.zeros((size, batch.slots, self.patches, a.width), np.float32)
        mask = np.zeros((size, batch.slots), np.bool_)
        if len(batch.pixels):
            image[batch.place[:, 0], batch.place[:, 1]] = self._film_tokens(batch.pixels, batch.views)
            mask[batch.place[:, 0], batch.place[:, 1]] = batch.read
        if batch.ids.shape[1]:
            text, terms = self._words(batch)
        else:
            text, terms = (np.zeros((size, 0, wide), np.float32) for wide in (a.width, a.dimension))
        return Encoded(
            image.reshape(size, -1, a.width), mask.repeat(self.patches, 1), text, batch.word_mask, terms
        )  # fmt: skip

    def with_film(self, encoded: Encoded, slot: int, pixels: Floats, view: int) -> Encoded:
        """R variants of one encoded study, in which the film in a slot is another: pixels (R, 1, S, S), view its
        place in ``VIEWS``. Nothing else is encoded anew."""
        count, start = len(pixels), slot * self.patches
        repeated = encoded.rows([0] * count)
        repeated.image[:, start : start + self.patches] = self._film_tokens(pixels, np.full(count, view))
        return repeated

    def fuse(self, encoded: Encoded) -> Output:
        """Fusion, pooling and head over what the masks let through."""
        return Output(*self._fused(encoded, OUTPUTS["fusion"][:3]))

    def trace(self, encoded: Encoded) -> Trace:
        """``fuse`` with what each token adds and what reads what."""
        names = OUTPUTS["fusion"] if self.architecture.layers else OUTPUTS["fusion"][:4]
        found = dict(zip(names, self._fused(encoded, names), strict=True))
        return Trace(**{name: found.get(name) for name in OUTPUTS["fusion"]})  # type: ignore[arg-type]

    def details(self, pixels: Floats) -> Floats:
        """pixels (N, 1, S, S) to what is seen from near, (N, C, grid, grid): how a spot looks, not what it means."""
        return self.engine.run("details", {"pixels": pixels}, OUTPUTS["details"])[0]

    def _film_tokens(self, pixels: Floats, views: npt.NDArray[np.int64]) -> Floats:
        """pixels (N, 1, S, S) and views (N,) to (N, P, W)."""
        (patches,) = self.engine.run("image", {"pixels": pixels}, OUTPUTS["image"])
        return np.asarray(patches + self.view_embedding[views][:, None], np.float32)

    def _words(self, batch: Batch) -> tuple[Floats, Floats]:
        """tokens (B, T, W) and terms (B, T, D), window by window."""
        before = np.tril(batch.ids[:, :, None] == batch.ids[:, None], -1).any(-1)  # (B, T)
        first = batch.word_mask & ~before
        # A row without text, or that has ended, must not be all masked: its tokens are read, and then ignored.
        parts = []
        for start in range(0, batch.ids.shape[1], self.architecture.tokens):
            here = np.s_[:, start : start + self.architecture.tokens]
            seen = batch.token_mask[here]
            mask = (seen | ~seen.any(1, keepdims=True)).astype(np.int64)
            inputs = {"ids": batch.ids[here], "mask": mask, "first": first[here]}
            parts.append(self.engine.run("text", inputs, OUTPUTS["text"]))
        tokens, terms = (np.concatenate(some, 1) if len(parts) > 1 else some[0] for some in zip(*parts, strict=True))
        return tokens, terms

    def _fused(self, encoded: Encoded, outputs: tuple[str, ...]) -> tuple[Any, ...]:
        inputs = {
            "image": encoded.image,
            "image_mask": _with_missing_token(encoded.image_mask),
            "text": encoded.text,
            "text_mask": _with_missing_token(encoded.text_mask),
            "terms": encoded.terms,
        }
        return self.engine.run("fusion", inputs, outputs)


def _with_missing_token(mask: Mask) -> Mask:
    """A modality's mask (B, N) with that of its stand-in before it, which takes part only where all else is missing."""
    return np.concatenate([~mask.any(1, keepdims=True), mask], 1)
