"""How fast is an archive indexed, and is what was deleted there gone here?

    python benchmarks/index_archive.py [STUDIES [TREE]]

Films are made up, small ones, each a study of its own; or they come from ``TREE``, a folder with one folder of DICOM
films a study below ``NLMCXR_dcm``. All go into an Orthanc, with a patient's name in each that can be searched for, and
are indexed by DICOMweb; the same files are imported as a folder into another library, for comparison. Then a tenth is
deleted in Orthanc, the index is brought up to date, and the library's files are searched for the identifiers of the
studies that were deleted.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom import dcmread

import orthanc
from lingula.ingest.files import import_files
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import load_checkpoint
from lingula.node.archive_import import WebIndex, import_archive
from lingula.node.node import node_library
from lingula.node.settings import WebTarget
from lingula.reading.sandbox import Sandbox
from machine import write_result
from node_peers import film_file

SEED, STUDIES = 1, 3900


def films(most: int, tree: Path | None, folder: Path) -> Iterator[Path]:
    """Files of films, one after the other, each with a name that can be searched for."""
    if tree is None:
        for number in range(most):
            yield film_file(folder, number, PatientName=f"CANARY^{number:05}")
        return
    for study in sorted((tree / "NLMCXR_dcm").iterdir())[:most]:
        for number, file in enumerate(sorted(study.glob("*.dcm"))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = dcmread(file)
                dataset.PatientName = f"CANARY^{study.name}"
                dataset.save_as(changed := folder / f"{study.name}-{number}.dcm", enforce_file_format=True)
            yield changed


def fill(archive: orthanc.Orthanc, files: Iterable[Path]) -> dict[str, str]:
    """Store films; Study Instance UIDs by Orthanc's identifiers."""
    for file in files:
        archive.add(file)
    return {each["ID"]: each["MainDicomTags"]["StudyInstanceUID"] for each in archive.get("/studies?expand")}


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    tree = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as name, Sandbox(2) as sandbox:
        folder, model = Path(name), load_checkpoint("compact")
        with (
            orthanc.running(folder / "orthanc") as archive,
            node_library(str(folder / "library.sqlite"), model) as library,
        ):
            (place := folder / "films").mkdir()
            studies = fill(archive, films(most, tree, place))
            index = WebIndex(WebTarget(archive.dicom_web))
            begun = time.perf_counter()
            first = import_archive(library, model, index, sandbox)
            seconds = time.perf_counter() - begun
            with node_library(str(folder / "local.sqlite"), model) as local:
                begun = time.perf_counter()
                import_files(local, model, place, sandbox)
                local_seconds, local_added = time.perf_counter() - begun, len(local)
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
               "local": {"added": local_added, "seconds": round(local_seconds, 1)},
               "films": "made up" if tree is None else "tree",
               "deleted": len(deleted), "gone": followed.gone, "answers_left": answers, "canaries_left": left,
               "seed": SEED}  # fmt: skip
    write_result("index_archive", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
