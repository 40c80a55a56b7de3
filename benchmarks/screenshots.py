"""Every screen at three widths in both themes, from phantoms, to be looked at.

    python benchmarks/screenshots.py DEMO_FOLDER OUT

Needs Chromium and playwright. DEMO_FOLDER is made by ``lingula demo`` where it is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from page import THEMES, bring, browser, films_of
from served import made_up, served

SIZES = {390: 844, 1280: 800, 1920: 1080}
SCREENS = {
    "start": "/",
    "search": "/search?view=frontal",
    "study": "/study/CXR9003",
    "compare": "/compare?a=CXR9003&b=CXR9007",
    "cases": "/cases",
    "learn": "/learn",
    "practice": "/practice",
    "library": "/library",
    "about": "/about",
    "words": "/words",
    "login": "/login",
}


def screens(page: Any, film: Path, out: Path, suffix: str) -> list[str]:
    """Every screen in one window; the names of those that are wider than it."""
    wide = []

    def taken(name: str) -> None:
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        page.screenshot(path=str(out / f"{name}-{suffix}.png"))
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(f"{name}-{suffix}")

    for name, address in SCREENS.items():
        page.goto(address)
        taken(name)
    bring(page, film)
    taken("case")
    for each in page.locator("[data-anyway] > summary").all():
        each.click()
    taken("case-anyway")
    page.keyboard.press("ArrowRight")
    taken("case-neighbour")
    return wide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    library = made_up(asked.folder, 60)
    asked.out.mkdir(parents=True, exist_ok=True)
    wide: list[str] = []
    with sync_playwright() as driver, served(library) as server:
        chromium = browser(driver)
        for theme in THEMES:
            for width, height in SIZES.items():
                context = chromium.new_context(
                    base_url=server.address, viewport={"width": width, "height": height}, color_scheme=theme
                )
                page = context.new_page()
                wide += screens(page, films_of(asked.folder)[0], asked.out, f"{width}-{theme}")
                context.close()
    print(f"{len(list(asked.out.glob('*.png')))} screens; wider than their window: {', '.join(wide) or 'none'}")


if __name__ == "__main__":
    main()
