"""What a student does with the page, in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.server.conftest import Stock, running

from lingula.ingest.batches import create_library, encoded
from lingula.server import Settings
from lingula.study import Report, Study

ROOT = Path(__file__).parents[2]

TEXT = "FINDINGS: The heart is enlarged. Small left pleural effusion.\n\nIMPRESSION: Cardiomegaly."


def film_of(served: Any) -> Any:
    return sorted(served.collection.rglob("*.dcm")) or sorted(served.collection.rglob("*.png"))


def bring(page: Any, served: Any, text: str = TEXT) -> None:
    page.goto("/")
    page.set_input_files("#files", str(film_of(served)[0]))
    page.fill("#text", text)
    page.click("text=Analyse")
    page.wait_for_url("**/case/*")
    page.wait_for_selector("html[data-started]")


def test_bring_a_film_and_see_findings_neighbours_and_evidence(page: Any, served: Any) -> None:
    bring(page, served)
    assert page.locator("tr[data-label]").count() == 22
    assert page.locator(".cases .case").count() == 5
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    page.wait_for_selector('figure[data-state="ready"]')
    assert page.inner_text("[data-legend]")
    page.select_option('[name="method"]', "integrated_gradients")
    page.locator("[data-legend]", has_text="Integrated Gradients for").wait_for()
    assert page.locator("[data-report] mark").count() > 0
    assert page.inner_text("[data-report]").split() == TEXT.split()


def test_viewer_answers_to_mouse_and_keys(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    canvas = page.locator("[data-viewer] canvas").first
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def state() -> dict[str, Any]:
        found: dict[str, Any] = page.evaluate("document.querySelector('[data-viewer]').viewer.panes[0].state")
        return found

    def drag(dx: int, dy: int) -> None:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + dx, y + dy, steps=4)
        page.mouse.up()

    drag(80, 40)
    assert state()["width"] > 1.05
    assert state()["level"] > 0.5
    page.keyboard.down("Shift")
    drag(60, 0)
    page.keyboard.up("Shift")
    assert state()["x"] < 0.5
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(300)
    assert state()["zoom"] > 1.5
    canvas.focus()
    page.keyboard.press("i")
    assert state()["invert"]
    page.keyboard.press("f")
    assert (state()["zoom"], state()["x"]) == (1, 0.5)
    page.keyboard.press("1")
    scale = page.evaluate("document.querySelector('[data-viewer]').viewer.panes[0].scale() * devicePixelRatio")
    assert scale == pytest.approx(1)
    page.keyboard.press("r")
    assert state() == {"level": 0.5, "width": 1, "invert": False, "zoom": 1, "x": 0.5, "y": 0.5}
    centre = """(() => {
        const canvas = document.querySelector('[data-viewer] canvas');
        return [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data];
    })()"""
    before = page.evaluate(centre)
    page.select_option('[name="method"]', "")
    page.click('[data-do="invert"]')
    after = page.evaluate(centre)
    assert before != after


def test_words_and_regions_of_a_finding_point_at_each_other(page: Any, served: Any) -> None:
    """With the pointer and with the keyboard, from the report to the film and back."""
    bring(page, served)
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    outlines = "document.querySelector('[data-viewer]').viewer.panes.map((pane) => pane.pointed.length)"
    effusion = page.locator('[data-report] [data-mention="pleural_effusion"]')
    assert page.locator("[data-report] .mention").all_inner_texts() == [
        "heart is enlarged",
        "pleural effusion",
        "Cardiomegaly",
    ]
    assert page.evaluate(outlines) == [0]

    def pointed_at(method: str) -> int:
        """Outlines of effusion by a method; the page says which of the two it is, something or nothing."""
        page.mouse.move(0, 0)
        page.select_option('[name="method"]', method)
        page.wait_for_selector('[data-evidence][data-state="ready"]')
        effusion.hover()
        page.locator("[data-pointed]", has_text="Pleural effusion").wait_for()
        count: int = page.evaluate(outlines)[0]
        assert page.inner_text("[data-pointed]").startswith("Outlined on the film" if count else "Nothing on the film")
        return count

    methods = page.eval_on_selector_all('[name="method"] option', "all => all.map((each) => each.value)")
    assert any(pointed_at(method) for method in methods if method)  # which one finds something, the weights decide
    page.locator(".corner canvas").wait_for()  # the report stands below the film
    page.mouse.move(0, 0)
    page.wait_for_function(f"{outlines}[0] === 0")
    assert not page.locator(".corner").is_visible()
    page.locator("[data-report] .mention").first.focus()
    page.locator("[data-pointed]", has_text="Cardiomegaly").wait_for()
    page.keyboard.press("Tab")
    page.locator("[data-pointed]", has_text="Pleural effusion").wait_for()
    page.keyboard.press("Enter")
    page.locator("[data-legend]", has_text="for Pleural effusion").wait_for()
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    assert page.input_value('[name="label"]') == "pleural_effusion"
    assert page.evaluate("document.activeElement.dataset.mention") == "pleural_effusion"
    assert page.locator(".mention.named").all_inner_texts() == ["pleural effusion"]
    assert page.inner_text("[data-report]").split() == TEXT.split()
    page.evaluate("""(() => {
        const pane = document.querySelector('[data-viewer]').viewer.panes[0];
        pane.overlay.outlines = [`M0 0H${pane.columns}V${pane.rows}H0Z`];
    })()""")
    page.locator("[data-viewer] canvas").hover()
    page.wait_for_selector("[data-report].over-region")


def test_a_box_on_the_film_is_searched_for_with_pointer_and_keys(page: Any, served: Any) -> None:
    page.expected.append("503")  # while the library is prepared, which the page waits for
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    page.click('[data-do="box"]')
    canvas = page.locator("[data-viewer] canvas").first
    at = canvas.bounding_box()
    page.mouse.move(at["x"] + 0.45 * at["width"], at["y"] + 0.4 * at["height"])
    page.mouse.down()
    page.mouse.move(at["x"] + 0.55 * at["width"], at["y"] + 0.6 * at["height"], steps=4)
    page.mouse.up()
    page.wait_for_selector('[data-region][data-state="ready"]')
    found = page.locator("[data-region-cases] .case")
    assert found.count() == 5
    drawn, first = page.evaluate("location.hash"), found.all_inner_texts()
    box = page.evaluate("document.querySelector('[data-viewer]').viewer.panes[0].boxes[0]")
    assert box["height"] == pytest.approx(0.2, abs=0.02)
    assert drawn == f"#box=0,{box['x']:.4g},{box['y']:.4g},{box['width']:.4g},{box['height']:.4g}"
    assert page.locator("[data-region-cases] rect.over").count() == 5
    page.reload()  # the address brings it back
    page.wait_for_selector('[data-region][data-state="ready"]')
    assert found.all_inner_texts() == first
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function(f"location.hash !== {drawn!r}")
    page.wait_for_selector('[data-region][data-state="ready"]')
    moved = page.evaluate("document.querySelector('[data-viewer]').viewer.panes[0].boxes[0]")
    assert (moved["x"], moved["height"]) == (
        pytest.approx(box["x"] + 0.02, abs=1e-3),
        pytest.approx(box["height"] + 0.02, abs=1e-3),
    )
    page.click('[data-do="box"]')
    assert page.evaluate("location.hash") == ""
    assert not page.locator("[data-region-found]").is_visible()


def test_before_its_script_a_form_sends_nothing(chromium: Any, served: Any) -> None:
    """What was typed would stand in the address otherwise."""
    context = chromium.new_context(base_url=served.address, java_script_enabled=False)
    page = context.new_page()
    for path, field in (("/search", "#question"), ("/search", '[name="without"]'), ("/login", "#token")):
        page.goto(path)
        page.fill(field, "a name")
        page.press(field, "Enter")
        page.wait_for_timeout(200)
        assert page.url == served.address + path
    page.goto("/")
    page.fill("#text", "a name")
    assert page.is_disabled("text=Analyse")
    context.close()


def test_threshold_changes_findings_and_says_what_it_costs(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('[data-threshold-for][data-state="ready"]')
    slider = page.locator("#cut")
    slider.fill("0")
    assert page.inner_text(".threshold output") == "1 % for all"
    assert page.locator('[data-group="present"] tr[data-label]').count() == 21  # all but normal, which is no finding
    slider.fill(page.get_attribute("#cut", "max"))
    assert page.locator('[data-group="present"] tr[data-label]').count() == 0
    page.click("text=Each finding’s own")
    assert page.inner_text(".threshold output") == "each finding’s own"


def test_compare_moves_both_films_together(page: Any, served: Any) -> None:
    bring(page, served)
    page.locator(".case >> text=Compare").first.click()
    page.wait_for_selector('figure[data-state="ready"] >> nth=1')
    page.locator("canvas").first.focus()
    page.keyboard.press("+")
    zooms = page.evaluate("document.querySelector('[data-viewer]').viewer.panes.map((pane) => pane.state.zoom)")
    assert zooms == [1.25, 1.25]
    page.wait_for_selector('[data-why][data-state="ready"]')
    *shares, total = map(float, re.findall(r"-?\d\.\d{3}", page.inner_text("[data-sum]").replace("−", "-")))
    assert sum(shares) == pytest.approx(total, abs=0.0016)
    boxes = page.evaluate("document.querySelector('[data-viewer]').viewer.panes.map((pane) => pane.boxes.length)")
    assert boxes[0] == boxes[1] > 0
    page.click('[data-do="flicker"]')
    assert page.locator("figure:visible").count() == 1
    page.click('[data-do="flicker"]')
    assert page.locator("figure:visible").count() == 1
    page.click('[data-do="flicker"]')
    assert page.locator("figure:visible").count() == 2


def test_a_refusal_is_said_in_words(page: Any, served: Any) -> None:
    page.expected.append("422")
    page.goto("/")
    page.set_input_files("#files", {"name": "x.gif", "mimeType": "image/gif", "buffer": b"GIF89a" + bytes(100)})
    page.click("text=Analyse")
    page.wait_for_selector("[data-bring-trouble]:visible")
    said = page.inner_text("[data-bring-trouble]")
    assert "PNG" in said
    assert "unsupported_format" in said


def test_an_example_opens(page: Any, served: Any) -> None:
    page.goto("/")
    page.locator("button[data-example]").first.click()
    page.wait_for_url(re.compile("/case/"))
    assert page.locator(".cases .case").count() == 5


def test_a_search_is_steered_and_its_address_brings_it_back(page: Any, served: Any) -> None:
    page.goto("/search")
    page.fill("#question", "effusion, no cardiomegaly")
    page.click("button >> text=Search")
    page.wait_for_url("**/search?**")
    assert page.locator(".chip.present").inner_text().startswith("with")
    assert page.locator(".chip.absent").count() == 1
    with_it = page.locator(".results > li").count()
    page.locator(".chip.absent .remove").click()
    assert page.locator(".chip").count() == 1
    assert page.locator(".results > li").count() >= with_it > 0
    page.fill('[name="without"]', "pneumothorax")
    page.click("button >> text=Search")
    page.locator(".chip.absent").wait_for()
    page.select_option('[name="view"]', "frontal")
    page.click("text=Filter")
    page.wait_for_url("**view=frontal**")
    page.locator(".chip.present .remove").click()
    page.locator("text=More like this").first.click()
    page.wait_for_url("**more=**")
    first, address = page.inner_text(".results"), page.url
    page.goto("/")
    page.goto(address)
    assert page.inner_text(".results") == first
    for words in page.locator(".sum-words").all_inner_texts():
        *parts, total = map(float, re.findall(r"-?\d\.\d{3}", words.replace("−", "-")))
        assert sum(parts) == pytest.approx(total, abs=0.0016)


def test_a_study_without_films_leaves_room_for_its_words(chromium: Any, stock: Stock, tmp_path: Path) -> None:
    study = Study("told", report=Report.from_sections(findings="There is a small left pleural effusion."))
    with create_library(stock.checkpoint, tmp_path / "library.sqlite") as library:
        library.add_many(encoded(stock.checkpoint, [study]))
        with running(stock.checkpoint, library, stock.collection, Settings()) as server:
            context = chromium.new_context(base_url=server.address, viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto("/search?present=effusion")
            whole, words = (page.locator(f".results {part}").bounding_box() for part in ("article", ".told"))
            assert words["width"] > 0.8 * whole["width"]
            assert "No film in this library" in page.inner_text(".results")
            context.close()


def test_a_case_is_searched_with_a_finding_left_out(page: Any, served: Any) -> None:
    bring(page, served)
    page.click("text=Steer this search")
    page.wait_for_url("**/search?case=*")
    everything = page.locator(".results > li").count()
    page.fill('[name="without"]', "effusion")
    page.click("button >> text=Search")
    page.locator(".chip.absent").wait_for()
    assert 0 < page.locator(".results > li").count() <= everything
    assert "case=" in page.url


def test_practice_tells_nothing_before_the_answer(page: Any, served: Any) -> None:
    """Every byte the browser was sent before the answer is searched for what would give it away."""
    sent: list[bytes] = []
    page.on("response", lambda answer: sent.append(answer.body()) if "/api/practice" in answer.url else None)
    page.goto("/practice")
    page.select_option('[name="difficulty"]', "hard")
    page.click("text=Next film")
    page.wait_for_selector('[data-stage] figure[data-state="ready"]')
    page.wait_for_timeout(200)
    before = b"".join(sent) + page.content().encode() + page.url.encode()
    assert len(sent) >= 3
    for study in served.library.ids():
        assert study.encode() not in before
        report = served.library.get(study).report
        assert report is None or report.text.encode() not in before
    page.locator("[data-choices] input").first.check()
    page.click("button >> text=Answer")
    page.wait_for_selector("[data-verdict]:visible")
    assert re.search("Right|Not quite", page.inner_text("[data-verdict] h2"))
    assert page.get_attribute("[data-verdict] a", "href").removeprefix("/study/") in served.library.ids()
    page.locator("[data-progress]:visible").wait_for()
    page.click("text=Next film")
    page.wait_for_selector("[data-ticks]:visible")


def test_the_library_is_imported_into_stopped_and_wandered_in(page: Any, served: Any, tmp_path: Any) -> None:
    page.goto("/library")
    page.wait_for_selector('canvas[data-map][data-state="ready"]')
    page.focus("canvas[data-map]")
    page.keyboard.press("ArrowRight")
    assert "CXR9" in page.inner_text("[data-note]")
    film, other = io.BytesIO(), b"no film at all" * 20
    Image.fromarray((np.add.outer(np.arange(96), np.arange(80)) % 251).astype(np.uint8)).save(film, "PNG")
    page.set_input_files(
        '[name="files"]',
        [
            {"name": "of somebody.dcm", "mimeType": "application/dicom", "buffer": film.getvalue()},
            {"name": "wrong.dcm", "mimeType": "application/dicom", "buffer": other},
        ],
    )
    page.click("button >> text=Import")
    page.wait_for_selector('[data-job][data-state="done"]')
    assert "1 studies added" in page.inner_text("[data-job-words]")
    assert "wrong.dcm" in page.inner_text("[data-job-refused]")  # known to the browser, not to the server
    page.reload()
    assert "wrong" not in page.inner_text("main")


def test_the_model_page_shows_a_real_evaluation(page: Any, stock: Any, tmp_path: Path) -> None:
    """The committed figures of the shipped model, as ``lingula evaluate`` and ``lingula card`` wrote them."""
    shutil.copy(ROOT / "benchmarks/results/evaluation.json", tmp_path / "results.json")
    shutil.copy(ROOT / "docs/model-card.md", tmp_path)
    known = json.loads((tmp_path / "results.json").read_text())["tables"]
    with running(stock.checkpoint, stock.library, stock.collection, Settings(evaluation=tmp_path)) as server:
        page.expected.append(f"outside: {server.address}")  # a second server, on a port of its own
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(f"{server.address}/model")
        page.wait_for_selector("html[data-started]")
        titles = page.locator("#evaluation-title ~ details > summary").all_inner_texts()
        assert titles
        assert set(titles) <= {table["title"] for table in known.values()}
        assert known["classification"]["title"] in titles
        cells = page.locator("#evaluation-title ~ details td").all_text_contents()
        assert any(re.fullmatch(r"0\.\d{3} \(0\.\d{3}–0\.\d{3}\)", cell) for cell in cells)
        assert "not for diagnostic use" in page.inner_text(".card").lower()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_every_page_is_served_and_none_is_wider_than_its_window(page: Any, served: Any) -> None:
    study = served.library.ids()[0]
    case = served.ask("POST", f"/api/studies/{study}/case").json["case_id"]
    page.set_viewport_size({"width": 390, "height": 800})
    for path in (
        f"/case/{case}",
        f"/case/{case}/with/{served.library.ids()[1]}",
        "/",
        "/search?present=effusion",
        "/library",
        "/practice",
        "/model",
        f"/study/{study}",
    ):
        answer = page.goto(path)
        assert answer.status == 200
        page.wait_for_selector("html[data-started]")
        page.wait_for_load_state("networkidle")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
