"""Folders in which what was sent lies until it is read. Each is locked by its process, so that a later one can tell
which of them nobody uses any more."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from lingula.errors import storage_error

if sys.platform != "win32":
    import fcntl

PREFIX = "lingula-spool-"
AGE = 60.0
"""Seconds from which a folder without a lock is nobody's; before, its process may be about to lock it."""
_NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")


class SpoolFolder:
    """A temporary folder; use it in a ``with`` statement, or close it.

    Raises:
        LingulaError: ``disk_full``, ``storage_unavailable``.
    """

    def __init__(self) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = None if sys.platform == "win32" else _locked(self.path)
        except OSError as error:
            raise storage_error(error, "what was sent cannot be kept") from error

    def add(self, name: str, data: bytes) -> Path:
        """Write a file; its path."""
        try:
            (self.path / name).write_bytes(data)
        except OSError as error:
            raise storage_error(error, "what was sent cannot be kept") from error
        return self.path / name

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> SpoolFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sweep() -> int:
    """Remove the folders of processes that were killed; how many. Where nothing can be locked, none."""
    removed = 0
    if sys.platform == "win32":
        return removed
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if not _NAME.fullmatch(entry.name):
                continue
            with suppress(OSError):
                known = entry.stat(follow_symlinks=False)
                if known.st_uid != os.getuid() or known.st_mtime > time.time() - AGE or entry.is_symlink():
                    continue
                lock = _locked(Path(entry.path))
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)
                removed += 1
    return removed


def _locked(folder: Path) -> int:
    """A handle that locks a folder; it ends with its process. Raises OSError where another has locked it."""
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
