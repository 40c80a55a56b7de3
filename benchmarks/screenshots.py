"""Every screen at three widths in both themes, from phantoms, to be looked at.

    python benchmarks/screenshots.py DEMO_FOLDER OUT [--only case,start] [--widths 390,1280,1920] [--library LIBRARY]
        [--film FILM] [--themes light,dark]

DEMO_FOLDER is made by ``lingula demo`` where it is missing. In OUT, a file for each screen, width and theme, the whole
page in length; ``sheets/`` has each screen's six beside each other. Screens are those of a server with a library, of
one without any ("alone"), the written page, and the printed sheet. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import THEMES, bring, browser, films_of
from served import made_up, served

SIZES = {390: 844, 1280: 800, 1920: 1080}
HEADERS = {"X-Lingula": "1"}
LONGEST = 3
"""Windows that one picture may be long."""
STUDIES = ("CXR9003", "CXR9007", "CXR9008", "CXR9011", "CXR9012")
PLAIN = {
    "start": "/",
    "search": "/search",
    "found": "/search?present=effusion&absent=cardiomegaly&word=zzqqxv",
    "found-nothing": "/search?present=pneumothorax&present=hernia&present=granuloma",
    "cases": "/cases",
    "learn": "/learn",
    "practice": "/practice",
    "library": "/library",
    "about": "/about",
    "words": "/words",
    "login": "/login",
    "refusal": "/study/nothing",
}
ALONE = ("start", "found", "cases", "learn", "practice", "library")


@dataclass(frozen=True)
class Room:
    """One window of one theme on one server.

    Attributes:
        film: a file to bring in. studies: some of the library. set_id: a teaching set of it.
    """

    page: Any
    film: Path
    studies: tuple[str, ...]
    set_id: str = ""

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_load_state("networkidle")


def _case(room: Room) -> None:
    bring(room.page, room.film)


def _answered(room: Room) -> None:
    """A case whose answer is shown, whatever doubts there are."""
    bring(room.page, room.film)
    for each in room.page.locator("[data-anyway] > summary").all():
        each.click()


def _neighbour(room: Room) -> None:
    _answered(room)
    room.page.keyboard.press("ArrowRight")
    room.page.wait_for_selector("figure[data-neighbour][data-state=ready]")


def _unfolded(room: Room) -> None:
    _answered(room)
    room.page.locator("[data-bars] summary").first.click()


def _evidence(room: Room) -> None:
    _answered(room)
    room.page.click('[data-do="evidence"]')
    room.page.wait_for_selector('[data-evidence][data-state="ready"]')


def _ratio(room: Room) -> None:
    _answered(room)
    room.page.click('[data-do="ratio"]')


def _tab(name: str) -> Callable[[Room], None]:
    def shown(room: Room) -> None:
        _answered(room)
        room.page.click(f"#tab-{name}")
        room.page.wait_for_load_state("networkidle")

    return shown


def _why(room: Room) -> None:
    bring(room.page, room.film)
    room.open(f"/compare?a=case:{room.page.url.rpartition('/')[2]}&b={room.studies[0]}")
    room.page.wait_for_selector('[data-why][data-state="ready"]')


def _doubtful(room: Room) -> None:
    """A picture that is no chest film."""
    import io

    import numpy as np
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray((np.indices((300, 300)).sum(0) // 37 % 2 * 220).astype(np.uint8)).save(body, "PNG")
    room.open("/")
    file = {"name": "board.png", "mimeType": "image/png", "buffer": body.getvalue()}
    room.page.set_input_files("#files", file)
    room.page.wait_for_url("**/case/*")


def _refused(room: Room) -> None:
    room.open("/")
    body = {"name": "x.gif", "mimeType": "image/gif", "buffer": b"GIF89a" + bytes(100)}
    room.page.set_input_files("#files", body)
    room.page.wait_for_selector("[data-bring-trouble]:visible")


def _ticked(room: Room) -> None:
    room.open("/search?view=frontal")
    for row in (0, 2):
        room.page.locator("[data-grid] input").nth(row).check()


def _menu(room: Room) -> None:
    room.open(PLAIN["found"])
    room.page.locator(".chip.present summary").click()


def _task(task: str, answer: bool = False) -> Callable[[Room], None]:
    def shown(room: Room) -> None:
        student = f"{task}{answer}{room.page.viewport_size['width']}"
        room.open(f"/learn/sets/{room.set_id}/{task}?student={student}")
        room.page.wait_for_selector("[data-room]:visible")
        if answer:
            if task == "writing":
                room.page.fill("textarea", "Heart size is normal. Small left pleural effusion.")
            if task == "pairs":
                room.page.check('[name="side"] >> nth=0')
            room.page.check('[name="confidence"] >> nth=1')
            room.page.click("text=Commit")
            room.page.wait_for_selector("[data-reveal]:visible")

    return shown


def _practised(room: Room) -> None:
    room.open("/practice")
    room.page.click("text=Next film")
    room.page.wait_for_selector('[data-stage] figure[data-state="ready"]')


def _at(address: str) -> Callable[[Room], None]:
    return lambda room: room.open(address.format(set=room.set_id, a=room.studies[0], b=room.studies[1]))


SCREENS: dict[str, Callable[[Room], None]] = {
    **{name: _at(address) for name, address in PLAIN.items()},
    "found-menu": _menu,
    "found-ticked": _ticked,
    "study": _at("/study/{a}"),
    "compare": _at("/compare?a={a}&b={b}"),
    "case": _case,
    "case-answered": _answered,
    "case-unfolded": _unfolded,
    "case-neighbour": _neighbour,
    "case-evidence": _evidence,
    "case-ratio": _ratio,
    "case-normal": _tab("normal"),
    "case-report": _tab("report"),
    "case-film": _tab("film"),
    "case-doubt": _doubtful,
    "case-refused": _refused,
    "why": _why,
    "set": _at("/learn/sets/{set}"),
    "quiz": _task("quiz"),
    "quiz-answered": _task("quiz", answer=True),
    "pairs": _task("pairs"),
    "pairs-answered": _task("pairs", answer=True),
    "marking": _task("marking"),
    "writing-answered": _task("writing", answer=True),
    "results": _at("/learn/sets/{set}/results"),
    "practice-film": _practised,
}


@contextmanager
def windows(chromium: Any, address: str, widths: list[int], themes: list[str]) -> Iterator[Iterator[tuple[Any, str]]]:
    """A page for each width and theme, and how its files end."""

    def each() -> Iterator[tuple[Any, str]]:
        for theme in themes:
            for width in widths:
                size = {"width": width, "height": SIZES[width]}
                context = chromium.new_context(base_url=address, viewport=size, color_scheme=theme)
                yield context.new_page(), f"{width}-{theme}"
                context.close()

    yield each()


def taken(page: Any, out: Path, name: str) -> str:
    """A picture of a page; its name, where the page is wider than its window."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(250)
    size = page.viewport_size
    length = min(page.evaluate("document.documentElement.scrollHeight"), LONGEST * size["height"])
    page.set_viewport_size({"width": size["width"], "height": size["height"]})
    clip = {"x": 0, "y": 0, "width": size["width"], "height": max(length, size["height"])}
    page.screenshot(path=str(out / f"{name}.png"), full_page=True, clip=clip)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return name if wide else ""


