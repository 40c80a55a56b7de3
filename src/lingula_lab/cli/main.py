"""The laboratory's commands in ``lingula``: mounted where its extra is installed, else named with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import typer

from lingula.errors import InputError
from lingula_lab.cli import audit, bench, demo, evaluate, export, gallery, gate, phantom, relevance, train

BASE: tuple[Callable[..., Any], ...] = (phantom.phantom, demo.demo)
"""Commands that need nothing but the base."""
LABORATORY: tuple[Callable[..., Any], ...] = (
    train.split,
    train.prepare,
    train.graph,
    train.train,
    train.adapt,
    train.convert,
    evaluate.evaluate,
    evaluate.card,
    audit.audit,
    bench.bench,
    gallery.gallery,
    gate.gate,
    export.export,
    relevance.relevance,
)
"""Commands that need the extra ``lab``."""
PACKAGES = ("accelerate", "captum", "ir_measures", "onnxscript", "scipy", "sklearn", "torch", "transformers")
"""Packages that the extra ``lab`` brings."""


def register(app: typer.Typer) -> None:
    """Mount the commands; the entry point ``lingula.commands`` names this function."""
    for command in BASE:
        app.command()(command)
    installed = all(find_spec(name) is not None for name in PACKAGES)
    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    for command in LABORATORY:
        if installed:
            app.command()(command)
        else:
            app.command(command.__name__, context_settings=anything)(_absent(command.__name__))


def _absent(name: str) -> Callable[[typer.Context], None]:
    """What stands for a command of the laboratory where that is not installed."""

    def absent(context: typer.Context) -> None:
        raise InputError(
            "bad_request",
            f"lingula {name} belongs to the laboratory, which is not installed.",
            "pip install 'lingula[lab]'",
        )

    absent.__doc__ = "Not installed: pip install 'lingula[lab]'."
    return absent
