"""What is sent before an answer is given, looked through for the answer: bytes of every response up to the commit.

    python benchmarks/answer_bytes.py demo [--studies 12]

The folder gets a made-up library, if it has none. For each task and three students of a class: the page, the question,
its films and headers, refusals of a film too many and of a look-alike, scripts and style sheet. Counted are ids,
image ids, codes and names of findings, key points and sentences of reports of the set's studies, and metadata of a
film; of a quiz the findings to tick are the same for every study and are left out, of a pair the one it asks for.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from lingula.labels import search_findings
from lingula.library import Library
from lingula.teaching.tasks import TASKS
from machine import write_result
from served import made_up, served

STUDENTS = ("Ann", "Bo", "Cy")


def answer_words(library: Library, cases: list[dict[str, Any]]) -> list[bytes]:
    """What tells an answer of a set: ids, image ids, codes and names, key points, sentences of reports."""
    found: set[str] = set()
    for case in cases:
        record = library.get(case["study_id"])
        found |= {record.study_id, case["key_point"], *(film.image_id for film in record.radiographs)}
        found |= {label for label in record.labels or () if label != "normal"}
        for part in record.report.sections if record.report else ():
            if record.report and part.name in ("findings", "impression"):
                text = record.report.text[part.start : part.end]
                found |= {each.strip() for each in re.split(r"[.\n]", text) if len(each.strip()) > 12}
    return [each.encode() for each in found | {each.name for each in search_findings().values()} if each]


def leaks(words: list[bytes], sent: list[bytes], choices: dict[str, str]) -> list[str]:
    """The words that stand in what was sent, the findings to tick left out."""
    for each in sorted((*choices, *choices.values()), key=len, reverse=True):
        sent = [body.replace(each.encode(), b"").replace(each.lower().encode(), b"") for body in sent]
    patterns = [rb"(?<![\w-])" + re.escape(word) + rb"(?![\w-])" for word in words]
    found = [word.decode() for word, pattern in zip(words, patterns, strict=True)
             for body in sent if re.search(pattern, body, re.IGNORECASE)]  # fmt: skip
    for body in sent:
        if body.startswith(b"\x89PNG"):
            with Image.open(io.BytesIO(body)) as picture:
                found += [f"metadata {each}" for each in set(picture.info) - {"transparency"}]
    return found


class Client:
    """Asks a server and keeps body and headers of every response."""

    def __init__(self, address: str) -> None:
        self._place = urlsplit(address).netloc
        self.sent: list[bytes] = []

    def ask(self, method: str, path: str, body: Any = None, cookie: str = "") -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self._place, timeout=60)
        headers = {"X-Lingula": "1", "Content-Type": "application/json", **({"Cookie": cookie} if cookie else {})}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        told = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        self.sent += [told[2], json.dumps(told[1]).encode()]
        return told


def before_answer(client: Client, path: str, student: str) -> dict[str, str]:
    """Everything a student's browser may ask for up to the commit; the findings to tick."""
    _, headers, _ = client.ask("POST", f"{path}/join", {"name": student})
    cookie = headers["set-cookie"].partition(";")[0]
    page = client.ask("GET", path, cookie=cookie)[2].decode()
    question = json.loads(client.ask("GET", f"{path}/next", cookie=cookie)[2])["question"]
    base = f"{path}/{question['question_id']}"
    for row in range(question["films"] + 1):
        client.ask("GET", f"{base}/films/{row}", cookie=cookie)
    for address in (f"{base}/alike/0/films/0", base, *re.findall(r'"(/static/[^"]+)"', page)):
        client.ask("GET", address, cookie=cookie)
    choices: dict[str, str] = question["choices"]
    return choices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=12)
    given = parser.parse_args()
    leaked: list[str] = []
    responses = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copy(made_up(given.folder, given.studies), folder))
        with Library.open(place) as library:
            ids = [study for study, known in library.summaries(library.ids()).items() if known.images]
            with served(place) as server:
                teacher = Client(server.address)
                set_ = json.loads(teacher.ask("POST", "/api/sets", {"title": "Films", "study_ids": ids})[2])
                for case in set_["cases"]:
                    case["drawings"] = [{"shape": "box", "film": 0, "points": [[0.2, 0.2], [0.6, 0.6]]}]
                    case["key_point"] = f"Key point of {case['study_id']}"
                base = f"/api/sets/{set_['set_id']}"
                teacher.ask("PUT", base, set_)
                words = answer_words(library, set_["cases"])
                for task in TASKS:
                    path = json.loads(teacher.ask("POST", f"{base}/links", {"task": task})[2])["address"]
                    for student in STUDENTS:
                        client = Client(server.address)
                        choices = before_answer(client, path, student)
                        leaked += leaks(words, client.sent, choices)
                        responses += len(client.sent) // 2
    body = {"responses": responses, "words": len(words), "tasks": list(TASKS), "students": len(STUDENTS),
            "leaked": sorted(set(leaked))}  # fmt: skip
    headline = {"answer_bytes_leaked": {"value": len(leaked), "unit": "words found", "n": responses}}
    write_result("answer_bytes", body, headline)


if __name__ == "__main__":
    main()
