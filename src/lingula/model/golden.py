"""The made-up study by which two computations of one model are compared, and where it was compared already."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version

import numpy as np

from lingula.study import Radiograph, Report, Study
from lingula.user_cache import user_cache


def golden_study() -> Study:
    """A made-up study: a smooth pattern and two sentences. The same on every machine."""
    y, x = np.mgrid[0:256, 0:208].astype(np.float32) / 256
    pixels = (0.5 + 0.3 * np.sin(9 * x) * np.cos(7 * y) + 0.2 * x * y).astype(np.float32)
    report = Report.from_sections(findings="The heart is enlarged. No pleural effusion.", impression="Cardiomegaly.")
    return Study("golden", (Radiograph("golden", pixels, "frontal"),), report)


@contextmanager
def passed_here(manifest: str, device: str) -> Iterator[bool]:
    """Whether this very checkpoint was compared on this machine, with this runtime and device; after the block it was.

    Args:
        manifest: SHA-256 of the checkpoint's manifest, which seals all its files.

    An empty file in the user's cache says so. Where none can be written, the comparison is made each time.
    """
    parts = (manifest, device, version("onnxruntime"), version("numpy"), platform.machine(), platform.processor())
    mark = user_cache("golden") / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    passed = mark.is_file()
    yield passed
    if not passed:
        with suppress(OSError):
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch()
