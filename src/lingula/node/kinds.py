"""Kinds of result objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from lingula.errors import InputError

Kind = Literal["sr", "gsps", "sc", "seg", "ko", "pdf"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = ("sr", "gsps", "sc")


def checked_kinds(kinds: Sequence[str]) -> tuple[Kind, ...]:
    """Kinds in their own order.

    Raises:
        InputError: bad_request for an unknown one.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError("bad_request", f"no kind of result {unknown[0]!r}.", f"Kinds: {', '.join(KINDS)}.")
    return tuple(kind for kind in KINDS if kind in kinds)
