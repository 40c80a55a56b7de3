"""A library of seven made-up studies whose films, labels and reports are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lingula.library import Entry, Library
from lingula.study import Radiograph, Report, Study
from lingula.teaching.tasks import Findings

NAMES = {"pleural_effusion": "Pleural effusion", "nodule_mass": "Nodule or mass", "cardiomegaly": "Cardiomegaly",
         "granuloma": "Granuloma", "atelectasis": "Atelectasis", "normal": "Normal"}  # fmt: skip
FINDINGS = Findings(NAMES, tuple(NAMES), "normal")
STUDIES = {
    "CXR1": (("pleural_effusion",), "Small left pleural effusion.", 1.0),
    "CXR2": (("nodule_mass",), "Nodule in the right upper lobe.", 0.9),
    "CXR3": (("normal",), "Normal chest.", 0.8),
    "CXR4": (("granuloma",), "Calcified granuloma in the left lung.", -1.0),
    "CXR5": (("cardiomegaly", "pleural_effusion"), "Cardiomegaly. Right pleural effusion.", 0.95),
    "CXR6": (("nodule_mass",), "Mass in the left lower lobe.", 0.7),
    "CXR7": (("atelectasis",), "Atelectasis at the left base.", 0.6),
}
"""Labels, impression, and where the embedding lies between one direction (1) and another (-1)."""


def film(shade: float, rows: int = 80, columns: int = 64) -> Radiograph:
    pixels = np.full((rows, columns), shade, np.float32)
    return Radiograph(f"film{shade:.3f}", pixels, "frontal", attributes=(("ImagerPixelSpacing", "0.5"),))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    entries = []
    for number, (study_id, (labels, impression, place)) in enumerate(STUDIES.items(), 1):
        report = Report.from_sections(indication="Cough. Known nodule.", impression=impression)
        vector = np.array([place, (1 - place**2) ** 0.5, 0, 0], np.float32)
        study = Study(study_id, (film(number / 10),), report, terms=())
        entries.append(Entry(study, {"image": vector, "joint": vector}, labels, age=40 + number))
    with Library.create(
        tmp_path / "library.sqlite", model="m", vocabulary="v", labels=tuple(NAMES), dimension=4
    ) as made:
        made.add_many(entries)
        yield made
