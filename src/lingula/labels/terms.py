"""A MeSH term as Open-i codes it: ``Heading/qualifier/qualifier`` in ``<MeSH><major>``.

Open-i's qualifiers are not MeSH subheadings; they name site, side, size and manner, in any order
(Demner-Fushman et al. 2016, JAMIA 23(2):304-310).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """A heading and its qualifiers, in lower case with single spaces."""

    heading: str
    qualifiers: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Term:
        """Read ``Pleural Effusion/right/small``; letter case and doubled spaces vary in the files and do not count."""
        heading, *qualifiers = (plain(part) for part in text.split("/"))
        return cls(heading, frozenset(filter(None, qualifiers)))


def plain(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.lower().split())
