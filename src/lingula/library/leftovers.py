"""Temporary files that a killed process left beside a library."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

AGE = 3600.0
"""Seconds without a write after which a temporary file is nobody's any more: the longest write takes minutes."""


def sweep(folder: Path, names: re.Pattern[str], age: float = AGE) -> int:
    """Remove regular files of a folder whose whole name matches and that nobody has written to for so long.

    Returns:
        How many. What cannot be looked at or removed is left.
    """
    removed = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < time.time() - age:
                        os.unlink(entry.path)
                        removed += 1
    return removed
