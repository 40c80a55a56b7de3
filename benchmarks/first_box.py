"""How long a library is prepared for searches by a box, and what its answers take meanwhile.

    python benchmarks/first_box.py LIBRARY

A copy of LIBRARY, for which nothing is prepared, is served. The first case begins the preparation; then somebody asks
about a stored study every second, and every few seconds for a search by a box, until one is answered. The same studies,
asked about once more afterwards, say what an answer takes without it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from answer_bytes import Client
from lingula.library import Library
from machine import write_result
from served import served

EVERY, PAUSE, CASES = 4.0, 1.0, 50
"""Seconds between searches by a box, and after a case; cases asked about afterwards."""
BOX = {"film": 0, "x": 60, "y": 60, "width": 60, "height": 60}


def asked(client: Client, path: str, body: object = None) -> tuple[int, dict[str, object], float]:
    """Status, answer and seconds."""
    started = time.perf_counter()
    status, _, content = client.ask("POST", path, body)
    return status, json.loads(content), time.perf_counter() - started


def main() -> None:
    place = Path(sys.argv[1])
    with Library.open(place) as library:
        held = {study: len(known.images) for study, known in library.summaries(library.ids()).items() if known.images}
    ids, films = list(held), sum(held.values())
    with served(place) as server:
        client = Client(server.address)
        meanwhile, begun, last = [], time.perf_counter(), 0.0
        while True:
            status, case, seconds = asked(client, f"/api/studies/{ids[len(meanwhile) % len(ids)]}/case")
            assert status == 201, case
            meanwhile.append(seconds)
            time.sleep(PAUSE)
            if time.perf_counter() - last < EVERY:
                continue
            last = time.perf_counter()
            status, answer, _ = asked(client, f"/api/cases/{case['case_id']}/region", BOX)
            if status == 200:
                break
            assert answer["code"] == "busy", answer
        prepared = time.perf_counter() - begun
        quiet = [asked(client, f"/api/studies/{study}/case")[2] for study in ids[:CASES]]
    during, after = (round(1000 * float(np.median(each)), 1) for each in (meanwhile[1:], quiet))
    body = {
        "studies": len(ids), "films": films, "seconds": round(prepared, 1),
        "case_p50_ms": {"meanwhile": during, "afterwards": after}, "cases": {"meanwhile": len(meanwhile) - 1},
    }  # fmt: skip
    headline = {"first_box_seconds": {"value": body["seconds"], "unit": "s, in the background", "n": films}}
    write_result("first_box", body, headline)
    print(json.dumps(body))


if __name__ == "__main__":
    main()