def made_set(page: Any, studies: tuple[str, ...]) -> str:
    """A teaching set with a mark, and one answer to its quiz."""
    told = page.request.post(
        "/api/sets", headers=HEADERS, data={"title": "Effusions for the second year", "study_ids": list(studies)}
    ).json()
    box = {"shape": "box", "film": 0, "points": [[0.55, 0.6], [0.8, 0.8]]}
    drawn = [dict(case, drawings=[box] if row == 0 else []) for row, case in enumerate(told["cases"])]
    body = {key: told[key] for key in ("title", "owner", "version", "question", "choices")} | {"cases": drawn}
    page.request.put(f"/api/sets/{told['set_id']}", headers=HEADERS, data=body)
    for name, sure in (("Ada", 97), ("Bo", 70)):
        for _ in range(3):
            base = f"/api/sets/{told['set_id']}/quiz"
            asked = page.request.get(f"{base}/next?student={name}").json()["question"]
            answer = {"attempt": asked["attempt"], "confidence": sure, "chosen": list(asked["choices"])[:1]}
            page.request.post(f"{base}/{asked['question_id']}?student={name}", headers=HEADERS, data=answer)
    return str(told["set_id"])


def print_sheet(page: Any, film: Path, out: Path) -> None:
    """The printed page of a case, as pixels."""
    import pypdfium2

    _evidence(Room(page, film, STUDIES))
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-sheet] img')].every((each) => each.complete && each.naturalWidth)"
    )
    page.pdf(path=str(out / "print.pdf"), prefer_css_page_size=True)
    document = pypdfium2.PdfDocument(out / "print.pdf")
    document[0].render(scale=1.5).to_pil().save(out / "print.png")
    document.close()


