"""Files that are on the disk, name and all, before anything is said of them."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Bring what was written to a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_in_place(part: Path, place: Path) -> None:
    """Give a whole file its name. What it holds is on the disk then, its name once its folder is brought there."""
    sync(part)
    os.replace(part, place)
