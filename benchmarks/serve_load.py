"""32 clients that search by stored study, overload and recovery, and memory over 10,000 requests.

    python benchmarks/serve_load.py DEMO_FOLDER [--library LIBRARY] [--requests 10000]

Without ``--library`` a made-up library of 120 studies is drawn into DEMO_FOLDER first. Clients run in this process, on
the same cores as the server. The server remembers its last 256 answers: ask with a library of more studies, so that
none is remembered when its turn comes again.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from machine import write_result
from served import Served, made_up, served

CLIENTS = 32
HEADERS = {"Content-Type": "application/json", "X-Lingula": "1"}


def memory_kb(pid: int) -> int:
    """Resident memory of the server and its reading children, Pss where the kernel tells it."""
    total = 0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in (str(pid), *children):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def load(server: Served, ids: list[str], requests: int, clients: int = CLIENTS) -> tuple[list[float], float]:
    """(seconds of each answer, seconds in all); every answer must be 200."""
    numbers, lock, took = count(), threading.Lock(), []

    def client(_: int) -> None:
        connection = server.connect()
        while True:
            with lock:
                number = next(numbers)
            if number >= requests:
                return
            body = json.dumps({"like": ids[number % len(ids)], "k": 5})
            started = time.perf_counter()
            connection.request("POST", "/api/search", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            took.append(time.perf_counter() - started)
            assert answer.status == 200, answer.status

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return took, time.perf_counter() - started


def overload(server: Served, clients: int = 200) -> dict[str, int]:
    """Statuses when far more ask the model at once than may wait; each 503 must name when to come back."""
    found: Counter[str] = Counter()
    gate = threading.Barrier(clients)

    def client(number: int) -> None:
        connection = server.connect()
        body = json.dumps({"text": f"effusion number {number}"})
        gate.wait()
        connection.request("POST", "/api/search", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 503:
            assert answer.getheader("Retry-After")
        found[str(answer.status)] += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    asked = parser.parse_args()
    library = asked.library or made_up(asked.folder, 120)
    from lingula.library import Library

    with Library.open(library) as opened:
        ids = list(opened.ids())
    with served(library) as server:
        load(server, ids, 200)  # warm
        first, seconds = load(server, ids, max(1, asked.requests // 10))
        before = memory_kb(server.pid)
        rest, more = load(server, ids, asked.requests - len(first))
        after = memory_kb(server.pid)
        statuses = overload(server)
        recovered, _ = load(server, ids, 200)
    took = np.array(first + rest)
    rate, p99 = len(took) / (seconds + more), float(np.percentile(took, 99)) * 1e3
    body = {
        "studies": len(ids), "requests": len(took), "clients": CLIENTS,
        "ms": {f"p{p}": round(float(np.percentile(took, p)) * 1e3, 1) for p in (50, 95, 99)},
        "memory_kb": {"after_a_tenth": before, "after_all": after},
        "overload_statuses": statuses,
        "p50_ms_after_overload": round(float(np.median(recovered)) * 1e3, 1),
    }  # fmt: skip
    headline = {
        "searches_per_second_32": {"value": round(rate, 1), "unit": "1/s", "n": len(took)},
        "search_p99_ms_32": {"value": round(p99, 1), "unit": "ms", "n": len(took)},
        "memory_growth_ratio": {"value": round(after / before, 3), "unit": "ratio"},
    }
    print(json.dumps({**body, **{key: entry["value"] for key, entry in headline.items()}}, indent=1))
    write_result("serve_load", body, headline)


if __name__ == "__main__":
    main()
