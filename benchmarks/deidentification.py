"""Planted identifiers: 25 in each of 200 phantom films and their reports, and what is left of them afterwards.

    python benchmarks/deidentification.py [FILMS [SEED]]

In each film 19 identifiers stand in attributes that PS3.15 table E.1-1 names, three in attributes that it does not
(a private one, a sequence, a harmless code), one is burned into a corner, two stand in its report. An action is right
where the identifier is nowhere in the file any more; where a value is to be kept, it must be there as it was; UIDs must
be others and valid, intervals between dates the same. Burned-in text counts as found where nine tenths of its ink are
changed; ink of the very value that the film has there is none. Beside it, on the same films, where they are installed:
dicognito and Orthanc's anonymiser.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lingula.deidentification import deidentify
from lingula_phantom import generate
from machine import write_result

SEED = 2026
TEXTS = (
    "PatientID", "AccessionNumber", "StudyID", "InstitutionName", "InstitutionAddress", "StationName",
    "StudyDescription", "SeriesDescription", "ProtocolName", "DeviceSerialNumber", "PatientAddress",
    "OtherPatientIDs", "ImageComments", "RequestedProcedureDescription", "AdmissionID",
)  # fmt: skip
NAMES = ("PatientName", "ReferringPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy")
KEPT = ("Modality", "Rows", "Columns", "BitsStored", "PhotometricInterpretation", "SOPClassUID", "ImagerPixelSpacing")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
FIRST = ("Aldo", "Berta", "Cosima", "Dorian", "Edith", "Fabian", "Greta", "Henrik", "Irmgard", "Jonas")
LAST = ("Quandt", "Wexford", "Zabrowski", "Ybarra", "Xanthos", "Uhlenbrock", "Vantongeren", "Okonkwo", "Tarkington")


@dataclass
class Plant:
    """What was put into one film: identifiers by place, the ink of the burned-in words, the report's."""

    identifiers: dict[str, str] = field(default_factory=dict)
    ink: np.ndarray | None = None
    report: list[str] = field(default_factory=list)


