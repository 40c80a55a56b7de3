"""Nothing acknowledged is lost and no result is there twice, whoever is killed.

    python benchmarks/node_kill.py [ROUNDS [DOWN]]

A sender sends made-up films, each a study of its own, to ``lingula node``, which writes its report to a real Orthanc.
In each round node or Orthanc, by turns, is killed with SIGKILL at a random moment while films come in, and started
again. Then Orthanc stays away for ``DOWN`` seconds, while films come in for the first of them, and is started again:
nobody helps, and the time until everything is delivered is taken. At the end for each film that was acknowledged there
must be exactly one report in Orthanc. What a killed process leaves is in the hands of the operating system.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from pydicom import dcmread

import orthanc
from lingula.library import Library
from machine import write_result
from node_peers import NodeProcess, film_file, node, send

ROUNDS, DOWN, SEED = 100, 600.0, 1
SENDING = 60.0
"""Seconds of those in which Orthanc is away that films come in."""
REST = 300.0
"""Seconds that are given at the end for what waits."""


class Sender(threading.Thread):
    """Sends one film after the other until it is stopped, and remembers which were acknowledged."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(daemon=True)
        self._folder, self._port = folder, port
        self.stopped = threading.Event()
        self.acknowledged: list[str] = []
        self.sent = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            file = film_file(self._folder, self.sent)
            self.sent += 1
            if send(self._port, file) == 0:
                self.acknowledged.append(str(dcmread(file, stop_before_pixels=True).StudyInstanceUID))
            else:
                time.sleep(0.2)  # nobody listens: this film is given up, as its sender would know
            file.unlink()


def kill_rounds(running: NodeProcess, archive: orthanc.Orthanc, rounds: int, rng: random.Random) -> None:
    """Kill node and archive by turns, each some time after it worked."""
    for number in range(rounds):
        while not running.listens():
            time.sleep(0.1)
        time.sleep(rng.uniform(0.1, 3))
        victim: NodeProcess | orthanc.Orthanc = archive if number % 2 else running
        victim.kill()
        time.sleep(rng.uniform(0, 1))
        victim.start()
        print(f"round {number + 1} of {rounds}", file=sys.stderr)


def stay_away(archive: orthanc.Orthanc, sender: Sender, seconds: float) -> None:
    """Let the archive be gone for so long; films come in at first, and no more at the end."""
    archive.kill()
    time.sleep(min(seconds, SENDING))
    sender.stopped.set()
    sender.join()
    time.sleep(max(seconds - SENDING, 0))
    archive.start()


def settle(running: NodeProcess) -> dict[str, dict[str, int]]:
    """What inbox and outbox hold when nothing waits any more, or the time for it is up."""
    end = time.monotonic() + REST
    with Library.open(running.library) as library:
        while True:
            counts = library.exchange.counts()
            spooled = len(list((running.folder / "spool" / "incoming").glob("*.dcm")))
            if (not any(states.get("waiting") for states in counts.values()) and not spooled) or time.monotonic() > end:
                return counts
            time.sleep(1)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    down = float(sys.argv[2]) if len(sys.argv) > 2 else DOWN
    rng, begun = random.Random(SEED), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (films := folder / "films").mkdir()
        with orthanc.running(folder / "orthanc") as archive, node(folder / "node", archive) as running:
            sender = Sender(films, running.port)
            while not running.listens():
                time.sleep(0.1)
            sender.start()
            kill_rounds(running, archive, rounds, rng)
            while not running.listens():
                time.sleep(0.1)
            before = len(sender.acknowledged)
            stay_away(archive, sender, down)
            back = time.monotonic()
            counts = settle(running)
            recovery = time.monotonic() - back
            reports = Counter(
                archive.get(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
                for series in archive.get("/series")
                for _ in archive.get(f"/series/{series}")["Instances"]
            )
    lost = [study for study in sender.acknowledged if not reports[study]]
    twice = [study for study, count in reports.items() if count > 1]
    n = len(sender.acknowledged)
    headline = {
        "node_kill_rounds": {"value": rounds, "unit": "times node or archive was killed"},
        "node_lost": {"value": len(lost), "unit": "acknowledged films without a result", "n": n},
        "node_duplicates": {"value": len(twice), "unit": "studies with more than one result", "n": n},
    }
    figures = {"rounds": rounds, "sent": sender.sent, "acknowledged": n, "lost": len(lost), "twice": len(twice),
               "down": {"seconds": down, "acknowledged": n - before, "seconds_until_delivered": round(recovery, 1)},
               "counts": counts, "seed": SEED, "seconds": round(time.monotonic() - begun, 1)}  # fmt: skip
    write_result("node_kill", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
