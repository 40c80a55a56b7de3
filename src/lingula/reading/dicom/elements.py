"""Values of elements as they can be trusted: text, or nothing where a damaged value cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def text(dataset: Dataset, keyword: str) -> str:
    """An element's value as text, values joined by a backslash as in the file; empty when absent or unreadable."""
    value = element(dataset, keyword, default="")
    values = value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join("" if part is None else str(part) for part in values).strip()


def shown(value: str, longest: int = 64) -> str:
    """Text from a file made safe to show: printable characters only, capped."""
    return "".join(char if char.isprintable() else "?" for char in value)[:longest]


def element(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """An element's value, ``default`` when it is absent, empty or unreadable."""
    try:
        value = dataset.get(keyword, default)
    except Exception:  # pydicom converts on access and raises whatever the damaged value makes it raise
        return default
    return default if value is None else value
