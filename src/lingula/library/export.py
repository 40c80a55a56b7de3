"""A library as tables for others: CSV, Parquet, TREC. Answers to "give me your data", not backups."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from lingula.errors import InputError, LibraryError
from lingula.labels.identifiers import BY_FORM, masked_report, moved
from lingula.library.library import Library
from lingula.library.spreadsheet import cell
from lingula.optional import optional
from lingula.study import MODES, Mode, SectionName
from lingula.types import FilePath

Format = Literal["csv", "parquet", "trec"]
FORMATS: tuple[Format, ...] = get_args(Format)
Progress = Callable[[int, int], None]
BATCH = 500
DEPTH = 100  # answers of each study in a TREC run
Rows = list[dict[str, Any]]


def export(
    library: Library,
    folder: FilePath,
    kind: Format,
    *,
    mode: Mode = "joint",
    progress: Progress = lambda done, of: None,
) -> tuple[Path, ...]:
    """Write a library into a folder; each file appears when it is whole.

    Names, numbers and dates that reports give away by their form are masked, for what an older library holds.

    ``csv``: ``studies`` (a row a study: age, images, report by section, and for each label 1, 0 or empty where nobody
    coded), ``findings`` (a row an assertion: ``text[start:stop]`` of the report) and ``images``. ``parquet``: the same,
    with the embeddings as lists of float32. ``trec``: a run in which each study asks for its ``DEPTH`` nearest others.

    Returns:
        The files written.

    Raises:
        InputError: ``bad_request`` for another format, a file that is there already, or a package that is not.
    """
    if kind not in FORMATS:
        raise InputError("bad_request", f"no format {kind!r}.", f"Formats: {', '.join(FORMATS)}.")
    folder = Path(folder)
    names = (f"{mode}.run",) if kind == "trec" else ("studies", "findings", "images")
    files = [folder / (name if kind == "trec" else f"{name}.{kind}") for name in names]
    if there := [str(file) for file in files if file.exists()]:
        raise InputError("bad_request", f"{there[0]} exists already.", "Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    library.note_copy(f"export {kind}", folder.absolute())
    parts = [file.with_name(file.name + ".part") for file in files]
    if kind == "trec":
        _write_run(library, parts[0], mode, progress)
    else:
        {"csv": _write_csv, "parquet": _write_parquet}[kind](_tables(library, kind == "parquet", progress), parts)
    for part, file in zip(parts, files, strict=True):
        part.replace(file)
    return tuple(files)


def _tables(library: Library, vectors: bool, progress: Progress) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Rows of studies, findings and images, a batch of studies at a time."""
    ids = library.ids()
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        found = library.summaries(some)
        said = library.assertions(some)
        embeddings = {mode: library.vectors(some, mode) for mode in MODES} if vectors else {}
        studies: Rows = []
        spans = {study_id: BY_FORM.spans(one.report.text) if one.report else [] for study_id, one in found.items()}
        for study_id in some:
            one = found[study_id]
            report = masked_report(one.report, spans[study_id]) if one.report else None
            row: dict[str, Any] = {"study_id": study_id, "age": one.age, "images": len(one.images)}
            row |= {name: report.section(name) if report else None for name in get_args(SectionName)}
            row |= {f"label_{code}": int(code in one.labels) if one.coded else None
                    for code in library.about.labels}  # fmt: skip
            row |= {f"embedding_{mode}": known.get(study_id) for mode, known in embeddings.items()}
            studies.append(row)
        findings = [
            {"study_id": study_id, "finding": each.finding, "polarity": each.polarity, "side": each.side,
             "place": each.place, "past": each.past, "section": each.section,
             "start": moved(spans[study_id], each.start),
             "stop": moved(spans[study_id], each.end)}
            for study_id in some for each in said[study_id]
        ]  # fmt: skip
        images = [
            {"study_id": study_id, "image_id": each.image_id, "view": each.view, "sha256": each.digest}
            for study_id in some for each in found[study_id].images
        ]  # fmt: skip
        yield studies, findings, images
        progress(start + len(some), len(ids))


def _write_csv(tables: Iterator[tuple[Rows, Rows, Rows]], files: list[Path]) -> None:
    writers: list[csv.DictWriter[str] | None] = [None, None, None]
    handles = [file.open("w", newline="", encoding="utf-8") for file in files]
    try:
        for batch in tables:
            for at, rows in enumerate(batch):
                if rows and writers[at] is None:
                    writers[at] = csv.DictWriter(handles[at], list(rows[0]))
                    writers[at].writeheader()  # type: ignore[union-attr]
                if rows:
                    safe = ({name: cell(value) for name, value in row.items()} for row in rows)
                    writers[at].writerows(safe)  # type: ignore[union-attr]
    finally:
        for handle in handles:
            handle.close()


def _write_parquet(tables: Iterator[tuple[Rows, Rows, Rows]], files: list[Path]) -> None:
    pa, pq = optional("pyarrow", "parquet", "Parquet"), optional("pyarrow.parquet", "parquet", "Parquet")

    def typed(name: str) -> Any:
        if name.startswith("embedding_"):
            return pa.list_(pa.float32())
        if name.startswith("label_") or name in ("age", "images", "start", "stop"):
            return pa.int32()
        return pa.bool_() if name == "past" else pa.string()

    writers: list[Any] = [None, None, None]
    try:
        for batch in tables:
            for at, rows in enumerate(batch):
                if not rows:
                    continue
                schema = pa.schema([(name, typed(name)) for name in rows[0]])
                writers[at] = writers[at] or pq.ParquetWriter(files[at], schema)
                writers[at].write_table(pa.Table.from_pylist(rows, schema))
    finally:
        for at, writer in enumerate(writers):
            if writer is not None:
                writer.close()
            else:
                pq.write_table(pa.table({}), files[at])


def _write_run(library: Library, file: Path, mode: Mode, progress: Progress) -> None:
    """``query Q0 study rank score lingula``, a line an answer."""
    ids = library.ids()
    with file.open("w", encoding="utf-8") as run:
        for start in range(0, len(ids), BATCH):
            for study_id, vector in sorted(library.vectors(ids[start : start + BATCH], mode).items()):
                if any(character.isspace() for character in study_id):
                    raise LibraryError("study_unknown", f"{study_id!r} holds a space, which a TREC file cannot.")
                found = library.nearest(vector, mode=mode, k=DEPTH, exclude=(study_id,))
                run.writelines(
                    f"{study_id} Q0 {other} {rank} {score:.6f} lingula\n"
                    for rank, (other, score) in enumerate(found, start=1)
                )
            progress(min(start + BATCH, len(ids)), len(ids))
