"""What fixes a model's shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lingula.reading.preprocess import Preprocessing
from lingula.study import SectionName


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
