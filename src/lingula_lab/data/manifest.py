"""Studies of one's own for the laboratory: one table names films, reports, labels, patients and parts of a split.

The table is that of ``lingula import table`` (``lingula.ingest.table``): the same reader, the same refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lingula.ingest.files import Group
from lingula.ingest.table import read_studies
from lingula.labels.vocabulary import Vocabulary
from lingula.openi.collection import Refused
from lingula.openi.splits import SPLITS, Split
from lingula.reading.preprocess import Preprocessing
from lingula.reading.sandbox import Sandbox
from lingula.study import Study
from lingula_lab.data.make_split import UNKNOWN, SplitStudy, make_split
from lingula_lab.data.provenance import Provenance
from lingula_lab.data.study_set import StudySet, StudySetWriter, coded_labels

TABLES = (".csv", ".tsv", ".parquet")


def is_table(path: Path) -> bool:
    """Whether a path names a table rather than a collection's folder."""
    return path.suffix.lower() in TABLES and path.is_file()


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A study set made from a table, with the split that the table or its patients give, and what was refused."""

    data: StudySet
    split: Split
    refused: tuple[Refused, ...]


def prepare_table(
    file: Path,
    out: Path,
    sandbox: Sandbox,
    vocabulary: Vocabulary,
    preprocessing: Preprocessing,
    *,
    provenance: Provenance | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Prepared:
    """Read a table's studies once into a study set at ``out``; its split is kept in it as ``split.json``.

    Raises:
        InputError: as ``lingula.ingest.table.import_table``.
    """
    told: list[TableStudy] = []
    with StudySetWriter(out, vocabulary, preprocessing) as writer:

        def keep(study: Study, group: Group) -> None:
            codes = coded(study, group, vocabulary)
            writer.add(study, codes)
            told.append(TableStudy.of(study, group, codes))
            progress(len(told))

        refused = read_studies(file, sandbox, vocabulary, keep)
        data = writer.finish(provenance)
    split = split_of(told, name=file.stem, seed=seed)
    split.save(out / "split.json")
    return Prepared(data, split, refused)


def coded(study: Study, group: Group, vocabulary: Vocabulary) -> tuple[str, ...] | None:
    """Codes of the labels present: the table's, else those of its MeSH terms; None where nobody coded the study."""
    return coded_labels(study.terms, vocabulary) if group.labels is None else group.labels


@dataclass(frozen=True, slots=True)
class TableStudy:
    """What a split needs of a table's study; ``part`` is the table's own, or empty."""

    study: SplitStudy
    part: str

    @classmethod
    def of(cls, study: Study, group: Group, codes: tuple[str, ...] | None) -> TableStudy:
        report = study.report
        text = f"{report.section('findings')}\n{report.section('impression')}" if report else ""
        patient = group.patient or next((film.birth_date for film in study.radiographs if film.birth_date), "")
        return cls(SplitStudy(study.study_id, text, patient, (UNKNOWN,) if codes is None else codes), group.split)


def split_of(studies: list[TableStudy], *, name: str, seed: int = 0) -> Split:
    """The table's own split where it deals every study; else one in which no two parts share a patient or a text."""
    if studies and all(each.part for each in studies):
        train, validation, test = (
            tuple(sorted(each.study.study_id for each in studies if each.part == part)) for part in SPLITS
        )
        return Split(name, seed, train, validation, test)
    return make_split([each.study for each in studies], name=name, seed=seed)


def table_studies(file: Path, sandbox: Sandbox, vocabulary: Vocabulary) -> Iterator[TableStudy]:
    """What a split needs of each study of a table."""
    found: list[TableStudy] = []
    read_studies(
        file,
        sandbox,
        vocabulary,
        lambda study, group: found.append(TableStudy.of(study, group, coded(study, group, vocabulary))),
    )
    yield from found
