"""Packages of the extras, which not everybody has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lingula.errors import InputError


def optional(package: str, extra: str, what: str) -> Any:
    """A package, imported.

    Args:
        extra: of lingula, that installs it. what: needs it, in words.

    Raises:
        InputError: ``bad_request`` where it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        hint = f"Install it with pip install 'lingula[{extra}]'."
        raise InputError("bad_request", f"{what} needs the package {package.partition('.')[0]}.", hint) from error
