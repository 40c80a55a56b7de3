"""What fixes a model's shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lingula.reading.preprocess import Preprocessing
from lingula.study import SectionName

STORED = {"word_terms": "voices"}
"""Fields that checkpoints hold by another name."""


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
        word_terms: whether each distinct word adds to the state by itself, too, see ``StudyModel.word_terms``;
            stored as ``voices``.
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
    word_terms: bool = False
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        return {STORED.get(name, name): value for name, value in body.items()}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Architecture:
        names = {stored: name for name, stored in STORED.items()}
        body = {names.get(name, name): value for name, value in body.items()}
        body["preprocessing"] = Preprocessing(**body["preprocessing"])
        listed = ("levels", "text_levels", "sections")
        return cls(**{**body, **{name: tuple(body[name]) for name in listed if name in body}})