def sheets(out: Path) -> None:
    """Each screen's pictures beside each other, small."""
    from PIL import Image

    (out / "sheets").mkdir(exist_ok=True)
    for name in sorted({path.stem.rsplit("-", 2)[0] for path in out.glob("*-*-*.png")}):
        pictures = []
        for theme in THEMES:
            for width in SIZES:
                file = out / f"{name}-{width}-{theme}.png"
                if file.exists():
                    with Image.open(file) as opened:
                        shown = opened.convert("RGB")
                    shown.thumbnail((width // (1 if width < 1000 else 2), 1100))
                    pictures.append(shown)
        row = Image.new("RGB", (sum(p.width + 12 for p in pictures), max(p.height for p in pictures)), "#777")
        at = 0
        for picture in pictures:
            row.paste(picture, (at, 0))
            at += picture.width + 12
        row.save(out / "sheets" / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="names of screens")
    parser.add_argument("--widths", default=",".join(map(str, SIZES)))
    parser.add_argument("--themes", default=",".join(THEMES))
    parser.add_argument("--library", type=Path, help="another library than the made-up one: not to be passed on")
    parser.add_argument("--film", type=Path, help="another film to bring in than a made-up one: not to be passed on")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    library = made_up(asked.folder, 60)
    film = asked.film or films_of(asked.folder)[0]
    themes = asked.themes.split(",")
    wanted = [name for name in asked.only.split(",") if name]
    widths = [int(each) for each in asked.widths.split(",")]
    asked.out.mkdir(parents=True, exist_ok=True)
    wide: list[str] = []
    with sync_playwright() as driver:
        chromium = browser(driver)
        with served(asked.library or library) as server, windows(chromium, server.address, widths, themes) as pages:
            for page, suffix in pages:
                page.goto("/")
                told = page.request.get("/api/library/map").json()["points"]
                studies = STUDIES if asked.library is None else tuple(point["study_id"] for point in told[:5])
                room = Room(page, film, studies, made_set(page, studies))
                for name, show in SCREENS.items():
                    if not wanted or name in wanted:
                        show(room)
                        wide.append(taken(page, asked.out, f"{name}-{suffix}"))
                if suffix == f"{widths[-1]}-light" and (not wanted or "print" in wanted):
                    print_sheet(page, film, asked.out)
        if not wanted or any(name.startswith("alone") for name in wanted):
            with served(None) as server, windows(chromium, server.address, widths, themes) as pages:
                for page, suffix in pages:
                    for name in ALONE:
                        page.goto(PLAIN[name])
                        wide.append(taken(page, asked.out, f"alone-{name}-{suffix}"))
                    _answered(Room(page, film, STUDIES))
                    wide.append(taken(page, asked.out, f"alone-case-{suffix}"))
        if not wanted or "written" in wanted:
            written = sorted(asked.folder.glob("*.html"))[0].resolve().as_uri()
            with windows(chromium, written, widths, themes) as pages:
                for page, suffix in pages:
                    page.goto(written)
                    wide.append(taken(page, asked.out, f"written-{suffix}"))
    sheets(asked.out)
    names = ", ".join(filter(None, wide)) or "none"
    print(f"{len(list(asked.out.glob('*.png')))} screens; wider than their window: {names}")


if __name__ == "__main__":
    main()
