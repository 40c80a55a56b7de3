"""The joint model: any mix of radiographs and report to one embedding, one logit a label, and the attention between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingula.errors import InputError, Notice
from lingula.model.fusion import Fused, Fusion
from lingula.model.image_encoder import ImageEncoder
from lingula.model.text_encoder import ReportTokenizer, TextEncoder, Tokens
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import VIEWS, Mode, SectionName, Study, View, unique_notices


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that fixes the model's shape; travels in the checkpoint.

    Attributes:
        image, text: ``transformers`` configurations as plain data.
        levels, grid, fold, trunks: see ``ImageEncoder``. text_levels: see ``TextEncoder``.
        width: of the fusion. dimension: of the joint space.
        layers, heads, hidden, adapter, shared, dropout: see ``Fusion``.
        sections: read by the text encoder, most important first. tokens: most it reads.
        markers: whether a vocabulary learnt for it marks what the report asserts, see ``ReportTokenizer``.
        voices: whether each distinct word adds to the state by itself, too, see ``StudyModel.voices``.
        labels: how many.
    """

    image: dict[str, Any]
    text: dict[str, Any]
    labels: int
    grid: int = 7
    levels: tuple[int, ...] = ()
    fold: bool = False
    trunks: int = 1
    text_levels: tuple[int, ...] = ()
    width: int = 256
    dimension: int = 256
    layers: int = 2
    heads: int = 4
    hidden: int = 512
    adapter: int = 32
    shared: bool = True
    dropout: float = 0.1
    sections: tuple[SectionName, ...] = ("findings", "impression", "indication")
    tokens: int = 192
    markers: bool = False
    voices: bool = False
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Architecture:
        body = dict(body, preprocessing=Preprocessing(**body["preprocessing"]))
        listed = ("levels", "text_levels", "sections")
        return cls(**{**body, **{name: tuple(body[name]) for name in listed if name in body}})


@dataclass(frozen=True, slots=True)
class Batch:
    """Studies as tensors.

    Attributes:
        pixels: (N, 1, S, S) float32, the N radiographs of all studies, in study order.
        place: (N, 2) int64, for each radiograph its study's row and its slot among the study's views.
        views: (N,) int64 into ``VIEWS``.
        slots: V, most radiographs of one study; 0 when nobody has any.
        ids: (B, T) int64 token ids. token_mask: (B, T) bool, padding False. word_mask: also special tokens False.
    """

    pixels: Tensor
    place: Tensor
    views: Tensor
    slots: int
    ids: Tensor
    token_mask: Tensor
    word_mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        names = ("pixels", "place", "views", "ids", "token_mask", "word_mask")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def collate(
    films: Sequence[Sequence[tuple[np.ndarray[Any, Any], View]]],
    tokens: Sequence[Tokens | None],
    *,
    size: int,
    pad: int,
) -> Batch:
    """Inputs of B studies to a batch: ``films[b]`` holds (input (S, S), view) pairs, ``tokens[b]`` a report or None."""
    flat = [(b, slot, film, view) for b, study in enumerate(films) for slot, (film, view) in enumerate(study)]
    length = max((len(t.ids) for t in tokens if t), default=0)
    ids = torch.full((len(films), length), pad)
    token_mask, word_mask = (torch.zeros(len(films), length, dtype=torch.bool) for _ in range(2))
    for b, report in enumerate(tokens):
        if report:
            ids[b, : len(report.ids)] = torch.tensor(report.ids)
            token_mask[b, : len(report.ids)] = True
            word_mask[b, : len(report.ids)] = torch.tensor(report.is_word)
    return Batch(
        pixels=torch.from_numpy(np.stack([f for _, _, f, _ in flat])[:, None])
        if flat
        else torch.zeros(0, 1, size, size),
        place=torch.tensor([(b, slot) for b, slot, _, _ in flat], dtype=torch.long).reshape(-1, 2),
        views=torch.tensor([VIEWS.index(view) for *_, view in flat], dtype=torch.long),
        slots=max((len(study) for study in films), default=0),
        ids=ids,
        token_mask=token_mask,
        word_mask=word_mask,
    )


