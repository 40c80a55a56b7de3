"""Text in a table that a spreadsheet may open."""

from __future__ import annotations

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula: an apostrophe before text that would begin one.

    https://owasp.org/www-community/attacks/CSV_Injection. Numbers pass as they are.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
