"""One study, one label, one mode: the deployed forward as a function of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lingula.model.checkpoint import Checkpoint
from lingula.model.study_model import Batch, Encoded, Output, batch_studies
from lingula.study import Mode, Report, Study


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is to be explained.

    Attributes:
        batch: the study alone. label: row of the vocabulary. mode: which modalities are read.
    """

    checkpoint: Checkpoint
    study: Study
    batch: Batch
    label: int
    mode: Mode

    @classmethod
    def ask(cls, checkpoint: Checkpoint, study: Study, label: str, mode: Mode) -> Target:
        batch = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
        return cls(checkpoint, study, batch, checkpoint.vocabulary.codes.index(label), mode)

    def forward(self, pixels: Tensor, words: Tensor) -> Output:
        """The deployed forward of R variants of the study at once.

        Args:
            pixels: (R, N, 1, S, S), the N films of the study. words: (R, T, hidden), its word embeddings.
        """
        return self.checkpoint.model.fuse(self.encoded(pixels, words))

    def encoded(self, pixels: Tensor, words: Tensor) -> Encoded:
        """The tokens of R variants before fusion, arguments as for ``forward``; what the mode does not read is cut."""
        variants, films = pixels.shape[:2]
        row, slot = torch.arange(variants).repeat_interleave(films), self.batch.place[:, 1].repeat(variants)
        batch = Batch(
            pixels=pixels.flatten(0, 1),
            place=torch.stack([row, slot], 1),
            views=self.batch.views.repeat(variants),
            slots=self.batch.slots,
            ids=self.batch.ids.expand(variants, -1),
            token_mask=self.batch.token_mask.expand(variants, -1),
            word_mask=self.batch.word_mask.expand(variants, -1),
        )
        return self.checkpoint.model.encode(batch, words).only(self.mode)

    def logit(self, pixels: Tensor, words: Tensor) -> Tensor:
        """(R,) logits of the label."""
        return self.forward(pixels, words).logits[:, self.label]

    def logit_with(self, encoded: Encoded, film: int, pixels: Tensor) -> Tensor:
        """(R,) logits of the label where one film of a study, encoded otherwise, is pixels (R, 1, S, S)."""
        model, slot = self.checkpoint.model, int(self.batch.place[film, 1])
        variants = model.with_film(encoded, slot, pixels, self.batch.views[film])
        return model.fuse(variants).logits[:, self.label]

    @property
    def pixels(self) -> Tensor:
        """(1, N, 1, S, S)."""
        return self.batch.pixels[None]

    @property
    def words(self) -> Tensor:
        """(1, T, hidden)."""
        return self.checkpoint.model.text_encoder.words(self.batch.ids).detach()

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """For each of the T tokens its (start, end) in the report's text."""
        report = self.study.report
        return self.checkpoint.tokenizer(report).spans if report and not report.is_empty else ()


def blurred(pixels: Tensor) -> Tensor:
    """(..., S, S) with all detail gone and the grey levels kept: means over an 8 by 8 raster, joined smoothly."""
    flat = pixels.reshape(-1, 1, *pixels.shape[-2:])
    coarse = F.adaptive_avg_pool2d(flat, 8)
    return F.interpolate(coarse, pixels.shape[-2:], mode="bilinear", align_corners=False).view_as(pixels)


def without(report: Report, spans: Sequence[tuple[int, int]]) -> Report:
    """The report with these characters blanked, all others where they were."""
    text = list(report.text)
    for start, end in spans:
        text[start:end] = " " * (end - start)
    return replace(report, text="".join(text))
