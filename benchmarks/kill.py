"""Acknowledged means on disk: an import is killed at random points, and nothing acknowledged may be lost or half there.

    python benchmarks/kill.py [ROUNDS]

Each round imports made-up, already encoded studies in a process of its own, one by one and in batches by turns, and
kills it with SIGKILL some time after some acknowledgement. On PostgreSQL every other round kills the server instead,
all its processes at once, and starts it again. After each round the library is opened and every study that is new is
compared with what was given; at the end everything is verified. What a killed process leaves is in the hands of the
operating system: this does not show what a power failure does, against which stand the flushes that each commit waits
for.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lingula.errors import LingulaError, Notice
from lingula.labels.assertions import read_assertions
from lingula.library import Entry, Library
from lingula.library.record import study_digest
from lingula.study import Radiograph, Report, Study

DIMENSION = 16
LABELS = ("normal", "cardiomegaly", "pleural_effusion")
ABOUT: dict[str, Any] = {"model": "m1", "vocabulary": "v1", "labels": LABELS, "dimension": DIMENSION}
SENTENCES = ("No pneumothorax.", "Small left pleural effusion.", "Possible edema at the right base.")
ROUNDS = 50
Kill = Callable[[subprocess.Popen[str]], None]


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def specimen(number: int) -> Entry:
    """Study ``S<number>``: two radiographs, a report in four languages, three embeddings; always the same."""
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


def import_until_killed(place: str, start: int) -> None:
    """Import from study ``start`` on; print each id once it is acknowledged."""
    with Library.open(place) as library:
        assert "torch" not in sys.modules
        acknowledge("ready")
        numbers = count(start)
        while True:
            single = specimen(next(numbers))
            library.add(single.study, single.embeddings, single.labels)
            acknowledge(single.study.study_id)
            outcomes = library.add_many([specimen(next(numbers)) for _ in range(4)])
            acknowledge(*(outcome.study_id for outcome in outcomes))


def acknowledge(*study_ids: str) -> None:
    sys.stdout.write("".join(f"{study_id}\n" for study_id in study_ids))
    sys.stdout.flush()


def acknowledged_until_killed(place: str, start: int, lines: int, seconds: float, kill: Kill) -> list[str]:
    """Import in a child process, kill some time after that many acknowledgements, return all it gave."""
    command = [sys.executable, __file__, "--import", place, str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        read = [child.stdout.readline() for _ in range(lines)]
        time.sleep(seconds)
        kill(child)
        read += child.stdout.readlines()
    assert child.returncode
    return [line.strip() for line in read if line.endswith("\n")]


def is_whole(library: Library, study_id: str) -> bool:
    """Whether a stored study is what was given, with all that belongs to it."""
    record, given = library.get(study_id), specimen(int(study_id[1:]))
    assert given.study.report
    return (
        record.digest == study_digest(given.study)
        and (len(record.radiographs), record.modes, record.labels) == (2, ("image", "text", "joint"), given.labels)
        and library.assertions([study_id])[study_id] == read_assertions(given.study.report)
        and all(image.preview().size for image in record.radiographs)
    )


def rounds(place: str, many: int, kill_server: Callable[[], None] | None = None, seed: int = 7) -> dict[str, int]:
    """Kill that many imports into the library at ``place``; what was lost, half there, or found by verifying."""
    rng = random.Random(seed)
    acknowledged: set[str] = set()
    checked: set[str] = set()
    figures = dict.fromkeys(("lost", "half_written", "not_clean", "servers_killed"), 0)
    for at in range(many):
        server = kill_server if at % 2 else None
        start = max(0, len(checked) - 3)  # a few are imported twice

        def kill(child: subprocess.Popen[str], server: Callable[[], None] | None = server) -> None:
            server() if server else child.kill()

        acknowledged |= set(acknowledged_until_killed(place, start, rng.randrange(30), rng.uniform(0, 0.05), kill))
        figures["servers_killed"] += server is not None
        try:
            with Library.open(place) as library:
                stored = set(library.ids())
                figures["lost"] = max(figures["lost"], len(acknowledged - stored))
                figures["half_written"] += sum(not is_whole(library, study_id) for study_id in stored - checked)
                figures["not_clean"] += at == many - 1 and len(library.verify())
                checked = stored
        except LingulaError:
            figures["not_clean"] += 1
    return {**figures, "rounds": many, "acknowledged": len(acknowledged)}


def sqlite(many: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "library.sqlite")
        Library.create(place, **ABOUT).close()
        return rounds(place, many)


def postgres(many: int) -> dict[str, int]:
    import pgserver
    import psutil

    folder = tempfile.mkdtemp(prefix="lingula")
    server = pgserver.get_server(folder)
    Library.create(server.get_uri(), **ABOUT).close()

    def kill_server() -> None:
        processes = psutil.Process(server.get_pid())
        everyone = [processes, *processes.children(recursive=True)]
        for process in everyone:
            process.kill()
        psutil.wait_procs(everyone)
        server.ensure_postgres_running()

    try:
        return rounds(server.get_uri(), many, kill_server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    from machine import write_result

    many = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    begun = time.perf_counter()
    figures: dict[str, Any] = {"sqlite": sqlite(many), "postgresql": postgres(many)}
    figures["seconds"] = round(time.perf_counter() - begun, 1)
    if many != ROUNDS:
        sys.stdout.write(f"{figures}\n")  # a trial: not written down
        return
    lost = {
        key: {"value": figures[name]["lost"] + figures[name]["half_written"], "unit": "studies lost or half written",
              "n": figures[name]["acknowledged"]}
        for key, name in (("kill_lost_sqlite", "sqlite"), ("kill_lost_postgres", "postgresql"))
    }  # fmt: skip
    write_result("kill", figures, {**lost, "kill_rounds": {"value": 2 * many, "unit": "imports killed"}})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        import_until_killed(sys.argv[2], int(sys.argv[3]))
    else:
        main()
