"""The joint model as it is trained: any mix of radiographs and report to one embedding and one logit a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingula.model import batch as arrays
from lingula.model.architecture import Architecture
from lingula.model.tokenizer import Tokens
from lingula.study import VIEWS, Mode, View
from lingula_lab.model.fusion import Fused, Fusion
from lingula_lab.model.image_encoder import ImageEncoder
from lingula_lab.model.text_encoder import TextEncoder

_ARRAYS = ("pixels", "place", "views", "read", "ids", "token_mask", "word_mask")
"""Fields of a batch that are arrays."""


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """``lingula.model.batch.Batch`` as tensors."""

    pixels: Tensor
    place: Tensor
    views: Tensor
    read: Tensor
    slots: int
    ids: Tensor
    token_mask: Tensor
    word_mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, batch: arrays.Batch) -> TensorBatch:
        return cls(slots=batch.slots, **{name: torch.from_numpy(getattr(batch, name)) for name in _ARRAYS})

    def to(self, device: torch.device | str) -> TensorBatch:
        return replace(self, **{name: getattr(self, name).to(device) for name in _ARRAYS})


def collate(
    films: Sequence[Sequence[tuple[npt.NDArray[Any], View]]], tokens: Sequence[Tokens | None], *, size: int, pad: int
) -> TensorBatch:
    """``lingula.model.batch.collate``, as tensors."""
    return TensorBatch.of(arrays.collate(films, tokens, size=size, pad=pad))


@dataclass(frozen=True, slots=True)
class EncodedTensors:
    """Both encoders' tokens, before fusion: image (B, V * P, W), text (B, T, W), masks bool; and what the words add to
    the state by themselves, (B, T, D)."""

    image: Tensor
    image_mask: Tensor
    text: Tensor
    text_mask: Tensor
    word_terms: Tensor

    def only(self, mode: Mode) -> EncodedTensors:
        """The same studies with one modality hidden; ``joint`` hides nothing."""
        images = 0 if mode == "text" else self.image.shape[1]
        words = 0 if mode == "image" else self.text.shape[1]
        return EncodedTensors(
            self.image[:, :images],
            self.image_mask[:, :images],
            self.text[:, :words],
            self.text_mask[:, :words],
            self.word_terms[:, :words],
        )


@dataclass(frozen=True, slots=True)
class OutputTensors:
    """An answer.

    Attributes:
        embedding: (B, D), unit norm.
        logits: (B, L), uncalibrated.
        state: (B, D), the embedding before its norm is taken: a mean of what each token contributes.
        fused: tokens after fusion, with attention.
    """

    embedding: Tensor
    logits: Tensor
    state: Tensor
    fused: Fused


class StudyModel(nn.Module):
    """Image encoder, text encoder, fusion, projectors into one joint space, multi-label head."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.image_encoder = ImageEncoder(a.image, a.width, grid=a.grid, levels=a.levels, fold=a.fold, trunks=a.trunks)
        self.text_encoder = TextEncoder(a.text, a.width, a.text_levels, a.tokens)
        self.view_embedding = nn.Embedding(len(VIEWS), a.width)
        self.fusion = Fusion(
            a.width,
            layers=a.layers,
            heads=a.heads,
            hidden=a.hidden,
            adapter=a.adapter,
            shared=a.shared,
            dropout=a.dropout,
        )
        self.image_norm, self.text_norm = nn.LayerNorm(a.width), nn.LayerNorm(a.width)
        self.image_gate, self.text_gate = nn.Linear(a.width, a.heads), nn.Linear(a.width, a.heads)
        for gate in (self.image_gate, self.text_gate):  # pooling starts as a plain mean
            nn.init.zeros_(gate.weight)
            nn.init.zeros_(gate.bias)
        self.image_projector = nn.Linear(a.width, a.dimension)
        self.text_projector = nn.Linear(a.width, a.dimension)
        for projector in (self.image_projector, self.text_projector):
            nn.init.zeros_(projector.bias)
        self.voice = nn.Embedding(a.text["vocab_size"], a.dimension) if a.word_terms else None  # a stored name
        if self.voice is not None:
            nn.init.zeros_(self.voice.weight)
        self.dropout = nn.Dropout(a.dropout)
        self.head = nn.Linear(a.dimension, a.labels)

    @property
    def patches(self) -> int:
        return self.architecture.grid**2

    def encode(self, batch: TensorBatch, words: Tensor | None = None, grids: Tensor | None = None) -> EncodedTensors:
        """Run both encoders once; fusion may then be asked in several modes.

        ``words`` (B, T, hidden) stands for the word embeddings of ``batch.ids`` where a caller wants their gradient,
        ``grids`` (N, C, grid, grid) for the backbone's features of ``batch.pixels`` where a caller has kept them.
        """
        size, patches = len(batch), self.patches
        image = torch.zeros(size, batch.slots, patches, self.architecture.width, device=batch.pixels.device)
        mask = torch.zeros(size, batch.slots, dtype=torch.bool, device=batch.pixels.device)
        if len(batch.pixels):
            tokens = self._film_tokens(batch.pixels, batch.views, grids)
            image = image.to(tokens.dtype).index_put((batch.place[:, 0], batch.place[:, 1]), tokens)
            mask = mask.index_put((batch.place[:, 0], batch.place[:, 1]), batch.read)
        width = self.architecture.width
        if batch.ids.shape[1]:
            # A row without text must not be all masked: its tokens are read, and then ignored.
            readable = batch.token_mask | ~batch.token_mask.any(1, keepdim=True)
            words = self.text_encoder.words(batch.ids) if words is None else words
            text = self.text_encoder(words, readable)
            word_terms = self.word_terms(batch, words)
        else:
            text = torch.zeros(size, 0, width, device=batch.ids.device)
            word_terms = torch.zeros(size, 0, self.architecture.dimension, device=batch.ids.device)
        return EncodedTensors(
            image.flatten(1, 2), mask.repeat_interleave(patches, 1), text, batch.word_mask, word_terms
        )

    def with_film(self, encoded: EncodedTensors, slot: int, pixels: Tensor, view: Tensor) -> EncodedTensors:
        """R variants of one encoded study, in which the film in a slot is another: pixels (R, 1, S, S), view () its
        place in ``VIEWS``. Nothing else is encoded anew."""
        count, start = len(pixels), slot * self.patches
        tokens = self._film_tokens(pixels, view.expand(count))
        image = encoded.image.to(tokens.dtype).expand(count, -1, -1)
        parts = (image[:, :start], tokens, image[:, start + self.patches :])
        others = (encoded.image_mask, encoded.text, encoded.text_mask, encoded.word_terms)
        return EncodedTensors(torch.cat(parts, 1), *(part.expand(count, *part.shape[1:]) for part in others))

    def _film_tokens(self, pixels: Tensor, views: Tensor, grids: Tensor | None = None) -> Tensor:
        """pixels (N, 1, S, S) and views (N,) to (N, P, W)."""
        tokens: Tensor = self.image_encoder(pixels, grids) + self.view_embedding(views)[:, None]
        return tokens

    def word_terms(self, batch: TensorBatch, words: Tensor) -> Tensor:
        """What each word or marker adds to the state whatever stands around it (Cheng et al. 2016, the wide part), the
        first time it is read: (B, T, D), 0 without such a part.

        It is a linear function of the word's embedding (as it is: all of it; the embedding at 0: nothing), so that a
        gradient with respect to ``words`` (B, T, hidden) knows of it.
        """
        before = (batch.ids[:, :, None] == batch.ids[:, None]).tril(-1).any(-1)  # (B, T)
        return self.terms(batch.ids, words, batch.word_mask & ~before)

    def terms(self, ids: Tensor, words: Tensor, first: Tensor) -> Tensor:
        """``word_terms`` of token ids (B, T), of which ``first`` (B, T) bool marks a word's first reading."""
        if self.voice is None:
            return words.new_zeros(*words.shape[:2], self.architecture.dimension)
        own = self.text_encoder.words(ids)
        scale = (words * own).sum(-1) / own.square().sum(-1).clamp(min=1e-8)  # (B, T)
        word_terms: Tensor = self.voice(ids) * (scale * first)[..., None]
        return word_terms

    def fuse(self, encoded: EncodedTensors) -> OutputTensors:
        """Fusion, pooling and head over what the masks let through."""
        fused = self.fusion(encoded.image, encoded.image_mask, encoded.text, encoded.text_mask)
        fused = replace(fused, word_terms=encoded.word_terms)
        state = self.contributions(fused).sum(1)  # (B, D)
        return OutputTensors(F.normalize(state, dim=-1), self.head(self.dropout(state)), state, fused)

    def contributions(self, fused: Fused) -> Tensor:
        """What each token adds to the state: (B, (1 + V * P) + (1 + T), D), image tokens first.

        The state is the mean over the modalities present of a weighted mean over their tokens: each head of a gate
        weighs them (softmax) for its slice of the D dimensions, so that one word or patch can speak for a small one.
        The gate reads normalised tokens, the sum the tokens themselves: how strongly a patch answers is what it tells.
        Masked tokens and stand-ins contribute exactly 0. Words add what they do by themselves (``word_terms``).
        """
        parts, present = [], []
        for tokens, mask, norm, gate, projector in (
            (fused.image, fused.image_mask, self.image_norm, self.image_gate, self.image_projector),
            (fused.text, fused.text_mask, self.text_norm, self.text_gate, self.text_projector),
        ):
            own = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, 1:]], 1)  # the stand-in only lends its attention
            share = gate(norm(tokens)).masked_fill(~own[..., None], -1e4).softmax(1) * own[..., None]  # (B, N, heads)
            slices = self.architecture.dimension // self.architecture.heads
            parts.append(projector(tokens) * share.repeat_interleave(slices, -1))
            present.append(own.any(1))
        if fused.word_terms is not None:
            parts[1] = parts[1] + F.pad(fused.word_terms, (0, 0, 1, 0))
        modalities = torch.stack(present).sum(0).clamp(min=1)  # (B,)
        return torch.cat(parts, 1) / modalities[:, None, None]

    def forward(
        self, batch: TensorBatch, modes: Sequence[Mode] = ("joint",), grids: Tensor | None = None
    ) -> dict[Mode, OutputTensors]:
        """The answer in each mode; the encoders run once."""
        encoded = self.encode(batch, grids=grids)
        return {mode: self.fuse(encoded.only(mode)) for mode in modes}
