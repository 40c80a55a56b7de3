"""The JSON of the HTTP API, as its OpenAPI document describes it: made from the dataclasses that are answered."""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from lingula.plain import members


@cache
def answer(kind: Hashable) -> Any:
    """The model of a dataclass as ``lingula.plain`` makes JSON of it; a dataclass that is read from JSON is its own."""
    if hasattr(kind, "__pydantic_config__"):
        return kind
    assert isinstance(kind, type)
    parts: dict[str, Any] = {name: (hint, ...) for name, hint in _parts(kind).items()}
    return create_model(kind.__name__, __doc__=kind.__doc__, __module__=kind.__module__, **parts)


def _parts(kind: Hashable) -> dict[str, Any]:
    """Type by name in the JSON."""
    found: dict[str, Any] = {}
    for name, _, hint in members(kind):
        found |= _parts(hint) if name == "*" else {name: _typed(hint)}
    return found


def _typed(hint: Any) -> Any:
    """The type of a value in JSON."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return Annotated.__class_getitem__((_typed(parts[0]), *hint.__metadata__))
    if kind in (Union, types.UnionType):
        return Union.__getitem__(tuple(_typed(part) for part in parts))
    if kind is tuple and parts[-1] is not Ellipsis:
        return tuple.__class_getitem__(tuple(_typed(part) for part in parts))
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return dict.__class_getitem__((parts[0], _typed(parts[1])))
    if isinstance(kind, type) and issubclass(kind, Sequence | set | frozenset):
        return list.__class_getitem__(_typed(parts[0]))
    if isinstance(hint, type) and is_dataclass(hint):
        return answer(hint)
    return str if hint is Path else hint


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TokenBody(Body):
    token: str = Field(max_length=1000)


class QuestionBody(Body):
    """Words to understand; ``address`` is that of the search they are added to."""

    text: str = Field("", max_length=2000)
    also: str = Field("", max_length=2000)
    without: str = Field("", max_length=2000)
    address: str = Field("", max_length=8000)


class FolderBody(Body):
    """A folder of the server's own machine."""

    folder: str = Field(max_length=4096)


class DeletionRequestBody(Body):
    """What to delete: studies by their ids, or all of a patient, or all of a sender."""

    studies: list[str] = Field(default=[], max_length=1000)
    patient: str = Field(default="", max_length=256)
    sender: str = Field(default="", max_length=256)


class TickedBody(Body):
    """Findings that were ticked, and how sure in percent."""

    chosen: list[str] = Field(max_length=50)
    confidence: int = Field(70, ge=0, le=100)


class BoxBody(Body):
    """A box on a film of a case, in the film's pixels; ``film`` is its row."""

    film: int = Field(0, ge=0, le=1000)
    x: int = Field(ge=0, le=100_000)
    y: int = Field(ge=0, le=100_000)
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)
    mirrored: bool = False
    k: int = Field(5, ge=1, le=100)
