"""The page in a real browser: how fast it answers, what axe, schemathesis and hostile files find.

    python benchmarks/page.py DEMO_FOLDER [--library LIBRARY] [--badinput FOLDER] [--axe axe.min.js] [--rounds 10]
    python benchmarks/page.py DEMO_FOLDER --pictures docs

Needs Chromium and playwright. Without ``--axe``, axe-core is fetched with npm; where that fails, it is left out.
Without ``--badinput``, hostile files are left out. ``--pictures`` writes screenshots of phantom data instead.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from machine import write_result
from served import Served, made_up, served

TEXT = "FINDINGS: The heart is enlarged. Small left pleural effusion. No pneumothorax."
PAGES = ("/", "/search?present=effusion", "/library", "/learn", "/practice", "/cases", "/words", "/about", "/login")
THEMES, WIDTHS = ("light", "dark"), (390, 820, 1440)
EDGE = "edge-of-a-part"
AXE = """axe.run({ rules: { "target-size": { enabled: true } } }).then((found) => found.violations)"""
"""With the size of what is pressed, 24 px, which axe leaves out by default."""


def films_of(folder: Path) -> list[Path]:
    found = sorted((folder / "collection").rglob("*.dcm")) or sorted((folder / "collection").rglob("*.png"))
    if not found:
        raise SystemExit(f"no films in {folder / 'collection'}")
    return found


def browser(driver: Any) -> Any:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        raise SystemExit("needs Chromium")
    return driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])


def bring(page: Any, film: Path) -> tuple[float, float]:
    """Seconds from the drop to the sentence, or the doubt in its place, and to the neighbours' films."""
    page.goto("/")
    page.wait_for_selector("html[data-started]")
    page.fill("#text", TEXT)
    started = time.perf_counter()
    page.set_input_files("#files", str(film))
    page.wait_for_url("**/case/*", wait_until="commit")
    page.wait_for_selector(".say .sentence, .say .doubts")
    answer = time.perf_counter() - started
    page.wait_for_function("() => [...document.querySelectorAll('.strip img')].every((each) => each.complete)")
    return answer, time.perf_counter() - started


def timings(page: Any, films: list[Path], rounds: int) -> dict[str, list[float]]:
    bring(page, films[0])  # warm
    took: dict[str, list[float]] = {"answer": [], "neighbours": [], "overlay": [], "text": []}
    for number in range(rounds):
        answer, neighbours = bring(page, films[number % len(films)])
        took["answer"].append(answer)
        took["neighbours"].append(neighbours)
        page.wait_for_selector('figure[data-state="ready"]')
        started = time.perf_counter()
        page.click('[data-do="evidence"]')
        page.wait_for_selector('[data-evidence][data-state="ready"]')
        took["overlay"].append(time.perf_counter() - started)
    for text in ("effusion", "no cardiomegaly", "left effusion, no pneumothorax") * max(1, rounds // 3):
        page.goto("/search")
        page.wait_for_selector("html[data-started]")
        page.fill("#question", text)
        started = time.perf_counter()
        page.click("button >> text=Search")
        page.wait_for_url("**/search?**", wait_until="commit")
        page.wait_for_selector("#results-title")
        took["text"].append(time.perf_counter() - started)
    return took


SLOW_LINE = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}


def slow_line(chromium: Any, address: str) -> dict[str, Any]:
    """The start page at 400 ms and 50 kB/s: seconds until it can be used, the first time and then; its weight."""
    context = chromium.new_context(base_url=address, viewport={"width": 1360, "height": 900})
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    client.send("Network.emulateNetworkConditions", SLOW_LINE)
    received: list[int] = []
    client.on("Network.loadingFinished", lambda event: received.append(int(event["encodedDataLength"])))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        page.goto("/", wait_until="domcontentloaded")
        page.wait_for_selector("html[data-started]")
        seconds.append(round(time.perf_counter() - started, 2))
        if len(seconds) == 1:
            page.wait_for_load_state("networkidle")
            first = {"bytes": sum(received), "requests": len(received)}
    context.close()
    return {"first_seconds": seconds[0], "then_seconds": seconds[1], **first}


