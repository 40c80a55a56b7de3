"""What comes back: neighbours, how the question was understood, and what it was answered from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lingula.errors import Notice
from lingula.retrieval.query import Query
from lingula.study import DISCLAIMER, Neighbour


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a ``Query``.

    Attributes:
        matching: studies that meet the query's conditions; searched: studies of the library.
        model, library: fingerprints of what read the question and of what was searched.
    """

    query: Query
    neighbours: tuple[Neighbour, ...]
    matching: int
    searched: int
    notices: tuple[Notice, ...] = ()
    model: str = ""
    library: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json`` and the server."""
        return {
            "disclaimer": DISCLAIMER,
            "query": self.query.to_json(),
            "understood": list(self.query.explain()),
            "not_understood": [asdict(unknown) for unknown in self.query.not_understood],
            "matching": self.matching,
            "searched": self.searched,
            "neighbours": [neighbour.to_json() for neighbour in self.neighbours],
            "warnings": [notice.to_json() for notice in self.notices],
            "model": self.model,
            "library": self.library,
            "seconds": round(self.seconds, 4),
        }
