"""Import films with what their owner knows of them: a table, a row a film (or a report without one).

Columns, in any order and any case: ``path`` (the only one needed), ``study``, ``report``, ``labels`` or ``mesh``,
``patient``, ``date``, ``view``, ``age``, ``split``. See ``docs/own-data.md``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lingula.errors import InputError
from lingula.ingest.batches import Imported, Progress
from lingula.ingest.burned_in import BurnedIn
from lingula.ingest.files import FileGroups, FileImport, Group, StudyReader
from lingula.ingest.sources import REPORT_ENDINGS, Source, roles
from lingula.labels.vocabulary import Vocabulary
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.openi.collection import Refused
from lingula.optional import optional
from lingula.reading.bounded_io import read_file
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.file_key import FileKey
from lingula.reading.report_text import decode_text
from lingula.reading.sandbox import Sandbox
from lingula.study import Study, View

COLUMNS = ("path", "study", "report", "labels", "mesh", "patient", "date", "view", "age", "split")
_VIEWS: dict[str, View] = {
    **dict.fromkeys(("frontal", "pa", "ap", "f"), "frontal"),
    **dict.fromkeys(("lateral", "ll", "rl", "lat", "l"), "lateral"),
    **dict.fromkeys(("unknown", ""), "unknown"),
}
_MOST_BYTES = 256 << 20
_LISTED = re.compile(r"\s*[;|\n]\s*")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: text by column, "" for an empty cell; ``number`` counts from 1 after the heading."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    @property
    def name(self) -> Path:
        return Path(self["path"] or f"row {self.number}")

    @property
    def study_key(self) -> str:
        """Equal for rows whose study is named alike; empty where it is not named."""
        return f"named {self['study']}" if self["study"] else ""


def import_table(
    library: Library,
    checkpoint: Checkpoint,
    file: Path,
    sandbox: Sandbox,
    *,
    burned_in: BurnedIn = "keep",
    sender: str = "",
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import the films and reports that a CSV or Parquet table names; paths are seen from the table's folder.

    Rows with one ``study`` are one study; without it, films of one Study Instance UID are. A row that is not understood
    is refused with the studies it belongs to, the others are imported.

    Raises:
        InputError: not_found, empty_file, too_large; unsupported_format when the file is no such table; bad_request
            when a column occurs twice or Parquet cannot be read here.
    """
    rows, unused = read_table(file)
    run = FileImport(library, checkpoint, sandbox, burned_in=burned_in, sender=sender, progress=progress)
    _take_rows(run, rows, file.parent, checkpoint.vocabulary)
    return run.result(file, unused)


def read_studies(
    file: Path, sandbox: Sandbox, vocabulary: Vocabulary, deliver: Callable[[Study, Group], None]
) -> tuple[Refused, ...]:
    """Read the studies that a table names without a library, for a study set or a split.

    Args:
        deliver: called with each study, its coding in ``terms``, and its group, which has labels, patient and split.

    Returns:
        What was refused. Raises as ``import_table``.
    """
    rows, _ = read_table(file)
    reader = StudyReader(sandbox, deliver)
    _take_rows(reader, rows, file.parent, vocabulary)
    return tuple(reader.refused)


def _take_rows(run: FileGroups, rows: Sequence[TableRow], folder: Path, vocabulary: Vocabulary) -> None:
    """Store what the rows name; ``folder`` is where their paths begin."""
    named = {row.number: Source.named(folder / row["path"], row.name) for row in rows if row["path"]}
    number_of = {id(source): number for number, source in named.items()}
    by_number = {row.number: row for row in rows}
    found = roles(named.values(), run.refused)
    for source in (*found["report"], *found["archive"]):
        run.refuse([source.name], InputError("unsupported_format", "no film; reports stand in their own column."))
    films: dict[int, tuple[Source, FileKey]] = {}
    groups: dict[str, list[TableRow]] = {}
    for source, key in run.keys(found["film"]):
        row = by_number[number_of[id(source)]]
        films[row.number] = source, key
        groups.setdefault(row.study_key or key.study or key.digest, []).append(row)
    opened = {number_of[id(source)] for source in found["film"]}
    for row in rows:
        if row.number in opened - films.keys() and (row["report"] or row["labels"] or row["mesh"]):
            run.refuse([row.name], InputError("uid_conflict", "the same film as in another row, or unreadable."))
        elif not row["path"] and row["report"]:
            groups.setdefault(row.study_key or f"row {row.number}", []).append(row)
        elif not row["path"]:
            run.refuse([row.name], InputError("bad_request", "neither a path nor a report."))
    made = []
    for together in groups.values():
        try:
            made.append(_group(together, films, folder, run.sandbox, vocabulary))
        except InputError as error:
            run.refuse([row.name for row in together], error)
    run.store(made)


