"""Aliases that several rooms share."""

from __future__ import annotations

import os

FilePath = str | os.PathLike[str]
"""A path as a caller may give it."""
