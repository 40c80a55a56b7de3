"""Aliases that several rooms share."""

from __future__ import annotations

import os
from typing import Literal

FilePath = str | os.PathLike[str]
"""A path as a caller may give it."""

Device = Literal["auto", "cpu", "cuda"]
"""What computes; ``auto`` is a GPU where there is one."""
