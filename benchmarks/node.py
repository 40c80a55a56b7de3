"""The node with real peers: validator errors, films received a second, time until results are read back.

    python benchmarks/node.py FOLDER

``FOLDER`` holds ``dicom_chest`` and ``badinput`` (real and odd films). Results of 14 films in three formats are judged
by ``dciodvfy``. Films of 40 kB and of 7 MB are sent by DCMTK's ``storescu`` at 1, 4 and 8 senders to the node's
receiver and to Orthanc in turns; both keep them on the same disk. Then films are sent one at a time, and the time runs
from the moment the sender has its acknowledgement until Orthanc has been asked for every result and had it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

import orthanc
from lingula.errors import InputError
from lingula.library import Library
from lingula.model.checkpoint import load_checkpoint
from lingula.node.judging import judged
from lingula.node.kinds import DEFAULT_KINDS
from lingula.node.receiver import options_of
from lingula.node.settings import AllowedSender, ReceiveSettings
from lingula.reading.sandbox import Sandbox
from machine import write_result
from node_peers import AET, SENDER, STORESCU, film_file, node, send

FILMS, SENDERS, TIMED = 14, (1, 4, 8), 40
SIZES = {"40 kB": ((200, 200), 400), "7 MB": ((1900, 1900), 80)}
QUIET = 0.2
ROUNDS = 3


def odd_films(folder: Path) -> Iterator[Path]:
    """Real and odd films that can be read."""
    places = ("dicom_chest/*.dcm", "badinput/dicom/ok/*", "badinput/dicom/odd/*", "tried/files/d*/*.dcm")
    files = [file for place in places for file in sorted(folder.glob(place))]
    with Sandbox() as sandbox:
        for file in files:
            try:
                sandbox.read_file(file)
            except InputError:
                continue
            yield file


def validator_errors(folder: Path) -> dict[str, object]:
    """What ``dciodvfy`` finds wrong with the results of ``FILMS`` films in three formats."""
    model, errors, objects, names = load_checkpoint("compact"), [], 0, []
    with tempfile.TemporaryDirectory() as name, Sandbox() as sandbox:
        for film in odd_films(folder):
            made = judged([film], model, None, sandbox, DEFAULT_KINDS).objects
            if not made:
                continue
            names.append(film.name)
            for each in made:
                (file := Path(name) / "object.dcm").write_bytes(each.data)
                told = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, errors="replace")
                errors += [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
                objects += 1
            if len(names) == FILMS:
                break
    return {"films": len(names), "objects": objects, "errors": len(errors), "kinds": sorted(set(errors))}


def laid_out(folder: Path, shape: tuple[int, int], count: int, senders: int) -> list[list[Path]]:
    """``count`` films of this shape with identifiers of their own, shared among senders."""
    folder.mkdir()
    dataset = dcmread(film_file(folder, 0))
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = *shape, 16, 12, 11
    if shape[0] < 1000:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    rng = np.random.default_rng(0)
    dataset.PixelData = rng.integers(0, 200, shape, np.uint8 if shape[0] < 1000 else np.uint16).tobytes()
    parts: list[list[Path]] = [[] for _ in range(senders)]
    for number in range(count):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(file := folder / f"{number}.dcm", enforce_file_format=True)
        parts[number % senders].append(file)
    return parts


def films_per_second(port: int, aec: str, parts: Sequence[Sequence[Path]]) -> float:
    """Films acknowledged a second to as many senders at once as there are parts."""
    command = [STORESCU, "-R", "-pdu", "131072", "-aet", SENDER, "-aec", aec, "127.0.0.1", str(port)]
    begun = time.perf_counter()
    running = [subprocess.Popen([*command, *map(str, part)]) for part in parts]
    if any(process.wait() for process in running):
        raise RuntimeError("a film was not acknowledged")
    return sum(map(len, parts)) / (time.perf_counter() - begun)


@contextmanager
def receiver(folder: Path) -> Iterator[int]:
    """The port of the node's receiver, alone."""
    settings = ReceiveSettings(port=orthanc.free_port(), allow=(AllowedSender(SENDER, "127.0.0.1"),))
    command = [sys.executable, "-m", "lingula.node.receiver", options_of(settings, folder)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        yield settings.port
    finally:
        for process in running:
            process.kill()
            process.wait()


def rates(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Films a second by size, senders and receiver; the median of rounds in which both take turns."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with orthanc.running(folder / "orthanc") as archive, receiver(folder / "spool") as port:
        for size, (shape, count) in SIZES.items():
            found[size] = {}
            for senders in SENDERS:
                told: dict[str, list[float]] = {"lingula": [], "orthanc": []}
                for number in range(ROUNDS):
                    parts = laid_out(folder / f"{size}-{senders}-{number}", shape, count, senders)
                    told["lingula"].append(films_per_second(port, AET, parts))
                    told["orthanc"].append(films_per_second(archive.dicom, "ARCHIVE", parts))
                found[size][str(senders)] = {name: round(float(np.median(each)), 1) for name, each in told.items()}
    return found


def times(folder: Path) -> list[float]:
    """Milliseconds from acknowledgement to results read back, of films sent one at a time."""
    found = []
    with orthanc.running(folder / "orthanc") as archive, node(
        folder / "node", archive, kinds=DEFAULT_KINDS, quiet=QUIET
    ) as running:  # fmt: skip
        while not running.listens():
            time.sleep(0.1)
        (films := folder / "films").mkdir()
        with Library.open(running.library) as library:
            for number in range(TIMED + 2):
                if send(running.port, film_file(films, number)):
                    raise RuntimeError("a film was not acknowledged")
                begun = time.perf_counter()
                while library.exchange.counts()["outbox"].get("stored", 0) < (number + 1) * len(DEFAULT_KINDS):
                    time.sleep(0.01)
                found.append((time.perf_counter() - begun) * 1000)
    return found[2:]  # the first load what is loaded late


def main() -> None:
    begun = time.monotonic()
    judged_objects = validator_errors(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        (first := Path(name) / "rates").mkdir()
        received = rates(first)
        (second := Path(name) / "times").mkdir()
        milliseconds = times(second)
    p50, p95 = (round(float(np.percentile(milliseconds, at)), 1) for at in (50, 95))
    small = received["40 kB"]
    headline = {
        "validator_errors": {"value": judged_objects["errors"], "unit": "errors", "n": judged_objects["objects"]},
        "receive_per_second_1": {"value": small["1"]["lingula"], "unit": "films of 40 kB a second, 1 sender"},
        "receive_per_second_8": {"value": small["8"]["lingula"], "unit": "films of 40 kB a second, 8 senders"},
        "orthanc_receive_per_second_8": {"value": small["8"]["orthanc"], "unit": "films of 40 kB a second, 8 senders"},
        "result_p50_ms": {"value": p50, "unit": "ms, film received to results read back", "n": len(milliseconds)},
    }
    figures = {"validator": judged_objects, "received_per_second": received, "quiet_seconds": QUIET,
               "result_ms": {"n": len(milliseconds), "p50": p50, "p95": p95},
               "seconds": round(time.monotonic() - begun, 1)}  # fmt: skip
    write_result("node", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
