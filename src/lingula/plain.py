"""Answers as JSON: one rule for every dataclass, by which commands print, routes answer and the API is described.

A field stands in the JSON under its own name. ``field(metadata=HIDDEN)`` leaves it out, ``named("warnings")`` gives it
another name, and ``FLAT`` puts the fields of the dataclass it holds in its place. A class variable ``SHOWN`` adds
properties: name in the JSON to name of the property. Numbers have six decimals, what is not finite is null, sequences
are lists.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, cast

import numpy as np

DISCLAIMER = "For education and research. Not for diagnostic use."
DECIMALS = 6


def named(name: str) -> dict[str, str]:
    """Metadata of a field that has another name in the JSON."""
    return {"json": name}


HIDDEN = named("")
FLAT = named("*")


class JsonAnswer:
    """Base of a dataclass that commands print and the API answers."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """As commands print it and the API answers it; maps are left out (``--npz`` and ``--html`` carry them)."""
        return cast("dict[str, Any]", plain(self))


@cache
def members(kind: Hashable) -> tuple[tuple[str, str, Any], ...]:
    """What of a dataclass stands in its JSON.

    Returns:
        (name in the JSON, or ``*`` where the parts of the value stand for it; attribute; type) of each.
    """
    assert isinstance(kind, type)
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    own = [(each.metadata.get("json", each.name), each.name, hints[each.name]) for each in fields(kind)]
    shown: Mapping[str, str] = getattr(kind, "SHOWN", {})
    properties = [
        (name, attribute, typing.get_type_hints(getattr(kind, attribute).fget, include_extras=True)["return"])
        for name, attribute in shown.items()
    ]
    return tuple(member for member in (*own, *properties) if member[0])


def plain(value: Any) -> Any:
    """A value as ``json.dumps`` takes it: dataclasses by the rule above, arrays and sequences as lists."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is float:
        return round(value, DECIMALS) if math.isfinite(value) else None
    if kind is list or kind is tuple:
        return [plain(each) for each in value]
    if is_dataclass(kind):
        body: dict[str, Any] = {}
        for name, attribute, _ in members(cast(Hashable, kind)):
            part = plain(getattr(value, attribute))
            if name == "*":
                body |= part
            else:
                body[name] = part
        return body
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple | set | frozenset) else value


_AS_IT_IS = frozenset({str, int, bool, type(None)})
