"""Results of real films in OHIF: does the viewer list them, and does it show the report's regions on the film?

    npm pack @ohif/app && tar xf ohif-app-*.tgz
    python benchmarks/ohif.py package/dist FILM.dcm… [--pictures FOLDER]

Films and results (report, presentation state, picture, segments) lie in an Orthanc; OHIF, as it is built, runs in
Chromium and reads them by DICOMweb. Counted are the report's groups and those of them that OHIF has put on a film.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lingula.model.checkpoint import load_checkpoint
from lingula.node.delivery import WebArchive
from lingula.node.judging import judged
from lingula.node.settings import WebTarget
from lingula.reading.sandbox import Sandbox
from machine import write_result
from orthanc import Orthanc, running

KINDS = ("sr", "gsps", "sc", "seg")
SOURCE = {
    "friendlyName": "archive", "name": "archive", "wadoUriRoot": "/dicom-web", "qidoRoot": "/dicom-web",
    "wadoRoot": "/dicom-web", "imageRendering": "wadors", "thumbnailRendering": "wadors", "enableStudyLazyLoad": True,
    "supportsWildcard": True, "omitQuotationForMultipartRequest": True,
}  # fmt: skip
CONFIGURATION = {
    "routerBasename": "/", "extensions": [], "modes": [], "showStudyList": True, "maxNumberOfWebWorkers": 1,
    "investigationalUseDialog": {"option": "never"}, "defaultDataSourceName": "dicomweb",
    "dataSources": [{"namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "dicomweb",
                     "configuration": SOURCE}],
}  # fmt: skip
BROWSER = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
STATE = """() => window.services.displaySetService.getActiveDisplaySets().map(each => ({
  modality: each.Modality, groups: each.measurements ? each.measurements.length : null,
  shown: each.measurements ? each.measurements.filter(one => one.displaySetInstanceUID).length : null }))"""


def handler_of(dist: Path, archive: Orthanc) -> type[BaseHTTPRequestHandler]:
    """OHIF's files, and the archive's DICOMweb under the same address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            status = 200
            if self.path.startswith("/dicom-web"):
                sent = urllib.request.Request(
                    archive.url + self.path, headers={"Accept": self.headers.get("Accept", "*/*")}
                )
                try:
                    with urllib.request.urlopen(sent) as answer:
                        body, kind = answer.read(), answer.headers["Content-Type"]
                except urllib.error.HTTPError as error:
                    body, kind, status = error.read(), "text/plain", error.code
            elif self.path.startswith("/app-config.js"):
                body, kind = f"window.config = {json.dumps(CONFIGURATION)};".encode(), "text/javascript"
            else:
                file = dist / self.path.split("?")[0].lstrip("/")
                file = file if file.is_file() else dist / "index.html"
                body, kind = file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))),
                                ("Cross-Origin-Opener-Policy", "same-origin"),
                                ("Cross-Origin-Embedder-Policy", "require-corp")):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def seen(page: Any, address: str, study: str, picture: Path | None) -> list[dict[str, Any]]:
    """What OHIF has of a study once its report was opened."""
    page.goto(f"{address}/viewer?StudyInstanceUIDs={study}", timeout=120_000)
    report = page.get_by_text("lingula findings (report)", exact=False).first
    report.wait_for(timeout=120_000)
    page.wait_for_timeout(5_000)
    skip = page.get_by_text("Skip all")
    if skip.count():
        skip.first.click()
    report.dblclick(force=True)
    for _ in range(60):
        page.wait_for_timeout(1_000)
        told: list[dict[str, Any]] = page.evaluate(STATE)
        if any(each["groups"] and each["shown"] == each["groups"] for each in told):
            break
    page.wait_for_timeout(5_000)
    if picture is not None:
        page.screenshot(path=str(picture), timeout=120_000)
    return told


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("dist", type=Path)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    version = json.loads((given.dist.parent / "package.json").read_text())["version"]
    model, rows = load_checkpoint("compact"), []
    with tempfile.TemporaryDirectory() as place, running(Path(place)) as archive, Sandbox() as sandbox:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(given.dist, archive))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=list(BROWSER))
            for number, film in enumerate(given.films):
                done = judged([film], model, None, sandbox, KINDS)
                assert done.result is not None, f"film {number} was refused"
                archive.add(film)
                WebArchive(WebTarget(archive.dicom_web)).store([each.data for each in done.objects])
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                picture = given.pictures / f"{number}.png" if given.pictures else None
                told = seen(
                    page, f"http://127.0.0.1:{server.server_port}", done.result.films[0].study_instance, picture
                )
                page.close()
                report = next(each for each in told if each["modality"] == "SR")
                rows.append(
                    {"boxes": len(done.result.boxes), "series": sorted(each["modality"] for each in told), **report}
                )
                print(json.dumps(rows[-1]))
            browser.close()
    groups, shown = sum(row["groups"] or 0 for row in rows), sum(row["shown"] or 0 for row in rows)
    headline = {"ohif_groups_shown": {"value": shown / groups, "unit": "share of the reports' groups", "n": groups}}
    write_result("ohif", {"ohif": version, "films": rows}, headline)


if __name__ == "__main__":
    main()
