"""What comes back: neighbours, how the question was understood, and what it was answered from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from lingula.errors import Notice
from lingula.frames import table_of
from lingula.plain import DISCLAIMER, JsonAnswer, named
from lingula.retrieval.query import Query, Unknown
from lingula.study import Neighbour


@dataclass(frozen=True, slots=True, eq=False)
class Answer(JsonAnswer):
    """The answer to a ``Query``.

    Attributes:
        matching: studies that meet the query's conditions; searched: studies of the library.
        model, library: fingerprints of what read the question and of what was searched.
    """

    query: Query
    neighbours: tuple[Neighbour, ...]
    matching: int
    searched: int
    notices: tuple[Notice, ...] = field(default=(), metadata=named("warnings"))
    model: str = ""
    library: str = ""
    seconds: float = 0.0

    SHOWN: ClassVar = {name: name for name in ("disclaimer", "understood", "not_understood")}

    @property
    def disclaimer(self) -> str:
        return DISCLAIMER

    @property
    def understood(self) -> tuple[str, ...]:
        return self.query.explain()

    @property
    def not_understood(self) -> tuple[Unknown, ...]:
        return self.query.not_understood

    def to_frame(self) -> Any:
        """The neighbours as a pandas table, a row each.

        Raises:
            InputError: ``bad_request`` where pandas is not installed.
        """
        return table_of(neighbour.to_json() for neighbour in self.neighbours)
