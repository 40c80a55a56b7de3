"""Public names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def deferred(package: str, home: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], list[str]]:
    """The ``__getattr__`` of a package (PEP 562) that imports a name when somebody asks for it, and its ``__all__``.

    Args:
        package: its ``__name__``.
        home: names by the module, relative to the package, that defines them.
    """
    module_of = {name: f"{package}.{module}" for module, names in home.items() for name in names}

    def attribute(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return attribute, sorted(module_of)
