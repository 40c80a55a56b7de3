"""Reading one file of limited size into memory; what it holds is judged elsewhere."""

from __future__ import annotations

from pathlib import Path

from lingula.errors import InputError


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most ``most`` bytes.

    Raises:
        InputError: not_found, empty_file, too_large.
    """
    data = read_head(path, most + 1)
    if len(data) > most:
        raise InputError("too_large", f"the file exceeds {most} bytes")
    return data


def read_head(path: Path, count: int) -> bytes:
    """The first ``count`` bytes of a regular file, fewer where it is shorter.

    Raises:
        InputError: not_found, empty_file.
    """
    try:
        if not path.is_file():
            raise InputError("not_found", "not a regular file" if path.exists() else "no such file")
        with path.open("rb") as file:
            head = file.read(count)
    except (OSError, ValueError) as error:
        raise InputError("not_found", f"the file cannot be read ({type(error).__name__})") from error
    if not head:
        raise InputError("empty_file", "the file is empty")
    return head
