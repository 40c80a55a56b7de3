"""A vocabulary: an ordered set of labels, each defined by rules over the human MeSH coding of a study.

Three ship with the package: ``openi22``, ours, over heading and qualifiers; for comparison ``card22``, the groups of an
earlier published system over headings alone, and ``txrv14``, fourteen names that public models answer in. The rules are
data; the file's ``about`` field explains them.
A vocabulary travels inside every checkpoint, so a model always answers in the labels it was trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.labels.terms import Term, plain
from lingula.types import FilePath

Match = Literal["exact", "close", "broad", "narrow"]
SHIPPED = ("openi22", "card22", "txrv14")
ONTOLOGIES = ("mesh", "radlex", "doid")


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches a term by heading, and by qualifiers: every one of ``all``, one of ``any``, none of ``none``."""

    headings: frozenset[str]
    all: frozenset[str] = frozenset()
    any: frozenset[str] = frozenset()
    none: frozenset[str] = frozenset()

    def matches(self, term: Term) -> bool:
        return (
            term.heading in self.headings
            and self.all <= term.qualifiers
            and (not self.any or not self.any.isdisjoint(term.qualifiers))
            and self.none.isdisjoint(term.qualifiers)
        )

    @classmethod
    def from_json(cls, body: Mapping[str, Sequence[str]]) -> Rule:
        return cls(**{part: frozenset(map(plain, words)) for part, words in body.items()})


@dataclass(frozen=True, slots=True)
class Identifier:
    """The nearest concept of an ontology: ``match`` says how it relates to the label.

    Attributes:
        ontology: "mesh" (D-number), "radlex" (RID) or "doid" (DOID number).
        id, name, match: None where the ontology has no such concept; ``reason`` then says why.
    """

    ontology: str
    id: str | None
    name: str | None = None
    match: Match | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A vocabulary entry: stable code, name for a reader, one-line definition, identifiers, rules."""

    code: str
    name: str
    definition: str
    identifiers: tuple[Identifier, ...]
    rules: tuple[Rule, ...]

    def identifier(self, ontology: str) -> Identifier | None:
        return next((entry for entry in self.identifiers if entry.ontology == ontology), None)

    def matches(self, terms: Sequence[Term]) -> bool:
        return any(rule.matches(term) for rule in self.rules for term in terms)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Label:
        return cls(
            body["code"],
            body["name"],
            body["definition"],
            tuple(Identifier(ontology, **body["identifiers"][ontology]) for ontology in ONTOLOGIES),
            tuple(Rule.from_json(rule) for rule in body["rules"]),
        )


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Labels in the one order that models, metrics and answers share.

    Attributes:
        name: one of ``SHIPPED``, or the name in the file.
        labels: in order.
        normal: code of the label that says nothing was found, or None.
        uncoded: terms, in lower case, that say nothing of findings ("No Indexing").
    """

    name: str
    labels: tuple[Label, ...]
    normal: str | None
    uncoded: frozenset[str]
    _source: str

    @classmethod
    def load(cls, source: FilePath) -> Vocabulary:
        """Read a shipped vocabulary by name, or one of the same form from a file.

        Raises:
            InputError: ``not_found``, or ``bad_request`` when the file is not a vocabulary.
        """
        file = resources.files(__package__) / f"{source}.json" if source in SHIPPED else Path(source)
        try:
            return cls.from_json(json.loads(file.read_bytes()))
        except OSError as error:
            known = f"known: {', '.join(SHIPPED)}"
            raise InputError("not_found", f"no vocabulary {str(source)!r}", known) from error
        except ValueError as error:
            raise InputError("bad_request", f"{source} is not a vocabulary: {error}") from error

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Vocabulary:
        """Build from what ``to_json`` gave or a vocabulary file holds.

        Raises:
            InputError: ``bad_request`` when a part is missing, unknown or doubled.
        """
        try:
            labels = tuple(Label.from_json(entry) for entry in body["labels"])
            vocabulary = cls(
                body["name"],
                labels,
                body["normal"],
                frozenset(map(plain, body["uncoded"])),
                json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError("bad_request", f"not a vocabulary: {type(error).__name__} {error}") from error
        codes = vocabulary.codes
        if not codes or len(set(codes)) != len(codes) or vocabulary.normal not in {*codes, None}:
            raise InputError(
                "bad_request", f"vocabulary {vocabulary.name!r}: codes must be unique and hold the normal one"
            )
        return vocabulary

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as plain data, as it was read."""
        body: dict[str, Any] = json.loads(self._source)
        return body

    @cached_property
    def digest(self) -> str:
        """SHA-256, hex, of the canonical JSON (sorted keys, no spaces)."""
        return hashlib.sha256(self._source.encode()).hexdigest()

    @cached_property
    def codes(self) -> tuple[str, ...]:
        return tuple(label.code for label in self.labels)

    @cached_property
    def names(self) -> dict[str, str]:
        """For a reader, by code."""
        return {label.code: label.name for label in self.labels}

    @cached_property
    def abnormal(self) -> tuple[str, ...]:
        """Codes of every label but the normal one."""
        return tuple(code for code in self.codes if code != self.normal)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, code: str) -> Label:
        try:
            return self.labels[self.codes.index(code)]
        except ValueError:
            known = f"known: {', '.join(self.codes)}"
            raise InputError("bad_request", f"no label {code!r} in {self.name}", known) from None

    def encode(self, terms: Sequence[str] | None) -> npt.NDArray[np.float32]:
        """A study's labels, (labels,) float32: 1 present, 0 absent, all NaN when nobody coded the study.

        Coders name everything a report asserts, so a label that no term of a coded study matches is absent. ``None``,
        no terms, or none but ``uncoded`` ones is unknown: "No Indexing" studies were never coded, and a film with
        nothing but a remark on its quality was neither found normal nor abnormal. Beside other terms such a remark
        does not matter.
        """
        parsed = self._coded(terms)
        if not parsed:
            return np.full(len(self.labels), np.nan, dtype=np.float32)
        return np.array([label.matches(parsed) for label in self.labels], dtype=np.float32)

    def present(self, terms: Sequence[str] | None) -> tuple[str, ...]:
        """Codes of the labels present, in order; empty for an uncoded study too."""
        parsed = self._coded(terms)
        return tuple(label.code for label in self.labels if label.matches(parsed))

    def _coded(self, terms: Sequence[str] | None) -> tuple[Term, ...]:
        parsed = (Term.parse(term) for term in terms or ())
        return tuple(term for term in parsed if term.heading not in self.uncoded)
