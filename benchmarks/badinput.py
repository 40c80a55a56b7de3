"""How bad and odd input files are answered, held against what a manifest expects.

Usage:  python benchmarks/badinput.py MANIFEST [--workers N]

MANIFEST is a table (tab-separated: path, kind, expect, code, why) beside the files it names. Rows of the kinds dicom,
image and xml are read with ``read_study``, images in a child process, and the answer is compared: accept or reject, and
the refusal's code.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from machine import write_result

KINDS = ("dicom", "image", "xml")
PACKAGES = (
    "numpy",
    "pydicom",
    "pillow",
    "imagecodecs",
    "pylibjpeg-rle",
    "defusedxml",
)
_BY_CONTENT = "read with a notice, its name made from the content: pixels and header are whole"
EXPLAINED = {  # path: the answer that is given instead, and why
    "dicom/charset/chrJapMultiExplicitIR6.dcm": (
        "reject not_an_image",
        "says Modality CR, body part CHEST, and has no Pixel Data: refused as no image, not for its modality",
    ),
    "dicom/malformed/missing_Modality.dcm": ("accept", "read with a notice: the SOP class is that of DX"),
    "dicom/malformed/missing_SOPInstanceUID.dcm": ("accept", "the meta header holds the same UID"),
    "dicom/malformed/uid_empty.dcm": ("accept", "the meta header holds the same UID"),
    "dicom/malformed/uid_letters.dcm": ("accept", _BY_CONTENT),
    "dicom/malformed/uid_too_long.dcm": ("accept", _BY_CONTENT),
    "image/odd/cxr.webp": ("accept", "WebP is read"),
}


def answer(path: Path, kind: str, sandbox: Sandbox) -> tuple[str, str]:
    """("accept", "") or ("reject", code)."""
    try:
        read_study([] if kind == "xml" else [path], report=path if kind == "xml" else None, sandbox=sandbox)
    except InputError as error:
        return "reject", error.code
    return "accept", ""


def reason_for(path: str, got: str, code: str) -> str:
    """Why an answer other than the manifest's is right; empty where it is not."""
    answer, reason = EXPLAINED.get(path, ("", ""))
    return reason if answer == f"{got} {code}".strip() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with args.manifest.open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["kind"] in KINDS]
    disagreements, milliseconds = [], []
    with Sandbox(args.workers) as sandbox:
        for row in rows:
            start = time.perf_counter()
            got, code = answer(args.manifest.parent / row["path"], row["kind"], sandbox)
            milliseconds.append(1000 * (time.perf_counter() - start))
            if got != row["expect"] or (got == "reject" and code != row["code"]):
                disagreements.append(
                    {
                        "path": row["path"],
                        "expected": f"{row['expect']} {row['code']}".strip(),
                        "got": f"{got} {code}".strip(),
                        "reason": reason_for(row["path"], got, code),
                    }
                )
    result = {
        "n": len(rows),
        "agree": len(rows) - len(disagreements),
        "disagreements": disagreements,
        "milliseconds": {
            "median": round(statistics.median(milliseconds[1:]), 1),
            "p99": round(sorted(milliseconds[1:])[int(0.99 * (len(milliseconds) - 1))], 1),
        },
        "versions": {name: version(name) for name in PACKAGES},
    }
    headline = {
        "badinput_agree": {"value": result["agree"], "unit": "files", "n": result["n"]},
        "badinput_total": {"value": result["n"], "unit": "files"},
    }
    write_result("badinput", result, headline)
    explained = sum(bool(row["reason"]) for row in disagreements)
    print(f"{result['agree']} of {result['n']} as expected, {explained} otherwise for a reason")
    for row in disagreements:
        print(f"  {row['path']}: expected {row['expected']}, got {row['got']}. {row['reason']}")


if __name__ == "__main__":
    main()
