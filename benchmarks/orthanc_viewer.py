"""Results in Orthanc's own web viewer: does it show the film, and the picture with the boxes, as they are?

    sudo apt install orthanc-webviewer
    python benchmarks/orthanc_viewer.py FILM.dcm… [--pictures FOLDER]

Films and results (report, presentation state, picture) lie in an Orthanc; its web viewer draws each series in Chromium.
Told is, of each series, the correlation of what stands on the page with what the series holds, fitted to the page; of a
series of which nothing is drawn, None.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread

from lingula.model.checkpoint import load_checkpoint
from lingula.node.delivery import WebArchive
from lingula.node.judging import judged
from lingula.node.settings import WebTarget
from lingula.reading.sandbox import Sandbox
from machine import write_result
from orthanc import plugin, running

KINDS = ("sr", "gsps", "sc")
PAGE = (1000, 800)
AREA = (1000, 780)
"""Pixels of the page, and of its part above the slider, in which the viewer draws."""
DRAWN = 0.1
"""Share of the page that is brighter than black where a picture is drawn; what is written in its corners is less."""


def shown(page: Any, address: str, picture: Path | None) -> np.ndarray:
    """(780, 1000) grey of what the viewer draws."""
    page.goto(address)
    page.wait_for_timeout(6_000)
    data = page.screenshot(path=str(picture) if picture else None)
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32)[: AREA[1]]


def fitted(pixels: np.ndarray) -> np.ndarray:
    """(780, 1000) a picture of values from 0 to 1 in the middle of a black page, as large as goes."""
    scale = min(AREA[0] / pixels.shape[1], AREA[1] / pixels.shape[0])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    made = Image.new("L", AREA)
    drawn = Image.fromarray((255 * pixels).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    made.paste(drawn, ((AREA[0] - size[0]) // 2, (AREA[1] - size[1]) // 2))
    return np.asarray(made, np.float32)


def grey(file: Path) -> np.ndarray:
    """(rows, columns) of a secondary capture, from 0 to 1."""
    pixels = np.asarray(dcmread(file).pixel_array, np.uint8)
    return np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / 255


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    model, rows = load_checkpoint("compact"), []
    plugins = [str(plugin(name)) for name in ("OrthancDicomWeb", "OrthancWebViewer")]
    with tempfile.TemporaryDirectory() as place, Sandbox() as sandbox, sync_playwright() as browsers:
        more = {"Plugins": plugins, "WebViewer": {"CachePath": f"{place}/cache"}}
        browser = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]})
        for number, film in enumerate(given.films):
            done = judged([film], model, None, sandbox, KINDS)
            assert done.result is not None, f"film {number} was refused"
            row: dict[str, Any] = {"boxes": len(done.result.boxes)}
            with running(Path(place) / str(number), more) as archive:
                archive.add(film)
                WebArchive(WebTarget(archive.dicom_web)).store([each.data for each in done.objects])
                row["photometric"] = str(dcmread(film, stop_before_pixels=True).PhotometricInterpretation)
                for series in archive.get("/series?expand"):
                    modality = series["MainDicomTags"].get("Modality", "")
                    picture = given.pictures / f"{number}-{modality}.png" if given.pictures else None
                    drawn = shown(page, f"{archive.url}/web-viewer/app/viewer.html?series={series['ID']}", picture)
                    part = Path(place) / "one.dcm"
                    part.write_bytes(archive.file(series["Instances"][0]))
                    row[modality] = None
                    if (drawn > 16).mean() >= DRAWN:
                        held = fitted(grey(part) if modality == "OT" else sandbox.read(part).pixels)
                        row[modality] = round(float(np.corrcoef(drawn.ravel(), held.ravel())[0, 1]), 3)
            rows.append(row)
            print(json.dumps(row))
        browser.close()
    told = [value for row in rows for key, value in row.items() if key not in ("boxes", "photometric", "PR", "SR")]
    least = min((value or 0.0) for value in told)
    headline = {"orthanc_viewer_correlation": {"value": least, "unit": "least correlation of page and series",
                                               "n": len(told)}}  # fmt: skip
    write_result("orthanc_viewer", {"films": rows}, headline)


if __name__ == "__main__":
    main()
