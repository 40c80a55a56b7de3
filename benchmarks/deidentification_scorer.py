"""The public scorer of the MIDI-B challenge on planted films: lingula, dicognito and Orthanc's anonymiser.

    python benchmarks/deidentification_scorer.py SCORER [FILMS [SEED]]

SCORER is a folder with ``modules/`` of CBIIT/midi_continuous_benchmark or CBIIT/MIDI_validation_script; nothing of it
is part of this project. Its answer key for these films is written here, of ten kinds of actions: identifiers removed,
dates shifted, UIDs changed and consistent, patients consistent, tags and values retained and filled, text in pixels
hidden, and pixels retained in every fourth film, which has no text. The scorer reads and judges the files itself. It
asks for EasyOCR and for word lists that are fetched; Tesseract, and a few words written here, stand for them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from deidentification import SEED, Plant, made_films, plant, ways_here
from machine import write_result

RETAINED = ("Modality", "SOPClassUID", "Rows", "Columns", "BitsStored", "PhotometricInterpretation", "ViewPosition")
FILLED = ("PatientID", "PatientName", "StudyInstanceUID")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
JUDGE = """
import json, sys, types
from pathlib import Path
import numpy as np
scorer, work = sys.argv[1:]
sys.path.insert(0, scorer)
from PIL import Image
import subprocess

def stand_in(name, **parts):
    module = types.ModuleType(name)
    module.__dict__.update(parts)
    sys.modules[name] = module

class Reader:
    def __init__(self, *languages, **options): pass
    def readtext(self, picture):
        part = Image.fromarray(np.asarray(picture, np.uint8)).resize([2 * side for side in picture.shape[::-1]])
        part.save(f"{work}/part.png")
        told = subprocess.run(["tesseract", f"{work}/part.png", "-", "--psm", "11"], capture_output=True, text=True)
        return [(None, word, 1.0) for word in told.stdout.split()]

stand_in("easyocr", Reader=Reader)
stand_in("nltk")
stand_in("nltk.tokenize", word_tokenize=lambda text: text.replace("^", " ^ ").split())
words = "a an and at by for in is of on or the to with".split()
stand_in("nltk.corpus", stopwords=types.SimpleNamespace(words=lambda language: words))
import pandas as pd
from modules.answer_preparer import answer_preparer
from modules.curation_validator import curation_validator
from modules.file_indexer import file_indexer
told = json.loads(Path(work, "told.json").read_text())
log, level = f"{work}/log", 30
files = file_indexer().get_file_table(pd.DataFrame(told["files"]), False, 1, log, level)
key = answer_preparer().get_prepared_data(pd.DataFrame(told["key"]), told["uids"], False, 1, log, level)
done = curation_validator().get_validation_data(files, key, told["uids"], told["patients"], False, 1, log, level)
table = {}
for action, passed in zip(done.action, done.check_passed):
    right, of = table.get(action.strip("<>"), (0, 0))
    table[action.strip("<>")] = right + bool(passed), of + 1
