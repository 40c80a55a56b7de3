"""Files that only their owner may read: a library, and what is derived from it and lies beside it."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(path: Path) -> None:
    """Make an empty file that is readable and writable by its owner alone, whatever the umask; or make one so."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.close(handle)
    os.chmod(path, 0o600)


def make_private_folder(path: Path) -> None:
    """Make a folder that its owner alone may enter; one that is there already is left as it is."""
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700)
        os.chmod(path, 0o700)
