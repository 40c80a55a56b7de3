"""Made-up studies, and a process that imports them until it is killed (run as a script by ``test_kill.py``)."""

from __future__ import annotations

import sys
from itertools import count

import numpy as np

from lingula.errors import Notice
from lingula.library import Entry, Library
from lingula.study import Radiograph, Report, Study

DIMENSION = 16
SENTENCES = ("No pneumothorax.", "Small left pleural effusion.", "Possible edema at the right base.")
LABELS = ("normal", "cardiomegaly", "pleural_effusion")


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def specimen(number: int) -> Entry:
    """Study ``S<number>``: two radiographs, a report in three scripts, three embeddings; always the same."""
    rng = np.random.default_rng(number)
    grey = [rng.integers(0, 256, (24, 20 + at), dtype=np.uint8).astype(np.float32) / np.float32(255) for at in (0, 1)]
    radiographs = (
        Radiograph(f"S{number}_1", grey[0], "frontal", "made up", (("Modality", "DX"),), (Notice("bad_window", "odd"),),
                   digest=f"{number:064x}", birth_date="19610203", study_date="20110202"),
        Radiograph(f"S{number}_2", grey[1], "lateral"),
    )  # fmt: skip
    said = f"Плеврального выпота нет. Σκιά {number} mm. {SENTENCES[number % len(SENTENCES)]}"
    report = Report.from_sections(findings=said, impression="心拡大 🫁 naïve")
    study = Study(f"S{number}", radiographs, report, ("Cardiomegaly/mild",), (Notice("text_cut", "cut"),))
    return Entry(study, {"image": unit(number), "text": unit(number + 1000), "joint": unit(number + 2000)}, LABELS[:2])


def main(path: str, start: int) -> None:
    """Import from study ``start`` on, one by one and in batches by turns; print each id once it is acknowledged."""
    with Library.open(path) as library:
        assert "torch" not in sys.modules
        print("ready", flush=True)
        numbers = count(start)
        while True:
            single = specimen(next(numbers))
            library.add(single.study, single.embeddings, single.labels)
            print(single.study.study_id, flush=True)
            for outcome in library.add_many([specimen(next(numbers)) for _ in range(4)]):
                print(outcome.study_id, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
