"""The graph as (head, relation, tail): labels, how training studies were coded, and the ontologies above them.

An entity's name begins with its kind: ``label:`` code, ``heading:`` and ``qualifier:`` as coded, ``mesh:``, ``doid:``
and ``radlex:`` identifiers. From the ontologies come the ancestors of what labels and headings name, nothing else.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from lingula.errors import InputError
from lingula.labels.terms import Term, plain
from lingula.labels.vocabulary import Vocabulary

FILES = {
    "mesh2015_tree_numbers.tsv": ("mesh_id", "mesh_name", "mesh_tree_number"),
    "HumanDO.tsv": ("id", "label", "subClassOf"),
    "MESHinDO.tsv": ("id", "xrefs"),
    "radlex_term_rid_parent.csv": ("RID", "Parent_RID"),
}
"""What is read of an ontology folder, and the columns it must have."""
LEAST = 3
"""Training studies that must agree before something seen in them becomes a fact."""


class Triple(NamedTuple):
    """One fact of the graph."""

    head: str
    relation: str
    tail: str


def build_triples(
    vocabulary: Vocabulary, coded: Iterable[Sequence[str] | None], ontologies: Path
) -> tuple[Triple, ...]:
    """All facts, sorted, each once.

    Args:
        coded: MeSH terms of the *training* studies, None where nobody coded; what other studies are must stay unknown.
        ontologies: folder with the files of ``FILES``; MeSH, Disease Ontology and RadLex are the user's own copies.

    Raises:
        InputError: ``not_found`` or ``unsupported_format`` for a file that is missing or lacks its columns.
    """
    tables = {name: _table(ontologies / name, columns) for name, columns in FILES.items()}
    studies = [tuple(Term.parse(term) for term in terms) for terms in coded if terms is not None]
    facts = set(_of_labels(vocabulary)) | set(_of_studies(vocabulary, studies))
    named = {mesh: plain(name) for mesh, name, _ in tables["mesh2015_tree_numbers.tsv"]}
    headings = {fact.tail for fact in facts if fact.tail.startswith("heading:")}
    headings |= {fact.head for fact in facts if fact.head.startswith("heading:")}
    facts |= {
        Triple(f"heading:{name}", "names", f"mesh:{mesh}")
        for mesh, name in named.items()
        if f"heading:{name}" in headings
    }
    used = {fact.tail for fact in facts}
    numbers = [(mesh, number) for mesh, _, number in tables["mesh2015_tree_numbers.tsv"]]
    facts |= set(_ancestors("mesh", used, _mesh_parents(numbers)))
    diseases = {label: doid for doid, label, _ in tables["HumanDO.tsv"]}
    above = [(doid, diseases[parent]) for doid, _, parent in tables["HumanDO.tsv"] if parent in diseases]
    facts |= set(_ancestors("doid", used, [(_doid(child), _doid(parent)) for child, parent in above]))
    facts |= set(
        _ancestors("radlex", used, [(child, parent) for child, parent in tables["radlex_term_rid_parent.csv"]])
    )
    entities = {fact.head for fact in facts} | {fact.tail for fact in facts}
    for doid, cross in tables["MESHinDO.tsv"]:
        same = Triple(f"doid:{_doid(doid)}", "same_as", f"mesh:{cross.removeprefix('MESH:')}")
        if same.head in entities and same.tail in entities:
            facts.add(same)
    return tuple(sorted(facts))


def _of_labels(vocabulary: Vocabulary) -> Iterator[Triple]:
    """A label's identifiers, by how they match, and the coding that makes it."""
    for label in vocabulary.labels:
        head = f"label:{label.code}"
        for entry in label.identifiers:
            if entry.id:
                name = _doid(entry.id) if entry.ontology == "doid" else entry.id
                yield Triple(head, str(entry.match), f"{entry.ontology}:{name}")
        for rule in label.rules:
            yield from (Triple(head, "coded_as", f"heading:{plain(heading)}") for heading in rule.headings)
            yield from (Triple(head, "qualified_by", f"qualifier:{plain(q)}") for q in {*rule.all, *rule.any})


def _of_studies(vocabulary: Vocabulary, studies: Sequence[tuple[Term, ...]]) -> Iterator[Triple]:
    """Headings with their qualifiers, and labels seen together more often than chance would have it."""
    pairs = Counter((t.heading, q) for terms in studies for t in set(terms) for q in t.qualifiers)
    for (heading, qualifier), count in pairs.items():
        if count >= LEAST:
            yield Triple(f"heading:{heading}", "seen_as", f"qualifier:{qualifier}")
    labels = [sorted(label.code for label in vocabulary.labels if label.matches(terms)) for terms in studies]
    single = Counter(code for codes in labels for code in codes)
    for (one, other), count in Counter(pair for codes in labels for pair in combinations(codes, 2)).items():
        if count >= LEAST and count * len(studies) > single[one] * single[other]:
            yield Triple(f"label:{one}", "seen_with", f"label:{other}")
            yield Triple(f"label:{other}", "seen_with", f"label:{one}")


def _ancestors(kind: str, used: Iterable[str], parents: Iterable[tuple[str, str]]) -> Iterator[Triple]:
    """``is_a`` from every identifier in use up to the roots."""
    above: dict[str, list[str]] = {}
    for child, parent in parents:
        above.setdefault(child, []).append(parent)
    waiting = [name.partition(":")[2] for name in used if name.startswith(f"{kind}:")]
    seen = set(waiting)
    while waiting:
        child = waiting.pop()
        for parent in above.get(child, ()):
            yield Triple(f"{kind}:{child}", "is_a", f"{kind}:{parent}")
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)


def _mesh_parents(numbers: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """MeSH says who stands above whom by tree number: C08.528.735 is below C08.528."""
    owner = {number: mesh for mesh, number in numbers}
    for mesh, number in numbers:
        parent = owner.get(number.rpartition(".")[0])
        if parent is not None:
            yield mesh, parent


def _doid(name: str) -> str:
    return name.removeprefix("DOID:")


def _table(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not path.is_file():
        raise InputError("not_found", f"There is no {path.name} in {path.parent}.", f"Needed: {', '.join(FILES)}.")
    with path.open(encoding="utf-8", errors="replace", newline="") as file:  # RadLex is in several
        reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise InputError("unsupported_format", f"{path.name} has no column {missing[0]}.")
        return [tuple((row[name] or "").strip() for name in columns) for row in reader]