print(json.dumps(table))
"""


def path_of(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return f"<{Tag(tag)}>".replace(", ", ",")  # written as pydicom writes it, which the scorer goes by


def answers(film: Dataset, planted: Plant) -> dict[str, dict[str, Any]]:
    """What is to become of one film, as the scorer's answer key says it."""
    told: list[tuple[str, str, str, str]] = []  # action, keyword, path, what it is about
    for keyword, identifier in planted.identifiers.items():
        if keyword == "private":
            told.append(("text_removed", "private", '<(0099,"PLANTED",01)>', identifier))
        elif keyword == "sequence":
            within = f"{path_of('RequestAttributesSequence')}[<0000>]{path_of('ScheduledPerformingPhysicianName')}"
            told.append(("text_removed", "sequence", within, identifier))
        else:
            name = "ManufacturerModelName" if keyword == "harmless" else keyword
            told.append(("text_removed", name, path_of(name), identifier))
    told += [("date_shifted", each, path_of(each), str(film[each].value)) for each in ("StudyDate", "SeriesDate")]
    for action in ("uid_changed", "uid_consistent"):
        told += [(action, each, path_of(each), str(film[each].value)) for each in UIDS]
    told.append(("patid_consistent", "PatientID", path_of("PatientID"), str(film.PatientID)))
    for action, keywords in (("tag_retained", RETAINED), ("text_retained", RETAINED), ("text_notnull", FILLED)):
        told += [(action, each, path_of(each), str(film.get(each, ""))) for each in keywords if each in film]
    if planted.ink is None:
        told.append(("pixels_retained", "PixelData", path_of("PixelData"), hashlib.md5(film.PixelData).hexdigest()))
    else:
        rows, columns = np.nonzero(planted.ink)
        told.append(("pixels_hidden", "PixelData", path_of("PixelData"), json.dumps({
            "text": planted.identifiers["PatientName"].split("^")[0].upper(),
            "top_left": [max(0, int(columns.min()) - 4), max(0, int(rows.min()) - 4)],
            "bottom_right": [int(columns.max()) + 4, int(rows.max()) + 4],
        })))  # fmt: skip
    return {
        str(number): {"action": f"<{action}>", "tag": path, "tag_ds": path, "tag_name": keyword, "value": f"<{value}>",
                      "action_text": f"<{value}>", "answer_category_v2": {}}
        for number, (action, keyword, path, value) in enumerate(told)
    }  # fmt: skip


def scored(scorer: Path, work: Path, given: dict[str, Dataset], key: dict[str, Any], made: dict[str, bytes]) -> Any:
    """The scorer's table: action to (right, of) for the films that came back."""
    work.mkdir()
    uids: dict[str, str] = {}
    patients: dict[str, str] = {}
    files, rows = [], []
    for stem, film in given.items():
        if stem not in made:
            continue
        (place := work / f"{stem}.dcm").write_bytes(made[stem])
        new = dcmread(place)
        for each in UIDS:
            uids.setdefault(f"<{film[each].value}>", f"<{new[each].value}>")
        patients.setdefault(f"<{film.PatientID}>", f"<{new.get('PatientID', '')}>")
        digest = hashlib.md5(new.PixelData).hexdigest()
        files.append({"file_name": place.name, "file_path": str(place), "file_digest": digest})
        rows.append({each: str(film[each].value) for each in UIDS} | {"AnswerData": json.dumps(key[stem])})
    (work / "told.json").write_text(json.dumps({"files": files, "key": rows, "uids": uids, "patients": patients}))
    command = [sys.executable, "-W", "ignore", "-c", JUDGE, str(scorer), str(work)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    scorer = Path(sys.argv[1]).resolve()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    rng = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else SEED)
    with tempfile.TemporaryDirectory() as place:
        root, folder = Path(place), Path(place) / "films"
        given, key = {}, {}
        for number, copy in enumerate(made_films(root, count)):
            bare = dcmread(copy).PixelData
            planted = plant(copy, number, rng)
            film = dcmread(copy)
            if number % 4 == 3:  # a film without text
                film.PixelData, planted.ink = bare, None
                film.save_as(copy)
            given[copy.stem], key[copy.stem] = film, answers(film, planted)
        tables = {}
        for name, way in ways_here().items():
            (root / name).mkdir()
            table = scored(scorer, root / f"{name}-scored", given, key, way(folder, root / name))
            right, of = (sum(each[at] for each in table.values()) for at in (0, 1))
            tables[name] = {"right": right, "of": of, "share": right / of, "actions": table}
            print(json.dumps({name: tables[name]}))
    own = tables["lingula"]
    headline = {"deid_public_score": {"value": own["share"], "unit": "share of actions", "n": own["of"]}}
    write_result("deidentification_scorer", {"films": count, "by": tables}, headline)


if __name__ == "__main__":
    main()
