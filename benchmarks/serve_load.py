"""32 clients that search by stored study, overload and recovery, and memory over 10,000 requests.

    python benchmarks/serve_load.py DEMO_FOLDER [--library LIBRARY] [--requests 10000] [--before TREE]

Without ``--library`` a made-up library of 120 studies is drawn into DEMO_FOLDER first. Clients run in this process, on
the same cores as the server. The server remembers its last 256 answers: ask with a library of more studies, so that
none is remembered when its turn comes again. With TREE, a checkout of another version that imports in this environment,
its server is asked in the same run, in turns with this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from machine import write_result
from served import Served, made_up, served

CLIENTS = 32
HEADERS = {"Content-Type": "application/json", "X-Lingula": "1"}
HEAD = (
    b"POST /api/search HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-Lingula: 1\r\n"
    b"Content-Length: %d\r\n\r\n"
)
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def processor_seconds(pid: int) -> float:
    """What the server has used of the processors, its reading children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    host = urlsplit(server.address)
    numbers, took = iter(range(requests)), list[float]()

    async def client() -> None:
        """Bare HTTP on one kept connection: what a client costs is taken from the server's cores."""
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        for number in numbers:
            body = json.dumps({"like": ids[number % len(ids)], "k": 5}).encode()
            started = time.perf_counter()
            writer.write(HEAD % (host.netloc.encode(), len(body)) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(LENGTH.search(head)[1]))
            took.append(time.perf_counter() - started)
            assert head.startswith(b"HTTP/1.1 200 "), head
        writer.close()

    async def together() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    started = time.perf_counter()
    asyncio.run(together())
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


def beside(library: Path, ids: list[str], tree: Path, rounds: int = 3, requests: int = 600) -> dict[str, object]:
    """Searches a second of another version and of this one, both warm, one after the other, and the median ratio."""
    with served(library, tree=tree) as former, served(library) as now:
        for server in (former, now):
            load(server, ids, len(ids))
        rates = []
        for _ in range(rounds):
            rates.append([requests / load(server, ids, requests)[1] for server in (former, now)])
    ratio = float(np.median([this / that for that, this in rates]))
    return {"beside_former": {"former": [round(that, 1) for that, _ in rates],
                              "now": [round(this, 1) for _, this in rates], "ratio": round(ratio, 2)}}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--before", type=Path)
    asked = parser.parse_args()
    library = asked.library or made_up(asked.folder, 120)
    from lingula.library import Library

    with Library.open(library) as opened:
        ids = list(opened.ids())
    before = beside(library, ids, asked.before) if asked.before else {}
    with served(library) as server:
        load(server, ids, 200)  # warm
        first, seconds = load(server, ids, max(1, asked.requests // 10))
        memory, used = memory_kb(server.pid), processor_seconds(server.pid)
        rest, more = load(server, ids, asked.requests - len(first))
        after, used = memory_kb(server.pid), processor_seconds(server.pid) - used
        statuses = overload(server)
        recovered, _ = load(server, ids, 200)
    took = np.array(first + rest)
    rate, p99 = len(took) / (seconds + more), float(np.percentile(took, 99)) * 1e3
    body = {
        "studies": len(ids), "requests": len(took), "clients": CLIENTS,
        "ms": {f"p{p}": round(float(np.percentile(took, p)) * 1e3, 1) for p in (50, 95, 99)},
        "processor_ms_per_search": round(used / len(rest) * 1e3, 2),
        "memory_kb": {"after_a_tenth": memory, "after_all": after},
        "overload_statuses": statuses,
        "p50_ms_after_overload": round(float(np.median(recovered)) * 1e3, 1), **before,
    }  # fmt: skip
    headline = {
        "searches_per_second_32": {"value": round(rate, 1), "unit": "1/s", "n": len(took)},
        "search_p99_ms_32": {"value": round(p99, 1), "unit": "ms", "n": len(took)},
        "served_memory_growth_ratio": {"value": round(after / memory, 3), "unit": "ratio"},
    }
    print(json.dumps({**body, **{key: entry["value"] for key, entry in headline.items()}}, indent=1))
    write_result("serve_load", body, headline)


if __name__ == "__main__":
    main()
