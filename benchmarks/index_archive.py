"""How fast is an archive indexed, and is what was deleted there gone here?

    python benchmarks/index_archive.py TREE [STUDIES]

``TREE`` is a folder with one folder of DICOM films a study below ``NLMCXR_dcm``. All studies go into an Orthanc, with a
patient's name in each that can be searched for, and are indexed by DICOMweb. Then a tenth is deleted in Orthanc, the
index is brought up to date, and the library's files are searched for the identifiers of the studies that were deleted.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

from pydicom import dcmread

import orthanc
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import load_checkpoint
from lingula.node.archive_import import WebIndex, import_archive
from lingula.node.node import node_library
from lingula.node.settings import WebTarget
from lingula.reading.sandbox import Sandbox
from machine import write_result

SEED = 1


def fill(archive: orthanc.Orthanc, tree: Path, most: int, folder: Path) -> dict[str, str]:
    """Store the films of up to ``most`` studies; Study Instance UIDs by Orthanc's identifiers."""
    for study in sorted((tree / "NLMCXR_dcm").iterdir())[:most]:
        for file in sorted(study.glob("*.dcm")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = dcmread(file)
                dataset.PatientName = f"CANARY^{study.name}"
                dataset.save_as(changed := folder / "film.dcm", enforce_file_format=True)
            archive.add(changed)
    return {each["ID"]: each["MainDicomTags"]["StudyInstanceUID"] for each in archive.get("/studies?expand")}


def main() -> None:
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 10**6
    with tempfile.TemporaryDirectory() as name, Sandbox(2) as sandbox:
        folder, model = Path(name), load_checkpoint("compact")
        with (
            orthanc.running(folder / "orthanc") as archive,
            node_library(str(folder / "library.sqlite"), model) as library,
        ):
            studies = fill(archive, Path(sys.argv[1]), most, folder)
            index = WebIndex(WebTarget(archive.dicom_web))
            begun = time.perf_counter()
            first = import_archive(library, model, index, sandbox)
            seconds = time.perf_counter() - begun
            deleted = random.Random(SEED).sample(sorted(studies), max(len(studies) // 10, 1))
            for study in deleted:
                archive.delete(f"/studies/{study}")
            followed = import_archive(library, model, index, sandbox)
            ids = [pseudonym(library.secret, studies[study]) for study in deleted]
            answers = len(set(ids) & set(library.ids()))
        left = 0
        for file in folder.glob("library.sqlite*"):
            data = file.read_bytes() if file.is_file() else b""
            left += sum(one.encode() in data for one in ids)
            left += sum(studies[study].encode() in data for study in deleted) + data.count(b"CANARY^")
    n, came = len(studies), first.imported.added
    headline = {
        "index_per_second": {"value": round(came / seconds, 2), "unit": "studies a second", "n": n},
        "deleted_canaries_left": {"value": left + answers, "unit": "answers and identifiers left", "n": len(deleted)},
    }
    figures = {"studies": n, "added": came, "refused": len(first.imported.refused), "seconds": round(seconds, 1),
               "deleted": len(deleted), "gone": followed.gone, "answers_left": answers, "canaries_left": left,
               "seed": SEED}  # fmt: skip
    write_result("index_archive", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
