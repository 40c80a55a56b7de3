"""What a study costs to keep, table by table: the constants behind docs/sizing.md.

    python benchmarks/sizing.py LIBRARY

SQLite: the library as it is. PostgreSQL: 500 of its studies copied into a server of this script's own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from lingula.library import Library
from lingula.library.database_url import database_at
from machine import write_result

SAMPLE = 500
TABLES = ("study", "radiograph", "embedding", "finding", "label")
BYTES = {
    "text": "SELECT sum(length(CAST(text AS BLOB))) FROM study",
    "previews": "SELECT sum(length(png)) FROM radiograph",
    "vectors": "SELECT sum(length(vector)) FROM embedding",
}


def sqlite(place: str) -> dict[str, Any]:
    database = database_at(place)
    engine = database.connect()
    with engine.connect() as connection:

        def one(statement: str) -> int:
            return int(connection.exec_driver_sql(statement).scalar_one() or 0)

        studies = one("SELECT count(*) FROM study")
        file = one("PRAGMA page_count") * one("PRAGMA page_size")
        figures = {name: round(one(statement) / studies) for name, statement in BYTES.items()}
        rows = {table: round(one(f"SELECT count(*) FROM {table}") / studies, 2) for table in TABLES}
    engine.dispose()
    return {"studies": studies, "file_bytes_per_study": round(file / studies), "content_bytes_per_study": figures,
            "rows_per_study": rows}  # fmt: skip


def postgres(library: Library) -> dict[str, Any]:
    import pgserver

    folder = tempfile.mkdtemp(prefix="lingula")
    server = pgserver.get_server(folder)
    ids = library.ids()[:SAMPLE]
    with Library.like(library, server.get_uri()) as copy:
        begun = perf_counter()
        for start in range(0, len(ids), 100):
            copy.take(library.rows_of(ids[start : start + 100]))
        seconds = perf_counter() - begun
    engine = database_at(server.get_uri()).connect()
    with engine.connect() as connection:
        sizes = {
            name: round(connection.scalar(sa.text(f"SELECT {function}(:name)"), {"name": name}) / len(ids))
            for name, function in (
                *((table, "pg_table_size") for table in TABLES),
                *((f"embedding_{mode}_hnsw", "pg_relation_size") for mode in ("image", "text", "joint")),
                ("study_words", "pg_relation_size"), ("finding_by_name", "pg_relation_size"),
            )
        }  # fmt: skip
        whole = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    engine.dispose()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
    return {"studies": len(ids), "bytes_per_study": sizes, "database_mb": round(whole / 1e6),
            "studies_per_second": round(len(ids) / seconds, 1)}  # fmt: skip


def main() -> None:
    place = sys.argv[1]
    with Library.open(place) as library:
        figures: dict[str, Any] = {"dimension": library.about.dimension, "postgresql": postgres(library)}
    figures["sqlite"] = sqlite(place)
    write_result("sizing", figures)


if __name__ == "__main__":
    main()
