"""What a library's database holds beside studies, table by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Executable, Row

Transaction = Callable[[], AbstractContextManager[Connection]]


class TableRecords:
    """Rows of some tables. Threads may share it, and processes the database. Writing here changes no study: the
    library's revision stays."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def _rows(self, wanted: Executable) -> Sequence[Row[Any]]:
        with self._transaction() as connection:
            return connection.execute(wanted).all()

    def _write(self, change: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """Make one change in a transaction of its own; how many rows it touched."""
        with self._transaction() as connection:
            return connection.execute(change, values).rowcount
