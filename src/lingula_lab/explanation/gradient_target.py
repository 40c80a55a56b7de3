"""A target as a function of films and word embeddings, with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lingula.explanation.target import Target
from lingula_lab.model.checkpoint import trained_model
from lingula_lab.model.study_model import EncodedTensors, StudyModel, TensorBatch


@dataclass(frozen=True, slots=True, eq=False)
class GradientTarget:
    """What is to be explained, on the trained model.

    Attributes:
        batch: the study alone. target: what was asked.
    """

    model: StudyModel
    batch: TensorBatch
    target: Target

    @classmethod
    def of(cls, target: Target) -> GradientTarget:
        return cls(trained_model(target.checkpoint), TensorBatch.of(target.batch), target)

    def logit(self, pixels: Tensor, words: Tensor) -> Tensor:
        """(R,) logits of the label for R variants of the study at once.

        Args:
            pixels: (R, N, 1, S, S), the N films of the study. words: (R, T, hidden), its word embeddings.
        """
        return self.model.fuse(self.encoded(pixels, words)).logits[:, self.target.label]

    def encoded(self, pixels: Tensor, words: Tensor) -> EncodedTensors:
        """The tokens of R variants before fusion, arguments as for ``logit``; what the mode does not read is cut."""
        variants, films = pixels.shape[:2]
        row, slot = torch.arange(variants).repeat_interleave(films), self.batch.place[:, 1].repeat(variants)
        batch = TensorBatch(
            pixels=pixels.flatten(0, 1),
            place=torch.stack([row, slot], 1),
            views=self.batch.views.repeat(variants),
            read=self.batch.read.repeat(variants),
            slots=self.batch.slots,
            ids=self.batch.ids.expand(variants, -1),
            token_mask=self.batch.token_mask.expand(variants, -1),
            word_mask=self.batch.word_mask.expand(variants, -1),
        )
        return self.model.encode(batch, words).only(self.target.mode)

    @property
    def pixels(self) -> Tensor:
        """(1, N, 1, S, S)."""
        return self.batch.pixels[None]

    @property
    def words(self) -> Tensor:
        """(1, T, hidden)."""
        return self.model.text_encoder.words(self.batch.ids).detach()