def _group(
    rows: list[TableRow],
    films: dict[int, tuple[Source, FileKey]],
    folder: Path,
    sandbox: Sandbox,
    vocabulary: Vocabulary,
) -> Group:
    """The study of these rows.

    Raises:
        InputError: bad_request where a cell is not understood; as ``read_report``.
    """
    report = _one(rows, "report")
    told = _told(report, folder, sandbox) if report else Study("")
    terms, labels, age = _listed(_one(rows, "mesh")), _listed(_one(rows, "labels")), _one(rows, "age")
    facts = {films[row.number][1].digest: (_view(row), _date(row)) for row in rows if row.number in films}
    return Group(
        films=[films[row.number] for row in rows if row.number in films],
        told=replace(told, study_id=rows[0]["study"] or told.study_id, terms=terms or told.terms),
        row=rows[0].name,
        labels=_codes(labels, vocabulary) if labels else None,
        patient=_one(rows, "patient"),
        age=_age(age) if age else None,
        split=_split(_one(rows, "split")),
        change=lambda digest, film: _changed(film, *facts[digest]),
    )


def _split(cell: str) -> str:
    name = {"val": "validation", "valid": "validation", "dev": "validation"}.get(cell.casefold(), cell.casefold())
    if name not in ("", "train", "validation", "test"):
        raise InputError("bad_request", f"no part of a split: {cell!r}.", "Parts: train, validation, test.")
    return name


def _changed(film: DicomFile, view: View | None, date: str) -> DicomFile:
    """A film as its owner describes it."""
    image = film.radiograph
    known = replace(image, view=view or image.view, study_date=date or image.study_date)
    return replace(film, radiograph=known)


def _one(rows: Iterable[TableRow], column: str) -> str:
    """What the rows of one study say in this column, where they say one thing."""
    cells = list(dict.fromkeys(row[column] for row in rows if row[column]))
    if len(cells) > 1:
        raise InputError("bad_request", f"the rows of one study differ in {column}.", "Give one, or leave cells empty.")
    return cells[0] if cells else ""


def _told(cell: str, folder: Path, sandbox: Sandbox) -> Study:
    """A report given as text, or as the name of a file."""
    is_name = "\n" not in cell and Path(cell).suffix.lower() in REPORT_ENDINGS
    return sandbox.read_report(folder / cell if is_name else cell)


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(part for part in _LISTED.split(cell.strip()) if part)


def _codes(names: Iterable[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    known = {name.casefold(): label.code for label in vocabulary.labels for name in (label.code, label.name)}
    if unknown := [name for name in names if name.casefold() not in known]:
        raise InputError("bad_request", f"no label {unknown[0]!r}.", f"Labels: {', '.join(vocabulary.codes)}.")
    chosen = {known[name.casefold()] for name in names}
    return tuple(code for code in vocabulary.codes if code in chosen)


def _age(cell: str) -> int:
    """Years; as DICOM writes them (``045Y``, ``006M``), too."""
    found = re.fullmatch(r"(\d{1,3})(\.0+)?([YMWD]?)", cell, re.ASCII | re.IGNORECASE)
    if not found or (found[3].upper() in ("", "Y") and int(found[1]) > 130):
        raise InputError("bad_request", f"no age: {cell!r}.", "Give years.")
    return int(found[1]) if found[3].upper() in ("", "Y") else 0


def _date(row: TableRow) -> str:
    """YYYYMMDD."""
    found = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)([T ].*)?", row["date"], re.ASCII)
    if row["date"] and not found:
        raise InputError("bad_request", f"no date: {row['date']!r}.", "Write it as 2011-02-03.")
    return "".join(found.groups()[:3]) if found else ""


def _view(row: TableRow) -> View | None:
    if row["view"].casefold() not in _VIEWS:
        raise InputError("bad_request", f"no view: {row['view']!r}.", "Views: frontal, lateral, PA, AP, LL, RL.")
    return _VIEWS[row["view"].casefold()] if row["view"] else None


# -- the table


def read_table(file: Path) -> tuple[list[TableRow], tuple[str, ...]]:
    """Rows, and the columns that are not among ``COLUMNS``; for what is refused, see ``import_table``."""
    data = read_file(file, _MOST_BYTES)
    names, lines = _parquet(data) if data.startswith(b"PAR1") else _csv(data)
    columns = [name.strip().lower() for name in names]
    if "path" not in columns:
        hint = f"Columns: {', '.join(COLUMNS)}; only path is needed."
        raise InputError("unsupported_format", f"{file.name} has no column named path.", hint)
    if twice := [name for name in COLUMNS if columns.count(name) > 1]:
        raise InputError("bad_request", f"{file.name} has two columns named {twice[0]}.")
    rows = []
    for number, line in enumerate(lines, 1):
        if len(line) > len(columns):
            raise InputError(
                "unsupported_format", f"row {number} of {file.name} has more cells than there are columns."
            )
        cells = {column: cell.strip() for column, cell in zip(columns, line, strict=False) if column in COLUMNS}
        if any(cells.values()):
            rows.append(TableRow(number, cells))
    return rows, tuple(name.strip() for name in names if name.strip().lower() not in COLUMNS)


def _csv(data: bytes) -> tuple[list[str], list[list[str]]]:
    text, _ = decode_text(data)
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if line]
    except csv.Error as error:
        raise InputError("unsupported_format", f"no CSV table: {error}.") from error
    return (lines[0], lines[1:]) if lines else ([], [])


def _parquet(data: bytes) -> tuple[list[str], list[list[str]]]:
    pa, pq = optional("pyarrow", "parquet", "Parquet"), optional("pyarrow.parquet", "parquet", "Parquet")
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError("unsupported_format", f"no Parquet table ({type(error).__name__}).") from error
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), [list(line) for line in zip(*columns, strict=True)]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return "" if value is None or value != value else str(value)
