"""Tables for pandas, where it is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lingula.errors import InputError
from lingula.plain import plain


def table_of(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows as a pandas table.

    Raises:
        InputError: ``bad_request`` where pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError("bad_request", "A frame needs the package pandas.", "pip install pandas") from error
    return pandas.DataFrame([plain(row) for row in rows])
