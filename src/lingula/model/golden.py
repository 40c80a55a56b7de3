"""The made-up study by which two computations of one model are compared."""

from __future__ import annotations

import numpy as np

from lingula.study import Radiograph, Report, Study


def golden_study() -> Study:
    """A made-up study: a smooth pattern and two sentences. The same on every machine."""
    y, x = np.mgrid[0:256, 0:208].astype(np.float32) / 256
    pixels = (0.5 + 0.3 * np.sin(9 * x) * np.cos(7 * y) + 0.2 * x * y).astype(np.float32)
    report = Report.from_sections(findings="The heart is enlarged. No pleural effusion.", impression="Cardiomegaly.")
    return Study("golden", (Radiograph("golden", pixels, "frontal"),), report)
