"""Inputs of daily work, tried: how many of a folder of cases are read as they should be.

    python benchmarks/tried.py FOLDER

FOLDER holds ``cases.jsonl`` (a line a case: ``report``, ``question`` or ``files``, what is ``expected``, what an
earlier version ``got``) and the files. Reports and questions are compared with what the case expects of each finding;
a case of files has a check of its own below, by its id; the few that are ways of asking have one, too, in a folder
made for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lingula.analysis import analyze
from lingula.errors import InputError
from lingula.ingest.batches import create_library
from lingula.ingest.files import import_files
from lingula.labels import polarity, read_assertions
from lingula.model.checkpoint import load_checkpoint
from lingula.reading.report_text import parse_report
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula.retrieval import Query
from lingula.study import Study
from lingula_phantom import generate
from machine import write_result

MODEL = load_checkpoint("compact")
REFUSED: dict[str, str] = {}
"""Cases that are refused for a reason that a document gives."""


def reads_report(case: dict[str, Any]) -> bool:
    report = parse_report(case["report"])[0]
    said, expected = read_assertions(report), json.loads(case["expected"])
    sections = expected.pop("_sections", None)
    side = expected.pop("_side", None)
    right = all(polarity(said, finding) in _list(wanted) for finding, wanted in expected.items())
    has_side = side is None or tuple(side) in {(each.finding, each.side) for each in said}
    return right and has_side and sections in (None, [part.name for part in report.sections])


def reads_question(case: dict[str, Any]) -> bool:
    query, expected = Query.read(case["question"]), json.loads(case["expected"])
    found = {name: [str(each) for each in getattr(query, name)] for name in expected if hasattr(query, name)}
    again = Query.read(query.question()).with_options(text=query.text)
    return found == {name: expected[name] for name in found} and again == query


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def films(folder: Path, *codes: str) -> bool:
    """Every film is read; where codes are given, each with one of these notices."""
    for path in sorted(folder.iterdir()):
        study = read_study(path)
        if codes and not {notice.code for notice in study.all_notices} & set(codes):
            return False
    return True


def says(folder: Path, **expected: str) -> bool:
    """Every report says this of the findings."""
    for path in sorted(folder.iterdir()):
        report = read_study((), report=path).report
        said = read_assertions(report) if report else ()
        if any(polarity(said, finding) != wanted for finding, wanted in expected.items()):
            return False
    return True


def refused(folder: Path, code: str) -> bool:
    for path in folder.iterdir():
        try:
            read_study((), report=path)
        except InputError as error:
            if error.code == code:
                continue
        return False
    return True


def flags(study: Study, *labels: str) -> bool:
    found = {p.label for p in analyze(study, MODEL, methods=()).predictions if p.decision == "present"}
    return found.issuperset(labels)


def nothing_read(folder: Path) -> bool:
    """Nothing of these texts is flagged: each is refused as empty."""
    for path in folder.iterdir():
        try:
            analyze(read_study((), report=path), MODEL, methods=())
        except InputError as error:
            if error.code == "report_empty":
                continue
        return False
    return True


def framed(folder: Path) -> bool:
    """The framed film is answered as the film itself."""
    plain, *others = (read_study(folder / name) for name in ("film.png", "pad120.png", "phone.png"))

    def probabilities(study: Study) -> np.ndarray[Any, Any]:
        return np.array([p.probability for p in analyze(study, MODEL, methods=(), anyway=True).predictions])

    base = probabilities(plain)
    same = [float(np.abs(probabilities(other) - base).max()) <= 0.02 for other in others]
    return all(same) and len({study.radiographs[0].view for study in (plain, *others)}) == 1


FILES: dict[str, Callable[[Path], bool]] = {
    "r02": lambda at: says(at, pneumothorax="absent", pleural_effusion="present"),
    "r05": lambda at: says(at, pneumothorax="absent"),
    "r06": lambda at: all(read_study((), report=path).report for path in at.iterdir()),
    "r07": lambda at: refused(at, "not_a_report"),
    "r12": lambda at: all(read_study(path).report for path in at.iterdir()),
    "r13": lambda at: all(read_study(path).report for path in at.iterdir()),
    "r17": lambda at: says(at, pneumothorax="absent", pleural_effusion="present"),
    "r19": lambda at: says(at, pneumothorax="absent", pleural_effusion="absent", cardiomegaly="present"),
    "m01": lambda at: flags(read_study((), report=at / "report.txt"), "pleural_effusion", "pulmonary_edema"),
    "m02": nothing_read,
    "m03": framed,
    "d14": lambda at: films(at, "bad_header"),
    "d54": films,
    "d61": films,
    "d62": lambda at: films(at, "orientation_corrected"),
    "p02": lambda at: float(read_study(at / "film.png").radiographs[0].pixels.mean()) > 0.2,
    "p13": lambda at: films(at, "colour_ignored"),
    "p14": lambda at: films(at, "colour_ignored"),
}


def lingula(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lingula", *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def asked(case: str, folder: Path) -> bool:
    """The cases that are ways of asking, on drawn films."""
    drawn = sorted((generate(folder / "drawn", studies=4, long_side=320) / "NLMCXR_dcm").rglob("*1001.dcm"))
    report = "FINDINGS: Large left pleural effusion."
    if case == "c08":
        ways = (("--report", "-"), ("--text", "-"), ("--report", "/dev/stdin"))
        answers = [json.loads(lingula("predict", *way, "--json", given=report).stdout) for way in ways]
        return all(
            {p["label"]: p for p in each["predictions"]}["pleural_effusion"]["decision"] == "present"
            for each in answers
        )
    if case == "c13":  # the roads are there; benchmarks/node.py and index_archive.py walk them with real archives
        roads = (("node",), ("import", "dicomweb"), ("import", "pacs"))
        return all(lingula(*road, "--help").returncode == 0 for road in roads)
    if case == "c09":
        questions = ("w/o effusion", "R/O pneumonia", "atelectasis/pneumonia", "s/p CABG")
        return all("there is no file" not in lingula("search", each, "--json").stdout for each in questions)
    if case == "c03":
        said = json.loads(lingula("predict", *_pictures(drawn[:2], folder, "two/{}.png"), "--json").stdout)
        return bool(said["code"] == "several_studies")
    with Sandbox(2) as sandbox, create_library(MODEL, folder / "library.sqlite") as library:
        if case == "c11":
            _pictures(drawn, folder, "tree/patient{}/study1/view1_frontal.jpg")
            return import_files(library, MODEL, folder / "tree", sandbox).added == 4
        if case == "c12":
            for picture in _pictures(drawn[:2], folder, "own/{}.png"):
                Path(picture).with_suffix(".txt").write_text(report)
            import_files(library, MODEL, folder / "own", sandbox)
            return [bool(library.study(each).report) for each in library.ids()] == [True, True]
        disc = folder / "disc.zip"
        with zipfile.ZipFile(disc, "w") as archive:
            for number, film in enumerate(drawn[:2]):
                archive.write(film, f"DICOM/IM{number}")
        added = import_files(library, MODEL, disc, sandbox).added
        if case == "c02":
            return added == 2
        where, (one, other) = str(folder / "library.sqlite"), library.ids()
        return other in lingula("search", "--like", one, "--library", where).stdout


def _pictures(drawn: list[Path], folder: Path, name: str) -> list[str]:
    """Films as pictures under names with a number in them."""
    from PIL import Image

    made = []
    for number, film in enumerate(drawn, 1):
        path = folder / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = read_study(film).radiographs[0].pixels
        Image.fromarray((pixels * 255).astype(np.uint8)).save(path)
        made.append(str(path))
    return made


def is_right(case: dict[str, Any], root: Path) -> bool:
    try:
        if "report" in case:
            return reads_report(case)
        if "question" in case:
            return reads_question(case)
        if "files" in case:
            return FILES.get(case["id"], films)(root / case["files"])
        with tempfile.TemporaryDirectory() as folder:
            return asked(case["id"], Path(folder))
    except (InputError, KeyError, json.JSONDecodeError) as error:
        print(f"{case['id']}: {error!r}", file=sys.stderr)
        return False


def main() -> None:
    root = Path(sys.argv[1])
    cases = [json.loads(line) for line in (root / "cases.jsonl").read_text("utf-8").splitlines()]
    wrong = [case["id"] for case in cases if case["id"] not in REFUSED and not is_right(case, root)]
    right = len(cases) - len(wrong) - len(REFUSED)
    before = sum(case["got"] == "as expected" for case in cases)
    body = {"right": right, "total": len(cases), "right_before": before, "wrong": wrong, "refused": REFUSED}
    unit = {"unit": "cases"}
    write_result("tried", body, {"tried_right": {"value": right, **unit}, "tried_total": {"value": len(cases), **unit}})
    print(json.dumps(body))


if __name__ == "__main__":
    main()
