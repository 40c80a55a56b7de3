"""The words of the pages, each with one meaning: shown on hover, and all of them on one page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class GlossaryTerm:
    """A word of the pages; ``key`` is its place on the page of words."""

    key: str
    name: str
    meaning: str


@cache
def glossary() -> dict[str, GlossaryTerm]:
    """Every term by its key, in the order of the file."""
    text = files("lingula.page").joinpath("glossary.json").read_text(encoding="utf-8")
    return {key: GlossaryTerm(key, name, meaning) for key, (name, meaning) in json.loads(text).items()}
