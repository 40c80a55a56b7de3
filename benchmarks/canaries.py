"""Nothing of a patient is left: names, numbers, UIDs and dates are planted in files and looked for everywhere after.

    python benchmarks/canaries.py

Planted are a mark in every text attribute of the DICOM dictionary, UIDs of one root and one date in every attribute
of those kinds, the mark in the names of files, folders and members of archives, in the metadata of pictures, in
reports beside films and in what a teacher writes of a set, among films that are accepted and films that are refused
for it. Looked through are the library's files, exports, sets and cards made of it, what the server answers (API and
pages) to imports, uploads and questions, and its log. What the command line prints to the files' owner names files and
is not looked through.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from lingula.errors import InputError
from lingula.library import Library
from lingula.library.export import FORMATS, export
from lingula.teaching.anki import set_cards
from lingula.teaching.sets import export_set, new_set
from lingula.teaching.tasks import Findings
from machine import write_result
from own_films import CANARIES, CANARY, CANARY_UID, GATES, dicom, picture

Ask = Callable[[str, str, bytes | None, str], bytes]
EDGE = "edge-of-a-part"
REPORT = f"""Patient: {CANARY}, John. Accession: {CANARY}-7767. Born 13/07/1961.
INDICATION: Mr. {CANARY} coughs; film {CANARY_UID}8.1 of 13 July 1961.
FINDINGS: Small left pleural effusion. The heart is normal in size.
IMPRESSION: Left effusion, discussed with Dr. {CANARY}. Electronically signed by: {CANARY}, Berta, MD
"""


def plant(root: Path) -> Path:
    """A folder of films with marks, every other one to be refused."""
    folder = root / f"{CANARY}^Smith" / f"{CANARY} exam"
    folder.mkdir(parents=True)
    for name, data in films():
        (folder / name).write_bytes(data)
    for name in (f"{CANARY}-1", f"{CANARY}-3", f"{CANARY}-5"):
        (folder / f"{name}.txt").write_text(REPORT)
    (folder / f"{CANARY} alone.txt").write_text("FINDINGS: Clear lungs.")
    with zipfile.ZipFile(root / f"{CANARY} disc.zip", "w") as archive:
        archive.writestr(f"{CANARY}/IM1", dicom(50, canaries=True))
        archive.writestr(f"{CANARY}/{CANARY}.dcm", dicom(51, canaries=True, Modality=CANARY))
    with zipfile.ZipFile(root / f"{CANARY} bad.zip", "w") as archive:
        archive.writestr(f"../{CANARY}", picture(52))
    return root


def films() -> list[tuple[str, bytes]]:
    """(name, bytes) of films: accepted ones, and for each gate of the header one that is refused there."""
    good = [
        (f"{CANARY}-1.dcm", dicom(1, canaries=True)),
        (f"{CANARY}-2", dicom(2, canaries=True, BurnedInAnnotation="YES", SpecificCharacterSet=CANARY)),
        (f"{CANARY}-3.png", picture(3, note=f"{CANARY} comment")),
        (f"{CANARY}-4.jpg", picture(4, "JPEG", f"{CANARY} comment")),
        (f"{CANARY}-5.dcm", dicom(5, canaries=True, ViewPosition=CANARY, StudyInstanceUID=f"{CANARY}.1")),
    ]
    bad = [
        (f"{CANARY}-{gate}.dcm", dicom(20 + at, canaries=True, **{gate: 999 if gate == "Rows" else CANARY}))
        for at, gate in enumerate(GATES)
    ]  # fmt: skip
    return good + bad


def answers(ask: Ask, folder: Path) -> dict[str, bytes]:
    """What a server answers when the folder is imported, the films are uploaded, and all is looked at."""
    said: dict[str, bytes] = {}

    def hear(name: str, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        said[name] = ask(method, path, body, kind)
        return said[name]

    def follow(name: str, started: bytes) -> None:
        events = f"/api/jobs/{json.loads(started)['job_id']}/events"
        hear(f"{name} events", "GET", events)

    follow("folder", hear("folder", "POST", "/api/imports/folder", json.dumps({"folder": str(folder)}).encode()))
    follow("upload", hear("upload", "POST", "/api/imports", *multipart(films())))
    for name, data in films():
        case = json.loads(hear(f"case {name}", "POST", "/api/cases", *multipart([(name, data)])))
        if "case_id" in case:
            hear(f"case page {name}", "GET", f"/case/{case['case_id']}")
    for page in ("/", "/library", "/search?q=effusion", "/model", "/practice", "/api/library/map", "/api/about"):
        hear(page, "GET", page)
    for point in json.loads(said["/api/library/map"])["points"]:
        hear(f"study {point['study_id']}", "GET", f"/study/{quote(point['study_id'])}")
        hear(f"api study {point['study_id']}", "GET", f"/api/studies/{quote(point['study_id'])}")
    hear("nowhere", "GET", "/api/studies/nowhere")
    hear("practice export", "GET", "/api/practice/export")
    return said


def multipart(files: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """A form with these files, and its content type."""
    parts = [
        f'--{EDGE}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + data
        for name, data in files
    ]
    return b"\r\n".join([*parts, f"--{EDGE}--\r\n".encode()]), f"multipart/form-data; boundary={EDGE}"


def kept(library: Path, out: Path) -> dict[str, bytes]:
    """The bytes of a library's files and of everything exported from it."""
    with Library.open(library) as opened:
        for kind in FORMATS:
            export(opened, out / kind, kind, mode="image")
        handouts = given_away(opened)
        words = repr([opened.get(study_id) for study_id in opened.ids()]) + repr(opened.refusals())
    found = {path.name: path.read_bytes() for path in library.parent.glob(f"{library.name}*") if path.is_file()}
    found |= {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {**found, **handouts, "records": words.encode()}


def given_away(library: Library) -> dict[str, bytes]:
    """A set of the library's studies as a file and as cards, with a mark in what its teacher wrote; the set is deleted
    again, as a teacher's words are kept as they were written. Without Tesseract a film with words burned in is refused:
    it gives no card."""
    made = new_set(library, "Rounds", owner="", study_ids=library.ids())
    told = f"Ask Dr. {CANARY} of 13/07/1961."
    cases = tuple(replace(case, key_point=told, hint=told, question=told) for case in made.cases)
    written = replace(made, question=told, cases=cases)
    cards, findings = [], Findings({}, library.about.labels, None)
    for case in cases:
        try:
            cards += [
                f"{card.front} {card.back}" for card in set_cards(library, replace(written, cases=(case,)), findings)
            ]
        except InputError as error:
            if error.code != "text_reader_missing":
                raise
    library.teaching.delete_set(made.set_id)
    return {"set": export_set(written).encode(), "cards": " ".join(cards).encode()}


def left(texts: Mapping[str, bytes]) -> dict[str, int]:
    """How often a planted mark is found, by place; places without any are left out."""
    marks = [mark.lower().encode() for mark in CANARIES]
    found = {name: sum(text.lower().count(mark) for mark in marks) for name, text in texts.items()}
    return {name: count for name, count in found.items() if count}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root, library = Path(place), Path(place) / "library.sqlite"
        plant(root / "films")
        command = [sys.executable, "-m", "lingula", "import", "files", str(root / "films"), "--library", str(library)]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        counts = json.loads(done.stdout)
        with (root / "log").open("wb") as log:
            serve = [sys.executable, "-m", "lingula", "serve", "--library", str(library), "--port", "0", "--json"]
            server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=log, text=True)
            assert server.stdout is not None
            try:
                netloc = urlsplit(json.loads(server.stdout.readline())["address"]).netloc

                def ask(method: str, path: str, body: bytes | None, kind: str) -> bytes:
                    connection = HTTPConnection(netloc, timeout=300)
                    connection.request(method, path, body, {"X-Lingula": "1", "Content-Type": kind, "Accept": "*/*"})
                    answer = connection.getresponse()
                    return repr(answer.getheaders()).encode() + b"\n" + answer.read()

                said = answers(lambda *given: ask(*given).partition(b"\n")[2], root / "films")
            finally:
                server.terminate()
                server.wait()
        texts = {**kept(library, root / "out"), **said, "log": (root / "log").read_bytes()}
        found = left(texts)
    figures = {
        "left": found,
        "places": len(texts),
        "bytes": sum(map(len, texts.values())),
        "planted": sum(io.BytesIO(data).getvalue().lower().count(CANARY.lower().encode()) for _, data in films()),
        "added": counts["added"],
        "refused": len(counts["refused"]),
    }
    headline = {"phi_canaries_left": {"value": sum(found.values()), "unit": "canaries", "n": len(texts)}}
    write_result("canaries", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
