"""Everything particular to PostgreSQL with pgvector (https://github.com/pgvector/pgvector)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry

from lingula.errors import InputError, LibraryError, LingulaError
from lingula.library.database import Candidates, damaged, unanswerable
from lingula.library.schema import Base, _PgVector, vector_text
from lingula.study import MODES, Mode

EXACT = 20_000  # vectors up to which a scan of them all is quick enough; above, the HNSW index answers
BEAM = 200  # hnsw.ef_search: candidates looked at, at least
WIDEST = 1000  # hnsw.ef_search allows no more
OTHER_WAYS = ("enable_seqscan", "enable_bitmapscan", "enable_sort")  # off: only an ordered index is left to the planner
LOCK = 0x11964  # pg_advisory_xact_lock: whoever changes the schema


class Postgres:
    """A library in a database of its own; vectors are indexed in the transaction that stores their study."""

    searches = True

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self.place = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.exact = EXACT
        self._grown: set[Mode] = set()  # modes seen to exceed ``exact``; a library only grows

    def connect(self) -> sa.Engine:
        try:
            engine = sa.create_engine(self.url)
        except ImportError as error:
            hint = "Install it with pip install 'lingula[postgres]'."
            raise InputError("bad_request", "a library in PostgreSQL needs the package psycopg.", hint) from error
        ischema_names.setdefault("vector", _PgVector)  # so that its tables can be reflected
        sa.event.listen(engine, "connect", _set_up)
        return engine

    def changes(self) -> None:
        return None

    def close(self) -> None:
        pass

    def require(self) -> None:
        pass

    @contextmanager
    def created(self) -> Iterator[Self]:
        yield self

    def prepare(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")

    def check(self) -> None:
        pass

    def sweep(self) -> int:
        return 0

    def discard(self, connection: sa.Connection | None) -> None:
        if connection is not None:
            Base.metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")

    def lock(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")

    def settle(self, connection: sa.Connection) -> None:
        pass

    def index_vectors(self, connection: sa.Connection, dimension: int) -> None:
        for mode in MODES:
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS embedding_{mode}_hnsw")
            connection.exec_driver_sql(
                f"CREATE INDEX embedding_{mode}_hnsw ON embedding "
                f"USING hnsw ((vector::vector({dimension})) vector_ip_ops) WHERE mode = '{mode}'"
            )

    def index_text(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("REINDEX INDEX study_words")

    def forget_text(self, connection: sa.Connection, study_ids: Sequence[str]) -> None:
        pass

    def overwrite(self, engine: sa.Engine) -> tuple[str, ...]:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")
            with suppress(DBAPIError):  # a right that not everybody has
                connection.exec_driver_sql("CHECKPOINT")
        return ("the write-ahead log of the database server and its archive, until they are recycled",)

    def derived_file(self, name: str) -> Path | None:
        return None

    def nearest(
        self, connection: sa.Connection, mode: Mode, query: npt.NDArray[np.float32], fetch: int,
        exclude: Collection[str], within: Collection[str] | None,
    ) -> Candidates:  # fmt: skip
        dimension = len(query)
        wanted = "" if within is None else " AND study_id = ANY(%(within)s)"
        order = f"ORDER BY (vector::vector({dimension})) <#> %(query)s::vector({dimension}) LIMIT {int(fetch)}"
        if within is not None or fetch > WIDEST // 2 or not self._is_large(connection, mode):
            connection.exec_driver_sql("SET LOCAL enable_indexscan = off")
        else:
            for other_way in OTHER_WAYS:
                connection.exec_driver_sql(f"SET LOCAL {other_way} = off")
            connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {min(WIDEST, max(BEAM, 2 * fetch))}")
        found = connection.exec_driver_sql(
            f"SELECT study_id, vector_send(vector) FROM embedding "
            f"WHERE mode = '{mode}' AND study_id <> ALL(%(exclude)s){wanted} {order}",
            {"query": vector_text(query), "exclude": list(exclude), "within": list(within or ())},
        ).all()
        vectors = np.frombuffer(b"".join(sent[4:] for _, sent in found), ">f4").astype(np.float32)
        return [study_id for study_id, _ in found], vectors.reshape(len(found), dimension)

    def _is_large(self, connection: sa.Connection, mode: Mode) -> bool:
        if mode not in self._grown:
            first = f"SELECT 1 FROM embedding WHERE mode = '{mode}' LIMIT {self.exact + 1}"
            if connection.exec_driver_sql(f"SELECT count(*) FROM ({first}) AS first").scalar_one() > self.exact:
                self._grown.add(mode)
        return mode in self._grown

    def says(self, phrase: str) -> sa.ColumnElement[bool]:
        asked = sa.func.phraseto_tsquery(sa.literal_column("'english'"), phrase)
        return sa.literal_column("study.words").op("@@")(asked)

    def translated(self, error: DBAPIError) -> LingulaError:
        state = getattr(error.orig, "sqlstate", None) or ""
        said = str(error.orig).strip().partition("\n")[0]
        if state == "53100":
            return LingulaError("disk_full", f"no space left for {self.place}.", "Free some space; nothing was lost.")
        if state in ("40001", "40P01", "55P03", "57014"):
            return InputError("bad_request", f"{self.place} is being written by others: {said}", "Try again later.")
        if state in ("25006", "42501"):
            return InputError("bad_request", f"{self.place} refuses: {said}", "Ask its administrator for the right.")
        if state in ("58P01", "0A000") and "vector" in said:
            hint = "Install pgvector on the database server."
            return InputError("bad_request", f"{self.place} lacks the extension pgvector.", hint)
        if (isinstance(error, DataError) and state != "22P03") or (isinstance(error, ProgrammingError) and not state):
            return unanswerable(error)
        if state[:2] == "58":
            return LingulaError(
                "storage_unavailable", f"{self.place} cannot use its disk.", "Look at the server's log."
            )
        if not state or state[:2] in ("08", "28", "3D", "53", "57"):
            message = f"{self.place} cannot be reached: {said}"
            return LibraryError("library_missing", message, "Check the URL, and that the server runs.")
        return damaged(self.place, said)

    def problems(self, connection: sa.Connection) -> tuple[str, ...]:
        unsafe = [
            f"the server runs with {name} = off: what is acknowledged may not be on the disk"
            for name in ("fsync", "full_page_writes")
            if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"
        ]
        invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        return (*unsafe, *(f"the index {row[0]} is not valid" for row in connection.exec_driver_sql(invalid)))


def _set_up(connection: Any, _: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    connection.commit()
