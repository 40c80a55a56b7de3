"""predict, of every study of a folder: a table, a row a study."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingula.cli import output
from lingula.errors import InputError, LingulaError
from lingula.optional import optional
from lingula.study import DISCLAIMER, Study

if TYPE_CHECKING:
    from lingula.ingest.files import Group
    from lingula.model.checkpoint import Checkpoint


def predict_folder(
    files: list[Path], out: Path | None, *, model: Checkpoint, anyway: bool = False, json: bool = False
) -> None:
    """Answer for each study of folders and archives; the table appears when it is whole.

    Raises:
        InputError: ``bad_request`` for a table of another kind, or nothing to read.
    """
    from lingula.ingest.files import StudyReader
    from lingula.ingest.sources import files_of
    from lingula.model.many import predict_many
    from lingula.openi.collection import Refused
    from lingula.reading.sandbox import Sandbox

    if not files:
        raise InputError("bad_request", "nothing to read.", "Name a folder.")
    write = _writer(out) if out else None
    rows: list[dict[str, Any]] = []
    with Sandbox(2) as sandbox, output.progress_bar("Studies") as progress:

        def answer(study: Study, group: Group) -> None:
            named = {"study_id": study.study_id, "files": ";".join(map(str, group.names))}
            try:
                (said,) = predict_many(study, model, anyway=anyway)
                rows.append({**said.row(), **named})
            except LingulaError as error:
                reader.refused.append(Refused(group.names[0], error.code, error.message))
            progress(len(rows), len(rows))

        reader = StudyReader(sandbox, answer)
        for root in files:
            reader.take(files_of(root, reader.refused))
    columns = ["study_id", "files", "mode", "familiarity"]
    columns += [name for code in model.vocabulary.codes for name in (code, f"{code} decision")]
    if out and write:
        write(out, columns, rows)
    if json:
        body = {"disclaimer": DISCLAIMER, "model": model.fingerprint, "out": out, "studies": len(rows)}
        output.write_json({**body, "rows": [] if out else rows, "refused": reader.refused})
    else:
        output.banner()
        output.out.print(f"{len(rows)} studies, {len(reader.refused)} files refused.", highlight=False)
        for each in reader.refused[:50]:
            output.out.print(f"{each.code}  {output.plain(str(each.path))}", highlight=False)
        if out:
            output.out.print(f"Table: {out}", markup=False, highlight=False)
    if not rows:
        raise SystemExit(1)


Write = Callable[[Path, list[str], list[dict[str, Any]]], None]


def _writer(out: Path) -> Write:
    """How a table of this ending is written.

    Raises:
        InputError: ``bad_request`` for another ending, or Parquet without its package.
    """
    if out.suffix == ".csv":
        return _write_csv
    if out.suffix != ".parquet":
        raise InputError("bad_request", f"{out.name} is neither .csv nor .parquet.", "findings.csv")
    optional("pyarrow", "parquet", "Parquet")
    return _write_parquet


def _write_csv(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    from lingula.library.spreadsheet import cell

    with _whole(out).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(
            {name: cell(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
        )
    _whole(out).replace(out)


def _write_parquet(out: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), _whole(out))
    _whole(out).replace(out)


def _whole(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")
