"""The findings one can search for by word, finer than the labels of ``openi22``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that reports name and searches ask for.

    Attributes:
        code: as in ``Assertion.finding`` ("effusion").
        name: for a reader.
        label: the code of ``openi22`` it belongs to; None where none covers it.
        wider: whether the label covers more than this finding.
        kind_of: code of the wider finding that it is a kind of (a chest tube is a tube), or None.
        headings: MeSH headings, in lower case, that name this very finding (a label may be wider).
    """

    code: str
    name: str
    label: str | None
    wider: bool
    headings: frozenset[str]
    kind_of: str | None = None


@cache
def search_findings() -> dict[str, Finding]:
    """The findings searched by word, by code, as ``assertions.json`` lists them."""
    data = json.loads(resources.files(__package__).joinpath("assertions.json").read_text("utf-8"))
    return {
        code: Finding(
            code, row["name"], row["label"], row.get("wider", False), frozenset(row["headings"]), row.get("kind_of")
        )
        for code, row in data["findings"].items()
    }


def label_of(code: str) -> str:
    """The label a finding belongs to; a label's own code, and that of a finding without a label, stays as it is."""
    found = search_findings().get(code)
    return found.label if found and found.label else code


def narrowest(codes: Iterable[str]) -> tuple[str, ...]:
    """These codes without the labels and findings for which a finer finding among them stands, in the order given."""
    codes, known = tuple(dict.fromkeys(codes)), search_findings()
    wider = {label_of(code) for code in codes if label_of(code) != code}
    wider |= {known[code].kind_of or "" for code in codes if code in known}
    return tuple(code for code in codes if code not in wider)


def label_meaning(code: str) -> str | None:
    """The label that means the same as a finding; None when its label covers more. A label's own code means itself."""
    found = search_findings().get(code)
    return code if found is None else None if found.wider else found.label


def short_name(name: str) -> str:
    """The first of the words that a label's name has for it: "Lung nodule" of "Lung nodule or mass"."""
    return name.partition(" or ")[0].partition(",")[0]


def in_prose(name: str) -> str:
    """A finding's name within a sentence: no capital at its start unless the word is written in capitals."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]
