"""Ten things a student, a teacher and a resident want of the page, done by hand in a real browser.

    python benchmarks/tasks.py DEMO_FOLDER [--library LIBRARY] [--film FILM]

Each is begun at the page where it lies near, timed from the first input (words, or a film dropped), and counted in
clicks and keys after it. Done is what the page shows in the end: each task says below what that is. Without --library,
on phantoms, which have too few right effusions for the first task and no originals; results hold counts only. Needs
Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from machine import write_result
from page import browser, films_of, print_aspect_error
from served import made_up, served

MOST_CLICKS = 3
OPENI = "https://openi.nlm.nih.gov/"
QUESTION = "right effusion, no cardiomegaly"


@dataclass
class Hand:
    """Whoever uses the page: what is pressed is counted, and timed from the first input."""

    page: Any
    film: Path
    clicks: int = 0
    started: float = 0.0
    seconds: float = field(default=0.0)

    def begin(self) -> None:
        self.clicks, self.started = 0, time.perf_counter()

    def ask(self, words: str) -> None:
        """A question typed on the start page, with Enter."""
        self.page.goto("/")
        self.page.wait_for_selector("html[data-started]")
        self.begin()
        self.page.fill("#text", words)
        self.page.press("#text", "Enter")
        self.page.wait_for_url("**/search?**")
        self.page.wait_for_selector("#results-title")

    def drop(self) -> None:
        """A film dropped on the start page."""
        self.page.goto("/")
        self.page.wait_for_selector("html[data-started]")
        self.begin()
        self.page.set_input_files("#files", str(self.film))
        self.page.wait_for_url("**/case/*")
        self.page.wait_for_selector("html[data-started]")

    def click(self, selector: str) -> None:
        self.page.locator(selector).first.click()
        self.clicks += 1

    def saved(self, selector: str) -> Path:
        """What a click downloads."""
        with self.page.expect_download() as waited:
            self.click(selector)
        return Path(waited.value.path())


def two_effusions(hand: Hand) -> bool:
    """Five studies or more are shown, each with a sentence; two of them lie side by side."""
    hand.ask(QUESTION)
    enough = hand.page.locator("[data-grid] .tile").count() >= 5
    for row in (0, 1):
        hand.click(f"[data-grid] .tile >> nth={row} >> input")
    hand.click("[data-compare]")
    hand.page.wait_for_selector('figure[data-state="ready"] >> nth=1')
    return enough and hand.page.locator(".columns > section").count() == 2


def what_and_how_sure(hand: Hand) -> bool:
    """The sentence is there; a finding unfolded says its interval or why it cannot be judged."""
    hand.drop()
    if hand.page.locator("[data-anyway]").count():
        hand.click("[data-anyway] > summary")
    said = hand.page.inner_text("[data-sentence]")
    if not hand.page.locator(".bars details[data-label]:visible").count():  # none is likely: all stand together
        hand.click("details.rest > summary")
    hand.click(".bars details[data-label]:visible > summary")
    unfolded = hand.page.inner_text(".bars details[data-label][open]")
    return bool(said) and any(word in unfolded for word in ("between", "threshold", "Cannot be judged"))


def why_similar(hand: Hand) -> bool:
    """At most three sentences, the first of what is alike."""
    hand.drop()
    hand.click("#panel-similar .tile a")
    hand.click("text=Compare, and why")
    hand.page.wait_for_selector('[data-why][data-state="ready"]')
    told = hand.page.locator("[data-why-words] p").all_inner_texts()
    return 1 <= len(told) <= 3 and told[0].startswith("Alike: ")


def quiz_to_anki(hand: Hand) -> bool:
    """Ten studies, three or more of either kind, as a file that Anki takes."""
    hand.page.goto("/learn")
    hand.page.wait_for_selector("html[data-started]")
    hand.begin()
    hand.page.fill('[name="query"]', "nodule against granuloma")
    hand.click("text=Make the set")
    hand.page.wait_for_url("**/learn/sets/*")
    shows = hand.page.locator("[data-cases] > li .row > span").all_inner_texts()
    kinds = [sum(word in each.lower() for each in shows) for word in ("nodule", "granuloma")]
    cards = hand.saved("text=Cards for Anki")
    with zipfile.ZipFile(cards) as package:
        whole = any(name.startswith("collection.anki2") for name in package.namelist())
    return len(shows) == 10 and min(kinds) >= 3 and whole


def normal_look_alike(hand: Hand) -> bool:
    """Films reported as normal, nearest first."""
    hand.drop()
    hand.click("#tab-normal")
    hand.page.wait_for_selector('#panel-normal[data-state="ready"]')
    return bool(hand.page.locator("#panel-normal .tile").count() > 0)


def words_understood(hand: Hand) -> bool:
    """Every word is in a chip: with hyperinflation, of an age, without nodules; studies answer."""
    hand.ask("hyperinflated, elderly, no nodule")
    chips = " | ".join(hand.page.locator("[data-chips] .chip").all_inner_texts()).lower()
    left = hand.page.locator(".chip.word, .chip.left-out").count()
    asked = all(word in " ".join(chips.split()) for word in ("with hyperinflation", "age 65", "without nodule"))
    return asked and not left and hand.page.locator("[data-grid] .tile").count() > 0


def report_and_original(hand: Hand) -> bool:
    """The neighbour's report is on the page, and a link to where it was published."""
    hand.drop()
    hand.click("#panel-similar .tile a")
    panel = hand.page.locator("[data-neighbour].panel")
    panel.wait_for()
    links = panel.locator("a").evaluate_all("all => all.map((each) => each.href)")
    has_original = any(link.startswith(OPENI) for link in links)
    return panel.locator(".report-text").count() == 1 and has_original