def print_aspect_error(page: Any, case: str) -> float:
    """By how much the film's proportions on the printed sheet differ from its own; 0 for not at all."""
    import pypdfium2

    page.goto(case)
    page.wait_for_function("() => { const film = document.querySelector('.main-film'); return film.naturalWidth > 0; }")
    columns, rows = page.evaluate(
        "() => { const f = document.querySelector('.main-film'); return [f.naturalWidth, f.naturalHeight]; }"
    )
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        page.pdf(path=file.name, prefer_css_page_size=True)
        document = pypdfium2.PdfDocument(file.name)
        image = next(each for each in document[0].get_objects() if each.type == 3)
        left, bottom, right, top = image.get_bounds()
        document.close()
    return abs((right - left) / (top - bottom) / (columns / rows) - 1)


def axe_source(given: Path | None) -> str:
    if given:
        return given.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "axe-core@4"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return (Path(folder) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def further_pages(page: Any) -> list[str]:
    """Addresses of a study, of two, and of a set with its tasks and results, which is made here."""
    studies = [point["study_id"] for point in page.request.get("/api/library/map").json()["points"][:6]]
    told = page.request.post("/api/sets", headers={"X-Lingula": "1"}, data={"title": "Six", "study_ids": studies})
    made = f"/learn/sets/{told.json()['set_id']}"
    return [f"/study/{studies[0]}", f"/compare?a={studies[0]}&b={studies[1]}", made, f"{made}/quiz", f"{made}/pairs",
            f"{made}/results"]  # fmt: skip


def weights(chromium: Any, address: str, paths: list[str]) -> dict[str, dict[str, int]]:
    """Bytes over the line and requests of each page for somebody who was never here."""
    told = {}
    for path in paths:
        context = chromium.new_context(base_url=address, viewport={"width": 1280, "height": 800})
        page = context.new_page()
        client = context.new_cdp_session(page)
        client.send("Network.enable")
        received: list[int] = []
        client.on("Network.loadingFinished", lambda event, into=received: into.append(int(event["encodedDataLength"])))
        page.goto(path)
        page.wait_for_load_state("networkidle")
        told[_named(path)] = {"bytes": sum(received), "requests": len(received)}
        context.close()
    return told


def _named(path: str) -> str:
    """An address without what names a study, a set or a case."""
    return re.sub(r"(/(?:study|case|sets)/)[^/]+", r"\1…", re.sub("[?].*", "", path))


def accessibility(chromium: Any, address: str, source: str, paths: list[str]) -> dict[str, list[str]]:
    """Findings of axe-core by impact, for every page, theme and width."""
    found: dict[str, set[str]] = {}
    for theme in THEMES:
        for width in WIDTHS:
            context = chromium.new_context(
                base_url=address, viewport={"width": width, "height": 900}, color_scheme=theme
            )
            page = context.new_page()
            for path in paths:
                page.goto(path)
                page.wait_for_selector("html[data-started]")
                page.wait_for_timeout(300)
                page.evaluate(source + "; 0")
                for each in page.evaluate(AXE):
                    places = ", ".join(str(node["target"][0]) for node in each["nodes"][:3])
                    found.setdefault(each["impact"], set()).add(f"{each['id']} {_named(path)}: {places}")
            context.close()
    return {impact: sorted(each) for impact, each in found.items()}


def hostile(server: Served, folder: Path) -> tuple[Counter[str], dict[str, Any]]:
    """Statuses of all DICOM, XML and picture files of the manifest through the upload, and wrong codes."""
    reason_for = runpy.run_path(str(Path(__file__).parent / "badinput.py"))["reason_for"]
    statuses: Counter[str] = Counter()
    wrong = {}
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["kind"] in ("dicom", "xml", "image")]
    for row in rows:
        path = folder / row["path"]
        head = f'--{EDGE}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{EDGE}--\r\n".encode()
        connection = server.connect()
        headers = {"Content-Type": f"multipart/form-data; boundary={EDGE}", "X-Lingula": "1"}
        connection.request("POST", "/api/cases", body, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        statuses[str(answer.status)] += 1
        got, expected = told.get("code", ""), row["code"] if row["expect"] == "reject" else ""
        if got != expected and not reason_for(row["path"], "reject" if got else "accept", got):
            wrong[row["path"]] = {"expected": expected, "got": got}
    return statuses, wrong


def schemathesis(server: Served) -> dict[str, int]:
    """Failures of the API against its own document."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.address}api/openapi.json", "-H", "X-Lingula: 1",
        "--checks", checks, "-n", "20", "--phases", "examples,coverage,fuzzing", "--seed", "1",
        "--continue-on-failure",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:  # it writes what it found into the current one
        said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder).stdout
    cases = re.search(r"(\d+) generated", said)
    if not cases:
        raise SystemExit(said[-2000:])
    failures = re.search(r"found (\d+) unique failures|(\d+) unique failures", said)
    return {"cases": int(cases[1]), "failures": int(next(filter(None, failures.groups()))) if failures else 0}


def pictures(chromium: Any, address: str, films: list[Path], out: Path) -> list[Path]:
    """Screenshots for the documents."""
    made = []
    for theme in THEMES:
        context = chromium.new_context(base_url=address, viewport={"width": 1360, "height": 860}, color_scheme=theme)
        page = context.new_page()
        bring(page, films[0])
        page.wait_for_selector('figure[data-state="ready"]')
        page.locator("[data-anyway] > summary").first.click() if page.locator("[data-anyway]").count() else None
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(800)
        made.append(out / f"served-case-{theme}.png")
        page.screenshot(path=str(made[-1]))
        if theme == "light":
            page.goto("/")
            page.wait_for_load_state("networkidle")
            made.append(out / "page.png")
            page.screenshot(path=str(made[-1]))
        context.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--badinput", type=Path)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    library = made_up(asked.folder, 60)
    films = films_of(asked.folder)
    with sync_playwright() as driver, served(asked.library or library) as server:
        chromium = browser(driver)
        if asked.pictures:
            print("\n".join(map(str, pictures(chromium, server.address, films, asked.pictures))))
            return
        context = chromium.new_context(base_url=server.address, viewport={"width": 1360, "height": 900})
        page = context.new_page()
        outside: list[str] = []
        page.on(
            "request", lambda r: None if r.url.startswith((server.address, "data:", "blob:")) else outside.append(r.url)
        )
        took = timings(page, films, asked.rounds)
        case = page.goto("/") and bring(page, films[0]) and page.url.removeprefix(server.address.rstrip("/"))
        aspect = print_aspect_error(page, case)
        slow = slow_line(chromium, server.address)
        source = axe_source(asked.axe)
        pages = [*PAGES, *further_pages(page), case]
        weighed = weights(chromium, server.address, pages)
        found = accessibility(chromium, server.address, source, pages) if source else None
        statuses, wrong = hostile(server, asked.badinput) if asked.badinput else (Counter(), {})
        asked_all = schemathesis(server)
    p50 = {name: float(np.median(each)) * 1e3 for name, each in took.items()}
    serious = len(found.get("serious", [])) + len(found.get("critical", [])) if found is not None else None
    body = {
        "ms": {name: dict(zip(("p50", "p95"), np.percentile(each, (50, 95)).round(3) * 1e3, strict=True))
               for name, each in took.items()},
        "axe": found, "badinput": {"statuses": dict(statuses), "wrong": wrong}, "schemathesis": asked_all,
        "outside": outside, "slow_line": slow, "weights": weighed,
    }  # fmt: skip
    headline: dict[str, dict[str, Any]] = {
        "page_answer_p50_ms": {"value": round(p50["answer"]), "unit": "ms", "n": len(took["answer"])},
        "page_neighbours_p50_ms": {"value": round(p50["neighbours"]), "unit": "ms", "n": len(took["neighbours"])},
        "start_page_slow_line_seconds": {"value": slow["first_seconds"], "unit": "s"},
        "print_aspect_error": {"value": round(aspect, 4), "unit": "share"},
        "page_overlay_p50_ms": {"value": round(p50["overlay"]), "unit": "ms", "n": len(took["overlay"])},
        "text_search_ms": {"value": round(p50["text"]), "unit": "ms", "n": len(took["text"])},
        "schemathesis_errors": {"value": asked_all["failures"], "unit": "count", "n": asked_all["cases"]},
        "outside_requests": {"value": len(outside), "unit": "count"},
    }
    if asked.badinput:
        broken = sum(number for status, number in statuses.items() if status.startswith("5"))
        headline["badinput_5xx"] = {"value": broken, "unit": "count", "n": sum(statuses.values())}
    if serious is not None:
        headline["axe_serious"] = {"value": serious, "unit": "count"}
    print(json.dumps({**body, **{key: entry["value"] for key, entry in headline.items()}}, indent=1))
    write_result("page", body, headline)


if __name__ == "__main__":
    main()
