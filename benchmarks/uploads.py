"""Is the server's memory flat under uploads?

    python benchmarks/uploads.py [UPLOADS]

A made-up film a time, none like another, is sent to ``lingula serve`` with the shipped model: nine in ten as a
case, one in ten as an import into the library, every twentieth damaged. Memory is that of the server and its
children, as it is after a tenth of the uploads, when what is kept of cases is full, and at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

from canaries import multipart
from machine import write_result
from own_films import dicom, picture
from process_memory import resident
from served import made_up, served

UPLOADS = 2000
STUDIES = 30


def upload(connection: HTTPConnection, number: int) -> int:
    """Send the film of this number; the status of the answer."""
    data = picture(number) if number % 3 else dicom(number)
    if number % 20 == 19:
        data = data[: len(data) // 2]
    path = "/api/imports" if number % 10 == 9 else "/api/cases"
    body, kind = multipart([(f"film {number}", data)])
    connection.request("POST", path, body, {"X-Lingula": "1", "Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else UPLOADS
    with tempfile.TemporaryDirectory() as folder:
        library = made_up(Path(folder), STUDIES)
        with served(library) as server:
            connection, statuses, memory = server.connect(), [], []
            begun = perf_counter()
            for number in range(count):
                statuses.append(upload(connection, number))
                if (number + 1) % (count // 10) == 0:
                    memory.append(round(resident(server.pid) / 1e6))
            seconds = perf_counter() - begun
    figures = {
        "n": count,
        "memory_mb": memory,
        "ratio": round(memory[-1] / memory[0], 3),
        "answered": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        "uploads_per_second": round(count / seconds, 1),
    }
    headline = {"memory_growth_ratio": {"value": figures["ratio"], "unit": "ratio", "n": count}}
    write_result("uploads", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
