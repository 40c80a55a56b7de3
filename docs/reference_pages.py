"""Write the pages that are made from the code: commands.md, python.md, and tutorial.md from the notebook.

    python docs/reference_pages.py

A test compares the pages under version control with what this makes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MADE = "<!-- Made by docs/reference_pages.py; changes belong in the code. -->"
ROOMS = {
    "reading": "Reading",
    "model": "Model",
    "library": "Library",
    "retrieval": "Search",
    "explanation": "Evidence",
    "analysis": "The whole answer",
    "page": "Pages",
    "study": "Types",
    "errors": "Errors",
}
"""Sections of python.md by the folder or module a public name is defined in, in the order of a case."""
HEADINGS = ("Args", "Attributes", "Returns", "Raises")


# -- commands.md
INHERITED = {
    "Library": ("add_many", "close", "discard", "holders", "ids", "note_copy", "refusals", "refuse_all", "status")
}
"""Methods of a base class that users call."""


def commands_page() -> str:
    """Every command of ``lingula`` with its help, arguments and options."""
    import typer.main

    from lingula.cli.main import app

    parts = [
        f"{MADE}\n# Commands\n",
        "Every command takes `--help`, and `--json` for one JSON object on standard output; what is meant for\n"
        "people goes to standard error or a table. Exit codes: 0 done, 1 refused, 2 wrong usage, 130 interrupted.\n"
        "A refusal names its code: [limits.md](limits.md).\n",
    ]
    leaves = sorted(_leaves(typer.main.get_command(app), ()))
    parts.append(
        "\n".join(f"- [`lingula {name}`](#{_anchor(name)}): {_summary(text)}" for name, text, _ in leaves) + "\n"
    )
    for name, text, parameters in leaves:
        parts.append(f"## lingula {name}\n\n{_help(text)}\n")
        rows = [_parameter(each) for each in parameters if each.name != "help"]
        parts.append("| argument or option | meaning | default |\n|---|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, list[Any]]]:
    """(words, help, parameters) of each command that does something, none of the groups."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), inspect.cleandoc(command.help or ""), list(command.params)
    for name, part in (inner or {}).items():
        yield from _leaves(part, (*path, name))


def _anchor(name: str) -> str:
    return "lingula-" + name.replace(" ", "-")


def _summary(text: str) -> str:
    """The first sentence of a help text, on one line."""
    paragraph = " ".join(_plain(text.split("\n\n")[0]).split())
    return re.split(r"(?<=\w\.) ", paragraph)[0]


def _plain(text: str) -> str:
    """Rich's markup for a terminal as Markdown."""
    return re.sub(r"\[bold\](.+?)\[/\]", lambda found: "`" + " ".join(found[1].split()) + "`", text, flags=re.DOTALL)


def _help(text: str) -> str:
    """The help in paragraphs, its examples as a block of shell lines."""
    examples = re.findall(r"Example: \[bold\](.+?)\[/\]", text)
    told = [part for part in text.split("\n\n") if "Example: [bold]" not in part]
    return "\n\n".join(_plain(part) for part in told) + "\n\n```sh\n" + "\n".join(examples) + "\n```"


def _parameter(each: Any) -> str:
    """One row of a command's table."""
    words = [*each.opts, *each.secondary_opts]
    name = (
        " ".join(f"`{word}`" for word in words)
        if words[0].startswith("-")
        else f"`{each.metavar or each.name.upper()}`"
    )
    told = _plain(getattr(each, "help", None) or "").replace("|", "\\|")
    if getattr(each, "envvar", None):
        told += f" Environment: `{each.envvar}`."
    default = each.default if not callable(each.default) else None
    shown = (
        "required" if each.required else "" if default is None or default is False or default == "" else f"`{default}`"
    )
    return f"| {name} | {told} | {shown or '–'} |\n"


# -- python.md


def python_page() -> str:
    """Every public name of the package with its signature and docstring."""
    import lingula

    names: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name in sorted(lingula.__all__, key=lambda name: (name[0].isupper(), name)):
        names[getattr(lingula, name).__module__.split(".")[1]].append(name)
    parts = [
        f"{MADE}\n# Python\n",
        "`import lingula` gives the names on this page; everything else may change between versions. A name is\n"
        "imported when it is first used, because torch takes seconds to load. One order of arguments everywhere:\n"
        "what is asked about, then the model, then the library. Every path may be a `str` or a `PathLike`.\n",
    ]
    for room, title in ROOMS.items():
        if names[room]:
            parts.append(f"## {title}\n")
            parts += [_entry(name, getattr(lingula, name)) for name in names[room]]
    return "\n".join(parts)


