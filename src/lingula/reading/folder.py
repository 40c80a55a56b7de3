"""The files of a folder, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(root: Path, unreadable: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Every file under a folder by name, or the file itself; links to folders are followed, each is entered once.

    Args:
        unreadable: told of each folder that cannot be listed; its error has the name (``filename``).
    """
    if root.is_file():
        yield root
    entered: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        if (real := Path(folder).resolve()) in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))