def figure_for_a_slide(hand: Hand) -> bool:
    """A picture large enough for a slide."""
    from PIL import Image

    hand.drop()
    hand.page.wait_for_selector('figure[data-state="ready"]')
    hand.click('summary[aria-label="Export a figure"]')
    with Image.open(hand.saved("text=Figure as PNG")) as picture:
        return max(picture.size) >= 1200


def shared(hand: Hand) -> bool:
    """The address, opened by somebody else, shows the same studies."""
    hand.ask(QUESTION)
    first = hand.page.locator("[data-grid] .tile").evaluate_all("all => all.map((each) => each.dataset.study)")
    other = hand.page.context.browser.new_context()
    theirs = other.new_page()
    theirs.goto(hand.page.url)
    seen = theirs.locator("[data-grid] .tile").evaluate_all("all => all.map((each) => each.dataset.study)")
    other.close()
    return bool(first) and first[: len(seen)] == seen[: len(first)]


def printed(hand: Hand) -> bool:
    """One sheet; the film keeps its proportions. Printing is the browser's, one key."""
    hand.drop()
    hand.page.wait_for_selector('figure[data-state="ready"]')
    hand.clicks += 1
    return print_aspect_error(hand.page, hand.page.url) < 0.01


TASKS: dict[str, Callable[[Hand], bool]] = {
    "five right effusions without cardiomegaly, two compared": two_effusions,
    "what is this, and how sure": what_and_how_sure,
    "why is this one similar": why_similar,
    "ten nodules against granulomas to Anki": quiz_to_anki,
    "the normal look-alike": normal_look_alike,
    "hyperinflated, elderly, no nodule": words_understood,
    "a neighbour's report and its original": report_and_original,
    "a figure for a slide": figure_for_a_slide,
    "share": shared,
    "print": printed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    library = asked.library or made_up(asked.folder, 60)
    film = asked.film or films_of(asked.folder)[0]
    told: dict[str, dict[str, Any]] = {}
    with sync_playwright() as driver, served(library) as server, tempfile.TemporaryDirectory():
        chromium = browser(driver)
        for name, task in TASKS.items():
            context = chromium.new_context(base_url=server.address, viewport={"width": 1280, "height": 800})
            hand, why = Hand(context.new_page(), film), ""
            try:
                done = task(hand)
            except Exception as error:  # a task that cannot be done is a result
                done, why = False, type(error).__name__
            seconds = time.perf_counter() - hand.started
            told[name] = {"done": done, "clicks": hand.clicks, "seconds": round(seconds, 1)}
            if why:
                told[name]["why"] = why
            context.close()
    done = [each for each in told.values() if each["done"]]
    clicks = [each["clicks"] for each in told.values()]
    headline: dict[str, dict[str, Any]] = {
        "tasks_done": {"value": len(done), "unit": "count", "n": len(told)},
        "task_clicks_median": {"value": float(np.median(clicks)), "unit": "count", "n": len(told)},
    }
    body = {"tasks": told, "most_clicks": max(clicks), "within_clicks": sum(each <= MOST_CLICKS for each in clicks)}
    print(json.dumps({**body, **{key: entry["value"] for key, entry in headline.items()}}, indent=1))
    if not asked.dry:
        write_result("tasks", body, headline)


if __name__ == "__main__":
    main()
