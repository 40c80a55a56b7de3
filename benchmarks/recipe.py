"""How many stages the embedded default's preset has, and which options of a recipe no preset sets.

    python benchmarks/recipe.py

Nothing is trained.
"""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files

from lingula_lab.training.loop import Recipe
from machine import write_result

DEFAULT = "compact"
"""The preset of the embedded default. The shipped weights are older and took ten stages (``results/training.md``)."""
NOT_OPTIONS = ("seed",)


def main() -> None:
    folder = files("lingula_lab.training").joinpath("presets")
    presets = {
        each.name.removesuffix(".json"): json.loads(each.read_text("utf-8"))["stages"]
        for each in folder.iterdir()
        if each.name.endswith(".json")
    }
    set_by_presets = {option for stages in presets.values() for stage in stages for option in _flat(stage)}
    options = [each.name for each in fields(Recipe) if each.name not in NOT_OPTIONS]
    never = sorted(option for option in options if option not in set_by_presets)
    stages = {name: len(presets[name]) for name in sorted(presets)}
    count = stages[DEFAULT]
    body = {"stages": stages, "options": len(options), "never_set_by_a_preset": never}
    headline = {
        "training_stages": {"value": count, "unit": "stages of the preset; the shipped weights took ten"},
        "recipe_options": {"value": len(options), "unit": "options"},
    }
    print(write_result("recipe", body, headline))
    print(body)


def _flat(stage: dict[str, object]) -> set[str]:
    """The options of a stage, also those in a part of it."""
    inner = (set(value) for value in stage.values() if isinstance(value, dict))
    return set(stage).union(*inner)


if __name__ == "__main__":
    main()