def batch_studies(studies: Sequence[Study], preprocessing: Preprocessing, tokenizer: ReportTokenizer) -> Batch:
    """Studies through the one pixel path and the one tokenisation."""
    films = [[(to_input(image, preprocessing), image.view) for image in study.radiographs] for study in studies]
    tokens = [tokenizer(study.report) if study.report and not study.report.is_empty else None for study in studies]
    return collate(films, tokens, size=preprocessing.size, pad=tokenizer.pad)


def legible(study: Study, tokenizer: ReportTokenizer) -> Study:
    """The study; without the sections of a report of which the tokenizer knows no word, and with notice
    report_empty."""
    if study.report is None or study.report.is_empty or tokenizer.knows(study.report):
        return study
    notice = Notice("report_empty", "The model knows no word of the report: it is not read.")
    return replace(study, report=study.report.only(), notices=unique_notices((*study.notices, notice)))


def study_mode(study: Study, asked: Mode | None = None) -> Mode:
    """The mode asked for, by default the one that reads all that tells what a study shows: beside a film, an indication
    alone does not (it is why the film was taken), and joint mode would take its silence for absence.

    Raises:
        InputError: ``report_empty`` when it has no film and nothing in its report was read; ``bad_request`` when it has
            neither film nor report, or lacks what the mode reads.
    """
    text = study.report is not None and not study.report.is_empty
    if not study.radiographs and not text:
        if study.report is not None or any(notice.code == "report_empty" for notice in study.notices):
            raise nothing_read(study)
        raise InputError("bad_request", f"Study {study.study_id} has neither a radiograph nor report text.")
    most: Mode = "joint" if study.radiographs and text else "image" if study.radiographs else "text"
    told = study.report is not None and not study.report.only("findings", "impression").is_empty
    if most == "joint" and asked is None and not told:
        return "image"
    if most != "joint" and asked not in (None, most):
        raise InputError(
            "bad_request", f"Study {study.study_id} cannot be read in {asked} mode.", f"It has {most} only."
        )
    return asked or most