def _entry(name: str, target: Any) -> str:
    """Heading, signature, docstring; of a class its public methods, too."""
    inherited = [base.__name__ for base in getattr(target, "__mro__", ())[1:2] if base is not object]
    if inspect.isclass(target) and issubclass(target, Exception):
        signature = f"class {name}({', '.join(inherited)})"
    elif is_dataclass(target):
        signature = f"class {name}:\n" + "\n".join(f"    {line}" for line in _fields(target))
    elif inspect.isclass(target):
        signature = f"class {name}"
    else:
        signature = _signature(name, target)
    parts = [f"### {name}\n", f"```python\n{signature}\n```\n", _docstring(inspect.getdoc(target) or "")]
    if inspect.isclass(target) and not issubclass(target, Exception):
        own = {method: raw for method, raw in vars(target).items() if not method.startswith("_")}
        own |= {method: inspect.getattr_static(target, method) for method in INHERITED.get(name, ())}
        parts += [_method(name, method, raw) for method, raw in own.items()]
    return "\n".join(part for part in parts if part)


def _fields(target: Any) -> Iterator[str]:
    """The fields of a dataclass as they are declared."""
    for each in fields(target):
        yield f"{each.name}: {each.type}{_default(each)}"


def _default(each: Field[Any]) -> str:
    if each.default is not MISSING:
        return f" = {_Shown.default(each.default)!r}"
    return " = …" if each.default_factory is not MISSING else ""


def _method(owner: str, name: str, raw: Any) -> str:
    """A public method or property that has a docstring; others are plain by their name."""
    function = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
    if not inspect.isfunction(function) or not function.__doc__:
        return ""
    if isinstance(raw, property):
        signature = f"{owner}.{name} -> {function.__annotations__.get('return', 'Any')}"
    else:
        signature = _signature(
            f"{owner}.{name}", function, without=() if isinstance(raw, staticmethod) else ("self", "cls")
        )
    return f"#### {owner}.{name}\n\n```python\n{signature}\n```\n\n{_docstring(inspect.cleandoc(function.__doc__))}"


def _signature(name: str, function: Any, without: tuple[str, ...] = ()) -> str:
    """One argument a line where one line would be too long."""
    found = inspect.signature(function)
    kept = [
        each.replace(default=_Shown.default(each.default), annotation=_Shown.annotation(each.annotation))
        for each in found.parameters.values()
        if each.name not in without
    ]
    result = "" if found.return_annotation is found.empty else f" -> {_Shown.annotation(found.return_annotation)}"
    told = f"{name}{found.replace(parameters=kept, return_annotation=found.empty)}{result}"
    if len(told) <= 88:
        return told
    named = [number for number, each in enumerate(kept) if each.kind is each.KEYWORD_ONLY]
    arguments = [str(each) for each in kept]
    if named:
        arguments.insert(named[0], "*")
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){result}"


class _Shown:
    """Text that stands for an annotation or a default value, without quotes and without an address of this process."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    @classmethod
    def annotation(cls, value: Any) -> Any:
        return value if value is inspect.Parameter.empty else cls(value if isinstance(value, str) else value.__name__)

    @classmethod
    def default(cls, value: Any) -> Any:
        """Empty mappings and functions by what they are, plain values as they are."""
        if isinstance(value, str):
            return cls(json.dumps(value, ensure_ascii=False))
        if value is inspect.Parameter.empty or isinstance(value, int | float | tuple | type(None)):
            return value
        return cls("{}" if value == {} else "…")


def _docstring(text: str) -> str:
    """A docstring as Markdown: paragraphs, and a list under each of ``HEADINGS``."""
    parts = re.split(rf"^({'|'.join(HEADINGS)}):\n", text, flags=re.MULTILINE)
    told = [_paragraphs(parts[0])]
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        told.append(f"**{heading}**\n\n" + "\n".join(_items(inspect.cleandoc("\n" + body))) + "\n")
    return "\n".join(told)


def _paragraphs(text: str) -> str:
    """Text outside lists; lines that stand deeper are code."""
    return _ticks(text.strip()) + "\n"


def _items(text: str) -> Iterator[str]:
    """The entries of a list: each begins at the margin, its other lines stand deeper."""
    for entry in re.split(r"\n(?=\S)", text.strip()):
        line = " ".join(entry.split())
        found = re.match(r"([\w, .*]{1,60}): (.+)", line)
        yield f"- `{found[1]}`: {_ticks(found[2])}" if found else f"- {_ticks(line)}"


def _ticks(text: str) -> str:
    return text.replace("``", "`")


# -- tutorial.md


def tutorial_page() -> str:
    """The notebook's cells in their order."""
    cells = json.loads((HERE / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = [MADE]
    for cell in cells:
        text = "".join(cell["source"]).strip()
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


PAGES = {"commands.md": commands_page, "python.md": python_page, "tutorial.md": tutorial_page}


def main() -> None:
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