def plant(file: Path, number: int, rng: np.random.Generator) -> Plant:
    """Put identifiers into a film, in place, and a report beside it."""
    film, planted = dcmread(file), Plant()

    def token() -> str:
        return "".join(rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ"), 3)) + f"{number:04}{int(rng.integers(1e5)):05}"

    for keyword in TEXTS:
        planted.identifiers[keyword] = token()
        setattr(film, keyword, planted.identifiers[keyword])
    for keyword in NAMES:
        name = f"{rng.choice(LAST)}{token()[:3].lower()}^{rng.choice(FIRST)}"
        planted.identifiers[keyword] = name
        setattr(film, keyword, name)
    film.StudyDate, film.SeriesDate = "20110505", "20110509"
    block = film.private_block(0x0099, "PLANTED", create=True)
    item = Dataset()
    item.ScheduledPerformingPhysicianName = planted.identifiers["sequence"] = f"{rng.choice(LAST)}{token().lower()}^Ute"
    film.RequestAttributesSequence = Sequence([item])
    block.add_new(1, "LO", planted.identifiers.setdefault("private", token()))
    film.ManufacturerModelName = planted.identifiers["harmless"] = planted.identifiers["PatientID"]
    planted.ink = burn(film, f"{planted.identifiers['PatientName'].split('^')[0].upper()} {token()[3:]}", rng)
    film.save_as(file, enforce_file_format=True)
    told = planted.identifiers["PatientName"].replace("^", ", ")
    doctor = planted.identifiers["ReferringPhysicianName"].split("^")[0]
    planted.report = [planted.identifiers["PatientName"].split("^")[0], doctor]
    file.with_suffix(".txt").write_text(
        f"Report on {told} for Dr. {doctor}. FINDINGS: The lungs are clear. Heart size is normal."
    )
    return planted


def burn(film: Dataset, words: str, rng: np.random.Generator) -> np.ndarray:
    """Write words into a corner of the film; where they changed it: black on black is no ink that could be read."""
    values = film.pixel_array
    size = int(rng.integers(28, 45))
    font = ImageFont.load_default(size)
    mask = Image.new("L", values.shape[::-1])
    width = int(font.getlength(words))
    left = 12 if rng.random() < 0.5 else max(4, values.shape[1] - width - 12)
    top = 8 if rng.random() < 0.5 else values.shape[0] - size - 16
    ImageDraw.Draw(mask).text((left, top), words, fill=255, font=font)
    ink = np.asarray(mask) > 127
    around = np.median(values[top : top + size, left : left + width])
    whole = (1 << film.BitsStored) - 1
    before, values = values, values.copy()
    values[ink] = 0 if around > whole / 2 else whole
    film.set_pixel_data(values, film.PhotometricInterpretation, film.BitsStored, generate_instance_uid=False)
    return ink & (values != before)


@dataclass
class Tally:
    """Actions right of how many; words found of how many; the largest share of pixels touched."""

    right: int = 0
    actions: int = 0
    found: int = 0
    words: int = 0
    touched: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def count(self, what: str, is_right: bool) -> None:
        self.right, self.actions = self.right + is_right, self.actions + 1
        if not is_right:
            self.wrong[what] += 1


def judge(tally: Tally, given: Dataset, made: Dataset | None, data: bytes, planted: Plant) -> None:
    """Count what became of one film; ``made`` is None where there is no answer, which is wrong throughout."""
    low = data.lower()
    for what, identifier in planted.identifiers.items():
        parts = [part.lower().encode() for part in identifier.split("^") if len(part) > 3]
        text = low if what == "harmless" or made is None else str(made.get(what, low)).lower().encode()
        tally.count(what, made is not None and not any(part in text for part in parts))
    for keyword in UIDS:
        uid = str(made.get(keyword, "")) if made is not None else ""
        tally.count(keyword, bool(uid) and uid != given[keyword].value and uid.replace(".", "").isdigit())
    for keyword in KEPT:
        tally.count(f"kept {keyword}", made is not None and made.get(keyword) == given.get(keyword))
    tally.count("interval", made is not None and days(made) == 4 and made.StudyDate != "20110505")
    if made is not None and planted.ink is not None:
        changed = made.pixel_array != given.pixel_array
        tally.touched.append(float(changed.mean()))
        tally.found += bool(changed[planted.ink].mean() >= 0.9)
    tally.words += 1


def days(film: Dataset) -> int | None:
    try:
        one, other = (datetime.strptime(film[keyword].value, "%Y%m%d") for keyword in ("StudyDate", "SeriesDate"))
    except (KeyError, ValueError, TypeError):
        return None
    return (other - one).days


def by_lingula(folder: Path, out: Path) -> dict[str, bytes]:
    """The de-identified files by the film they came from (its place in the folder by the keyed UID)."""
    from lingula.library.identity import pseudonym

    secret = b"secret of the benchmark"
    deidentify(folder, out, secret=secret)
    made = {file.stem: file.read_bytes() for file in out.rglob("*.dcm")}
    found = {}
    for file in folder.glob("*.dcm"):
        uid = pseudonym(secret, str(dcmread(file, stop_before_pixels=True).SOPInstanceUID))
        if uid in made:
            found[file.stem] = made[uid]
    return found


def by_dicognito(folder: Path, out: Path) -> dict[str, bytes]:
    from dicognito.anonymizer import Anonymizer  # type: ignore[import-not-found]

    one, found = Anonymizer(), {}
    for file in sorted(folder.glob("*.dcm")):
        film = dcmread(file)
        one.anonymize(film)
        film.save_as(out / file.name)
        found[file.stem] = (out / file.name).read_bytes()
    return found


def by_orthanc(folder: Path, out: Path) -> dict[str, bytes]:
    found = {}
    with orthanc(out) as address:
        for file in sorted(folder.glob("*.dcm")):
            sent = urllib.request.Request(f"{address}/instances", file.read_bytes(), method="POST")
            with urllib.request.urlopen(sent) as answer:
                instance = json.load(answer)["ID"]
            asked = urllib.request.Request(f"{address}/instances/{instance}/anonymize", b"{}", method="POST")
            with urllib.request.urlopen(asked) as answer:
                found[file.stem] = answer.read()
    return found


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[str]:
    """A server of its own on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"), "HttpPort": port,
                "DicomServerEnabled": False, "AuthenticationEnabled": False, "Plugins": []}  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    server = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/system").close()
                break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def ways_here() -> dict[str, Callable[[Path, Path], dict[str, bytes]]]:
    """What de-identifies a folder, by name: lingula, and those of its peers that are installed."""
    ways: dict[str, Callable[[Path, Path], dict[str, bytes]]] = {"lingula": by_lingula}
    if importlib.util.find_spec("dicognito"):
        ways["dicognito"] = by_dicognito
    if shutil.which("Orthanc"):
        ways["orthanc"] = by_orthanc
    return ways


def made_films(root: Path, count: int) -> list[Path]:
    """Copies of made-up films, 2,048 pixels long, in a folder ``films`` of their own."""
    folder = root / "films"
    folder.mkdir()
    generate(root / "phantom", studies=count // 2 + count // 20 + 1, long_side=2048)  # some have one film
    films = sorted((root / "phantom").rglob("*.dcm"))[:count]
    return [Path(shutil.copy(file, folder / f"{number:04}.dcm")) for number, file in enumerate(films)]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        root, folder = Path(place), Path(place) / "films"
        planted = {film.stem: plant(film, number, rng) for number, film in enumerate(made_films(root, count))}
        tables = {}
        for name, way in ways_here().items():
            out = root / name
            out.mkdir()
            made = way(folder, out)
            tally = Tally()
            for stem, each in planted.items():
                given, data = dcmread(folder / f"{stem}.dcm"), made.get(stem, b"")
                written = dcmread(write(out / "one.dcm", data)) if data else None
                judge(tally, given, written, data, each)
            if name == "lingula":
                texts = [file.read_text().lower() for file in out.glob("report-*.txt")]
                every = "\n".join(texts)
                for each in planted.values():
                    for word in each.report:
                        tally.count("report", word.lower() not in every)
            tables[name] = {
                "actions_right": tally.right / tally.actions, "actions": tally.actions,
                "text_found": tally.found / tally.words, "words": tally.words,
                "touched_most": max(tally.touched, default=0.0), "wrong": dict(tally.wrong.most_common()),
                "touched_mean": float(np.mean(tally.touched)) if tally.touched else 0.0, "answered": len(made),
            }  # fmt: skip
            print(json.dumps({name: tables[name]}))
    own = tables["lingula"]
    headline = {
        "deid_actions_right": {"value": own["actions_right"], "unit": "share", "n": own["actions"]},
        "deid_text_found": {"value": own["text_found"], "unit": "share", "n": own["words"]},
        "deid_pixels_touched": {"value": own["touched_mean"], "unit": "share of pixels, mean", "n": own["words"]},
    }
    identifiers = sum(len(each.identifiers) + 1 + len(each.report) for each in planted.values())
    write_result("deidentification", {"films": count, "identifiers": identifiers, "seed": seed, "by": tables}, headline)


def write(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


if __name__ == "__main__":
    main()