def nothing_read(study: Study) -> InputError:
    """The refusal of a study without a film, from whose report nothing was learnt; with the reason first noticed."""
    told = (notice.message for notice in study.notices if notice.code in ("report_language", "report_empty"))
    reason = next(told, f"Nothing in the report of study {study.study_id} was read.")
    return InputError("report_empty", reason, "Give a report in English that says what is seen, or a film.")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Both encoders' tokens, before fusion: image (B, V * P, W), text (B, T, W), masks bool; and what the words add to
    the state by themselves, (B, T, D)."""

    image: Tensor
    image_mask: Tensor
    text: Tensor
    text_mask: Tensor
    voices: Tensor

    def only(self, mode: Mode) -> Encoded:
        """The same studies with one modality hidden; ``joint`` hides nothing."""
        images = 0 if mode == "text" else self.image.shape[1]
        words = 0 if mode == "image" else self.text.shape[1]
        return Encoded(
            self.image[:, :images],
            self.image_mask[:, :images],
            self.text[:, :words],
            self.text_mask[:, :words],
            self.voices[:, :words],
        )


@dataclass(frozen=True, slots=True)
class Output:
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
        self.voice = nn.Embedding(a.text["vocab_size"], a.dimension) if a.voices else None
        if self.voice is not None:
            nn.init.zeros_(self.voice.weight)
        self.dropout = nn.Dropout(a.dropout)
        self.head = nn.Linear(a.dimension, a.labels)

    @property
    def patches(self) -> int:
        return self.architecture.grid**2

    def encode(self, batch: Batch, words: Tensor | None = None, grids: Tensor | None = None) -> Encoded:
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
            mask = mask.index_put((batch.place[:, 0], batch.place[:, 1]), torch.tensor(True, device=mask.device))
        width = self.architecture.width
        if batch.ids.shape[1]:
            # A row without text must not be all masked: its tokens are read, and then ignored.
            readable = batch.token_mask | ~batch.token_mask.any(1, keepdim=True)
            words = self.text_encoder.words(batch.ids) if words is None else words
            text = self.text_encoder(words, readable)
            voices = self.voices(batch, words)
        else:
            text = torch.zeros(size, 0, width, device=batch.ids.device)
            voices = torch.zeros(size, 0, self.architecture.dimension, device=batch.ids.device)
        return Encoded(image.flatten(1, 2), mask.repeat_interleave(patches, 1), text, batch.word_mask, voices)

    def with_film(self, encoded: Encoded, slot: int, pixels: Tensor, view: Tensor) -> Encoded:
        """R variants of one encoded study, in which the film in a slot is another: pixels (R, 1, S, S), view () its
        place in ``VIEWS``. Nothing else is encoded anew."""
        count, start = len(pixels), slot * self.patches
        tokens = self._film_tokens(pixels, view.expand(count))
        image = encoded.image.to(tokens.dtype).expand(count, -1, -1)
        parts = (image[:, :start], tokens, image[:, start + self.patches :])
        others = (encoded.image_mask, encoded.text, encoded.text_mask, encoded.voices)
        return Encoded(torch.cat(parts, 1), *(part.expand(count, *part.shape[1:]) for part in others))

    def _film_tokens(self, pixels: Tensor, views: Tensor, grids: Tensor | None = None) -> Tensor:
        """pixels (N, 1, S, S) and views (N,) to (N, P, W)."""
        tokens: Tensor = self.image_encoder(pixels, grids) + self.view_embedding(views)[:, None]
        return tokens

    def voices(self, batch: Batch, words: Tensor) -> Tensor:
        """What each word or marker adds to the state whatever stands around it (Cheng et al. 2016, the wide part), the
        first time it is read: (B, T, D), 0 without such a part.

        It is a linear function of the word's embedding (as it is: all of it; the embedding at 0: nothing), so that a
        gradient with respect to ``words`` (B, T, hidden) knows of it.
        """
        if self.voice is None:
            return words.new_zeros(*words.shape[:2], self.architecture.dimension)
        own = self.text_encoder.words(batch.ids)
        loudness = (words * own).sum(-1) / own.square().sum(-1).clamp(min=1e-8)  # (B, T)
        before = (batch.ids[:, :, None] == batch.ids[:, None]).tril(-1).any(-1)  # (B, T)
        voices: Tensor = self.voice(batch.ids) * (loudness * (batch.word_mask & ~before))[..., None]
        return voices

    def fuse(self, encoded: Encoded) -> Output:
        """Fusion, pooling and head over what the masks let through."""
        fused = self.fusion(encoded.image, encoded.image_mask, encoded.text, encoded.text_mask)
        fused = replace(fused, voices=encoded.voices)
        state = self.contributions(fused).sum(1)  # (B, D)
        return Output(F.normalize(state, dim=-1), self.head(self.dropout(state)), state, fused)

    def contributions(self, fused: Fused) -> Tensor:
        """What each token adds to the state: (B, (1 + V * P) + (1 + T), D), image tokens first.

        The state is the mean over the modalities present of a weighted mean over their tokens: each head of a gate
        weighs them (softmax) for its slice of the D dimensions, so that one word or patch can speak for a small one.
        The gate reads normalised tokens, the sum the tokens themselves: how strongly a patch answers is what it tells.
        Masked tokens and stand-ins contribute exactly 0. Words add what they do by themselves (``voices``).
        """
        parts, present = [], []
        for tokens, mask, norm, gate, projector in (
            (fused.image, fused.image_mask, self.image_norm, self.image_gate, self.image_projector),
            (fused.text, fused.text_mask, self.text_norm, self.text_gate, self.text_projector),
        ):
            own = mask.clone()
            own[:, 0] = False  # the stand-in lends its attention, not its voice
            share = gate(norm(tokens)).masked_fill(~own[..., None], -1e4).softmax(1) * own[..., None]  # (B, N, heads)
            slices = self.architecture.dimension // self.architecture.heads
            parts.append(projector(tokens) * share.repeat_interleave(slices, -1))
            present.append(own.any(1))
        if fused.voices is not None:
            parts[1] = parts[1] + F.pad(fused.voices, (0, 0, 1, 0))
        modalities = torch.stack(present).sum(0).clamp(min=1)  # (B,)
        return torch.cat(parts, 1) / modalities[:, None, None]

    def forward(
        self, batch: Batch, modes: Sequence[Mode] = ("joint",), grids: Tensor | None = None
    ) -> dict[Mode, Output]:
        """The answer in each mode; the encoders run once."""
        encoded = self.encode(batch, grids=grids)
        return {mode: self.fuse(encoded.only(mode)) for mode in modes}
