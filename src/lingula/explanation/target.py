"""One study, one label, one mode: the deployed forward as a function of its films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from lingula.model.batch import Batch, batch_studies
from lingula.model.checkpoint import Checkpoint
from lingula.model.forward import Encoded, Output, Trace
from lingula.study import Mode, Report, Study

Floats = npt.NDArray[np.float32]
RASTER = 8
"""Side of the raster of means that is left of a blurred film."""


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

    def encoded(self, pixels: Floats) -> Encoded:
        """The tokens before fusion of R variants of the study, which differ in their films, (R, N, 1, S, S).

        What the mode does not read is neither computed nor there.
        """
        variants, films = pixels.shape[:2]
        if self.mode == "text":
            films = 0
        batch = Batch(
            pixels=np.ascontiguousarray(pixels[:, :films].reshape(-1, *pixels.shape[2:])),
            place=np.stack([np.arange(variants).repeat(films), np.tile(self.batch.place[:films, 1], variants)], 1),
            views=np.tile(self.batch.views[:films], variants),
            read=np.tile(self.batch.read[:films], variants),
            slots=self.batch.slots if films else 0,
            ids=np.zeros((variants, 0), np.int64),
            token_mask=np.zeros((variants, 0), np.bool_),
            word_mask=np.zeros((variants, 0), np.bool_),
        )
        found = self.checkpoint.model.encode(batch)
        if self.mode == "image":
            return found
        words = self.checkpoint.model.encode(self._words)
        repeated = words.rows([0] * variants)
        return replace(found, text=repeated.text, text_mask=repeated.text_mask, terms=repeated.terms)

    @property
    def _words(self) -> Batch:
        """The study's report alone."""
        batch, none = self.batch, np.zeros((0, *self.batch.pixels.shape[1:]), np.float32)
        return replace(batch, pixels=none, place=batch.place[:0], views=batch.views[:0], read=batch.read[:0], slots=0)

    def forward(self, pixels: Floats | None = None) -> Output:
        """The deployed forward of R variants of the study at once, as for ``encoded``; by default of the study."""
        return self.checkpoint.model.fuse(self.encoded(self.pixels if pixels is None else pixels))

    def trace(self) -> Trace:
        """The deployed forward of the study, with what led to it."""
        return self.checkpoint.model.trace(self.encoded(self.pixels))

    def logit(self, pixels: Floats) -> Floats:
        """(R,) logits of the label."""
        return np.asarray(self.forward(pixels).logits[:, self.label])

    def logit_with(self, encoded: Encoded, film: int, pixels: Floats) -> Floats:
        """(R,) logits of the label where one film of a study, encoded otherwise, is pixels (R, 1, S, S)."""
        model, slot = self.checkpoint.model, int(self.batch.place[film, 1])
        variants = model.with_film(encoded, slot, pixels, int(self.batch.views[film]))
        return np.asarray(model.fuse(variants).logits[:, self.label])

    @property
    def pixels(self) -> Floats:
        """(1, N, 1, S, S)."""
        return self.batch.pixels[None]

    @property
    def films(self) -> int:
        """How many the mode reads."""
        return len(self.batch.pixels) if self.mode != "text" else 0

    @property
    def tokens(self) -> int:
        """How many of the report the mode reads."""
        return self.batch.ids.shape[1] if self.mode != "image" else 0

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """For each of the T tokens its (start, end) in the report's text."""
        report = self.study.report
        return self.checkpoint.tokenizer(report).spans if report and not report.is_empty else ()


def blurred(pixels: Floats) -> Floats:
    """(..., S, S) with all detail gone and the grey levels kept: means over an 8 by 8 raster, joined smoothly."""
    blur = _blur(pixels.shape[-1])
    return np.asarray(blur @ pixels @ blur.T, np.float32)


@cache
def _blur(size: int) -> Floats:
    """(S, S): means over ``RASTER`` equal parts of a line, and from these by linear interpolation between their
    middles a line again."""
    means = np.zeros((RASTER, size))
    for part in range(RASTER):
        start, end = part * size // RASTER, -(-(part + 1) * size // RASTER)
        means[part, start:end] = 1 / (end - start)
    at = np.clip((np.arange(size) + 0.5) * RASTER / size - 0.5, 0, None)
    low = np.minimum(at.astype(int), RASTER - 1)
    joined = np.zeros((size, RASTER))
    np.add.at(joined, (np.arange(size), low), 1 - (at - low))
    np.add.at(joined, (np.arange(size), np.minimum(low + 1, RASTER - 1)), at - low)
    return np.asarray(joined @ means, np.float32)


def without(report: Report, spans: Sequence[tuple[int, int]]) -> Report:
    """The report with these characters blanked, all others where they were."""
    text = list(report.text)
    for start, end in spans:
        text[start:end] = " " * (end - start)
    return replace(report, text="".join(text))
