"""What a student does with the page, in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from tests.mark_files import state
from tests.server.conftest import Stock, running

from lingula.ingest.batches import create_library, encoded
from lingula.server import Settings
from lingula.study import Report, Study

ROOT = Path(__file__).parents[2]

TEXT = "FINDINGS: The heart is enlarged. Small left pleural effusion.\n\nIMPRESSION: Cardiomegaly."


def film_of(served: Any) -> Any:
    return sorted(served.collection.rglob("*.dcm")) or sorted(served.collection.rglob("*.png"))


def tarball(folder: Path, *endings: str) -> bytes:
    """The files of a folder with those endings, packed as NLM packs them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in endings):
            archive.add(path, path.name)
    return made.getvalue()


@contextmanager
def archive_server(archives: dict[str, bytes]) -> Iterator[str]:
    """A server that stands for NLM's; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = archives[self.path.strip("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def bring(page: Any, served: Any, text: str = TEXT, film: int = 0) -> None:
    page.goto("/")
    page.wait_for_selector("html[data-started]")
    page.fill("#text", text)
    page.set_input_files("#files", str(film_of(served)[film]))
    page.wait_for_url("**/case/*")
    page.wait_for_selector("html[data-started]")


PANES = "document.querySelector('[data-viewer]').viewer.panes"


def test_a_film_is_dropped_and_the_plain_film_the_sentence_and_ten_neighbours_are_there(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    assert page.evaluate(f"{PANES}.every((pane) => pane.overlay === null)")  # evidence only when asked for
    sentence = page.locator("[data-sentence]").first.inner_text()
    assert sentence.startswith(("Likely: ", "Nothing stands out."))
    assert "normal" not in sentence.lower()
    assert page.locator("details[data-label]").count() == 21  # every label but normal
    assert page.locator("#panel-similar .tile").count() == 10
    page.locator("details.rest > summary").click()
    unfolded = page.locator("[data-bars] details[data-label]").last
    unfolded.locator("summary").click()
    assert "threshold" in unfolded.inner_text()
    page.click("#tab-report")
    assert page.inner_text("[data-report]").split() == TEXT.split()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_evidence_is_shown_while_e_is_held_and_by_its_button(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    page.keyboard.down("e")
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    assert page.evaluate(f"{PANES}[0].overlay.image !== null")
    page.keyboard.up("e")
    page.locator("[data-evidence]").wait_for(state="hidden")
    assert page.evaluate(f"{PANES}[0].overlay === null")
    page.click('[data-do="evidence"]')
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    assert page.inner_text("[data-legend]")
    page.click("[data-hide-evidence]")
    assert page.evaluate(f"{PANES}[0].overlay === null")
    page.locator("[data-bars] summary").first.click()
    page.locator("[data-explain]").first.click()
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    first = page.locator("[data-bars] details").first.get_attribute("data-label")
    assert page.input_value('[name="label"]') == first


def test_arrow_keys_walk_the_neighbours_beside_the_film(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    shown = "document.querySelector('[data-viewer] figure[data-neighbour]').dataset.neighbour"
    tiles = page.locator("#panel-similar .tile")
    ids = [json.loads(tiles.nth(row).get_attribute("data-entry"))["study_id"] for row in range(3)]
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('figure[data-neighbour][data-state="ready"]')
    assert page.evaluate(shown) == ids[0]
    assert (
        served.library.get(ids[0]).report.text.split()[:5]
        == page.inner_text("[data-neighbour] .report-text").split()[:5]
    )
    page.keyboard.press("ArrowRight")
    assert page.evaluate(shown) == ids[1]
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('figure[data-neighbour][data-state="ready"]')
    assert page.evaluate(shown) == ids[0]
    page.locator("canvas").first.focus()
    page.keyboard.press("+")
    assert page.evaluate(f"{PANES}.map((pane) => pane.state.zoom)") == [1.25, 1.25]
    page.click("text=Close")
    assert page.evaluate(f"{PANES}.length") == 1


def test_a_normal_look_alike_is_one_click_away(page: Any, served: Any) -> None:
    bring(page, served)
    page.click("#tab-normal")
    page.wait_for_selector('#panel-normal[data-state="ready"]')
    itself = f"CXR{film_of(served)[0].name.partition('_')[0]}"
    coded = {study for study in served.library.ids() if "normal" in (served.library.get(study).labels or ())}
    normal = coded - {itself}
    shown = page.locator("#panel-normal .tile")
    found = {json.loads(shown.nth(row).get_attribute("data-entry"))["study_id"] for row in range(shown.count())}
    assert found == normal or (found <= normal and len(found) == 10)


def test_lengths_on_the_film_are_those_of_its_pixels(page: Any, served: Any) -> None:
    """The ratio of the lines is computed again from where they are, in pixels and in millimetres."""
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    page.evaluate(f"{PANES}[0].spacing = 0.5")
    page.click('[data-do="ratio"]')
    lines = page.evaluate(f"{PANES}[0].lines")
    columns = page.evaluate(f"{PANES}[0].columns")
    heart, chest = [(line["b"]["x"] - line["a"]["x"]) * columns for line in lines]
    said = page.inner_text("[data-readout]")
    numbers = list(map(float, re.findall(r"\d+\.?\d*", said)))
    assert numbers == [
        pytest.approx(heart / 2, abs=0.6),
        pytest.approx(chest / 2, abs=0.6),
        pytest.approx(heart / chest, abs=0.006),
    ]
    end = page.evaluate(f"""(() => {{
        const pane = {PANES}[0], box = pane.canvas.getBoundingClientRect(), line = pane.lines[0], scale = pane.scale();
        const x = box.left + box.width / 2 + (line.b.x - pane.state.x) * pane.columns * scale;
        return [x, box.top + box.height / 2 + (line.b.y - pane.state.y) * pane.rows * scale, scale];
    }})()""")
    page.mouse.move(end[0], end[1])
    page.mouse.down()
    page.mouse.move(end[0] - 30, end[1], steps=3)
    page.mouse.up()
    moved = page.evaluate(f"{PANES}[0].lines[0]")
    assert (lines[0]["b"]["x"] - moved["b"]["x"]) * columns == pytest.approx(30 / end[2], abs=1.5)
    assert moved["a"] == lines[0]["a"]
    assert page.inner_text("[data-readout]") != said


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
    assert state() == {"level": 0.5, "width": 1, "invert": False, "flip": False, "zoom": 1, "x": 0.5, "y": 0.5}
    centre = """(() => {
        const canvas = document.querySelector('[data-viewer] canvas');
        return [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data];
    })()"""
    before = page.evaluate(centre)
    page.click('[data-do="invert"]')
    after = page.evaluate(centre)
    assert before != after


def test_words_and_regions_of_a_finding_point_at_each_other(page: Any, served: Any) -> None:
    """With the pointer and with the keyboard, from the report to the film and back."""
    bring(page, served)
    page.click('[data-do="evidence"]')
    page.wait_for_selector('[data-evidence][data-state="ready"]')
    page.click("#tab-report")
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
    page.mouse.move(0, 0)
    page.wait_for_function(f"() => {outlines}[0] === 0")
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
    page.wait_for_function(f"() => location.hash !== {drawn!r}")
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
    for path, field in (("/search", "#question"), ("/login", "#token")):
        page.goto(path)
        page.fill(field, "a name")
        page.press(field, "Enter")
        page.wait_for_timeout(200)
        assert page.url == served.address + path
    page.goto("/")
    page.fill("#text", "a name")
    assert page.is_disabled("[data-go]")
    assert "JavaScript is off" in page.inner_text("noscript")
    context.close()


def test_two_studies_are_compared_and_move_together(page: Any, served: Any) -> None:
    bring(page, served)
    page.locator("#panel-similar .tile a").first.click()
    page.click("text=Compare, and why")
    page.wait_for_url("**/compare?**")
    page.wait_for_selector('figure[data-state="ready"] >> nth=1')
    views = page.eval_on_selector_all(
        "[data-viewer]", "all => all.map((each) => [...each.querySelectorAll('figure')].map((one) => one.dataset.view))"
    )
    assert all(("lateral" in pair) == (pair == ["lateral", "lateral"]) for pair in views)
    page.locator("canvas").first.focus()
    page.keyboard.press("+")
    assert page.evaluate(f"{PANES}.map((pane) => pane.state.zoom)") == [1.25, 1.25]
    page.wait_for_selector('[data-why][data-state="ready"]')
    words = page.locator("[data-why-words] p").all_inner_texts()
    assert 1 <= len(words) <= 3
    assert words[0].startswith("Alike: ")
    page.click("text=Figures")
    *shares, total = map(float, re.findall(r"-?\d\.\d{3}", page.inner_text("[data-sum]").replace("−", "-")))
    assert sum(shares) == pytest.approx(total, abs=0.0016)
    boxes = f"{PANES}.map((pane) => pane.boxes.length)"
    assert page.evaluate(boxes) == [0, 0]  # regions when asked for
    page.check('[name="regions"]')
    assert len(set(page.evaluate(boxes))) == 1
    page.locator('[data-do="flicker"]').first.click()
    first = page.locator("[data-viewer]").first.locator("figure:visible")
    assert first.count() == 1
    page.locator('[data-do="flicker"]').first.click()
    assert first.count() == 1
    page.locator('[data-do="flicker"]').first.click()
    assert first.count() == 2


def test_any_two_studies_that_are_ticked_are_compared(page: Any, served: Any) -> None:
    page.goto("/search?view=frontal")
    boxes = page.locator("[data-grid] input")
    chosen = [boxes.nth(row).get_attribute("value") for row in (0, 2)]
    for row in (0, 2):
        boxes.nth(row).check()
    assert page.inner_text("[data-basket-count]") == "2 selected"
    page.click("[data-compare]")
    page.wait_for_url("**/compare?**")
    assert page.inner_text("h1") == " and ".join(chosen)
    page.wait_for_selector('figure[data-state="ready"] >> nth=1')


def test_a_refusal_is_said_in_words(page: Any, served: Any) -> None:
    page.expected.append("422")
    page.goto("/")
    page.wait_for_selector("html[data-started]")
    page.set_input_files("#files", {"name": "x.gif", "mimeType": "image/gif", "buffer": b"GIF89a" + bytes(100)})
    page.wait_for_selector("[data-bring-trouble]:visible")
    said = page.inner_text("[data-bring-trouble]")
    assert "PNG" in said
    assert "unsupported_format" in said


def test_a_study_of_the_library_is_asked_about(page: Any, served: Any) -> None:
    study = served.library.ids()[0]
    page.goto("/")
    page.fill("#text", study.removeprefix("CXR"))  # a number opens the study
    page.click("[data-go]")
    page.wait_for_url(f"**/study/{study}")
    page.wait_for_selector("html[data-started]")
    assert served.library.get(study).report.text.split()[-3:] == page.inner_text(".report-text").split()[-3:]
    assert page.locator(".strip .tile").count() == 10
    page.click("text=What does the model say?")
    page.wait_for_url(re.compile("/case/"))
    assert page.locator("#panel-similar .tile").count() == 10


def test_a_search_is_steered_and_its_address_brings_it_back(page: Any, served: Any) -> None:
    page.goto("/search")
    page.fill("#question", "no cardiomegaly, effusion")
    page.click("button >> text=Search")
    page.wait_for_url("**/search?**")
    chips = page.locator("[data-chips] .chip")
    before = chips.all_inner_texts()
    assert len(before) == 2
    page.locator(".chip.present summary").click()
    page.locator(".chip.present .sheet a", has_text="left").click()
    page.wait_for_url("**effusion.left**")
    after = chips.all_inner_texts()
    assert [text.replace(" (left)", "") for text in after] == before  # each in its place
    page.go_back()
    page.locator(".chip.absent summary").click()
    page.locator(".chip.absent .sheet a", has_text="perhaps").click()
    page.wait_for_url("**uncertain=cardiomegaly**")
    assert [text.partition(" ")[2] for text in chips.all_inner_texts()] == [text.partition(" ")[2] for text in before]
    page.go_back()
    page.locator(".chip.absent .remove").click()
    page.wait_for_function("() => document.querySelectorAll('[data-chips] .chip').length === 1")
    first, address = page.inner_text("[data-grid]"), page.url
    page.goto("/")
    page.goto(address)
    assert page.inner_text("[data-grid]") == first


def test_facets_count_what_a_click_brings(page: Any, served: Any) -> None:
    page.goto("/search?view=frontal")
    links = page.locator("[data-facets] a:not([aria-current])")
    told = [
        (links.nth(row).get_attribute("href"), int(links.nth(row).locator("span").inner_text()))
        for row in range(min(6, links.count()))
    ]
    assert told
    for address, count in told:
        page.goto(address)
        assert int(page.inner_text("#results-title").split()[0]) == count, address


def test_the_grid_goes_on_as_far_as_there_are_answers(page: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("lingula.server.grid", "lingula.server.routes.pages"):
        monkeypatch.setattr(f"{module}.PAGE", 2)
    page.goto("/search?view=frontal")
    matching = int(page.inner_text("#results-title").split()[0])
    page.wait_for_function("() => !document.querySelector('[data-more]')")
    shown = page.eval_on_selector_all("[data-grid] .tile", "all => all.map((each) => each.dataset.study)")
    assert len(shown) == len(set(shown))
    assert len(shown) > 2
    assert matching - len(shown) <= 2  # duplicates stand with their first


def test_what_was_not_understood_is_said_with_a_proposal(page: Any, served: Any) -> None:
    page.goto("/search")
    page.fill("#question", "effusion, zzqqxv cardiomegally")
    page.click("button >> text=Search")
    page.wait_for_url("**/search?**")
    said = page.locator(".chip.word, .chip.left-out")
    said.first.wait_for()
    assert any("zzqqxv" in text for text in said.all_inner_texts())
    if page.locator(".chip.absent, .chip.present").count() == 1:  # the misspelt word was not read: a proposal
        assert page.locator(".chip >> text=cardiomegaly?").count() == 1


def test_a_shared_link_survives_signing_in(chromium: Any, stock: Stock) -> None:
    with running(stock.checkpoint, stock.library, stock.collection, Settings(token="a token")) as server:
        context = chromium.new_context(base_url=server.address)
        page = context.new_page()
        page.goto("/search?present=effusion.left&absent=cardiomegaly")
        assert page.url.startswith(f"{server.address}/login?next=")
        page.wait_for_selector("html")
        page.fill("#token", "a token")
        page.click("button >> text=Sign in")
        page.wait_for_url("**/search?present=effusion.left&absent=cardiomegaly")
        page.goto("/login?next=//evil.example/x")
        page.fill("#token", "a token")
        page.click("button >> text=Sign in")
        page.wait_for_url(f"{server.address}/")
        context.close()


def test_on_a_phone_findings_come_first_and_two_fingers_move_the_film(chromium: Any, served: Any) -> None:
    context = chromium.new_context(
        base_url=served.address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    assert page.locator("[data-sentence]").first.bounding_box()["y"] < page.locator("canvas").first.bounding_box()["y"]
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    client = context.new_cdp_session(page)

    def touch(kind: str, *gaps: float) -> None:
        points = [{"x": x + gap, "y": y, "id": number} for number, gap in enumerate(gaps)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0)
    touch("touchMove", 40)
    touch("touchEnd")
    assert page.evaluate(f"{PANES}[0].state.width") == 1  # one finger is for the page
    touch("touchStart", -30, 30)
    for gap in (40, 55, 70):
        touch("touchMove", -gap, gap)
    touch("touchEnd")
    assert page.evaluate(f"{PANES}[0].state.zoom") > 1.5
    context.close()


def test_a_printed_film_keeps_its_proportions(page: Any, served: Any, tmp_path: Path) -> None:
    """The page as PDF, the PDF as pixels, the black frame of the film measured in them."""
    pdfium = pytest.importorskip("pypdfium2", reason="needs pypdfium2")
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-sheet] img')].every((each) => each.complete && each.naturalWidth)"
    )
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4", prefer_css_page_size=True)
    document = pdfium.PdfDocument(tmp_path / "page.pdf")
    assert len(document) == 1
    pixels = np.asarray(document[0].render(scale=3).to_pil().convert("L"))
    columns, rows = page.evaluate(
        "['naturalWidth', 'naturalHeight'].map((side) => document.querySelector('.main-film')[side])"
    )
    image = next(each for each in document[0].get_objects() if each.type == 3)
    left, bottom, right, top = image.get_bounds()
    assert (right - left) / (top - bottom) == pytest.approx(columns / rows, rel=0.01)
    shown = pixels[int((842 - top) * 3) + 6 : int((842 - bottom) * 3) - 6, int(left * 3) + 6 : int(right * 3) - 6]
    assert shown.std() > 10  # a picture stands there, and not a frame
    assert 20 < top - bottom < 842


def test_a_figure_is_exported_with_its_credit(page: Any, served: Any) -> None:
    bring(page, served)
    page.wait_for_selector('figure[data-state="ready"]')
    page.click('summary[aria-label="Export a figure"]')
    with page.expect_download() as waited:
        page.click("text=Figure as PNG")
    with Image.open(waited.value.path()) as picture:
        assert picture.height > 1200
    with page.expect_download() as waited:
        page.click("text=Figure as PDF")
    assert waited.value.path().read_bytes().startswith(b"%PDF")


def test_a_study_without_films_shows_its_words(chromium: Any, stock: Stock, tmp_path: Path) -> None:
    study = Study("told", report=Report.from_sections(findings="There is a small left pleural effusion."))
    with create_library(stock.checkpoint, tmp_path / "library.sqlite") as library:
        library.add_many(encoded(stock.checkpoint, [study]))
        with running(stock.checkpoint, library, stock.collection, Settings()) as server:
            context = chromium.new_context(base_url=server.address, viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto("/search?present=effusion")
            assert "small left pleural effusion" in page.inner_text("[data-grid]")
            page.goto("/study/told")
            assert "small left pleural effusion" in page.inner_text("main")
            context.close()


def test_a_case_is_searched_with_a_finding_left_out(page: Any, served: Any) -> None:
    bring(page, served)
    page.click("text=All of them, with and without findings")
    page.wait_for_url("**/search?case=*")
    everything = int(page.inner_text("#results-title").split()[0])
    page.fill("#question", "no effusion")
    page.click("button >> text=Search")
    page.locator(".chip.absent").wait_for()
    assert 0 < int(page.inner_text("#results-title").split()[0]) <= everything
    assert "case=" in page.url


def test_marks_that_come_with_a_film_are_shown_and_go_into_a_set(page: Any, served: Any, tmp_path: Path) -> None:
    """A film and a presentation state together: where its marks come from is said, they are drawn when asked for."""
    film = film_of(served)[0]
    header = dcmread(film, stop_before_pixels=True)
    wide, high = int(header.Columns), int(header.Rows)
    box = [0.25 * wide, 0.5 * high, 0.5 * wide, 0.5 * high, 0.5 * wide, 0.75 * high, 0.25 * wide, 0.75 * high]
    marks = state(tmp_path / "state.dcm", str(header.SOPInstanceUID), ("POLYLINE", box))
    other = state(tmp_path / "other.dcm", "1.2.3", ("POINT", [1, 1]))
    page.goto("/")
    page.wait_for_selector("html[data-started]")
    page.set_input_files("#files", [str(film), str(marks), str(other)])
    page.wait_for_url("**/case/*")
    page.wait_for_selector('figure[data-state="ready"]')
    assert "1 mark from a presentation state" in page.locator("canvas").first.get_attribute("aria-label")
    assert page.locator("p.aside", has_text="has no mark on a film of this study").count() == 1
    green = """() => { const c = document.querySelector('canvas');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let n = 0;
      for (let i = 0; i < d.length; i += 4) n += d[i] < 120 && d[i + 1] > 190 && d[i + 2] < 190;
      return n; }"""
    assert page.evaluate(green) == 0
    page.click("text=Show on the film")
    assert page.evaluate(green) > 200
    assert page.inner_text("[data-readout]") == "1 mark from a presentation state"
    page.locator("canvas").first.press("k")
    assert page.evaluate(green) == 0


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


def test_the_collection_is_got_from_the_page(
    chromium: Any, stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a server of ours in place of NLM's; the studies that ship answer before, films after; no network is said."""
    reports, films = (tarball(stock.collection, *endings) for endings in ((".xml",), (".png", ".dcm")))
    monkeypatch.setattr("lingula.openi.fetch.SHA256", {})  # of NLM's own archive
    archives = {"NLMCXR_reports.tgz": reports, "NLMCXR_png.tgz": films}
    place = tmp_path / "library.sqlite"
    with (
        archive_server(archives) as address,
        create_library(stock.checkpoint, place) as library,
        running(stock.checkpoint, library, stock.collection, Settings(collection_url=address)) as server,
    ):
        page = chromium.new_context(base_url=server.address).new_page()
        page.goto("/")
        page.goto("/library")
        page.click("[data-get-collection]:enabled")
        page.wait_for_selector("canvas[data-map]", timeout=60_000)
        assert set(library.ids()) == {study for study in stock.library.ids() if study.startswith("CXR")}
        assert (tmp_path / "openi" / "NLMCXR_png.tgz").is_file()
        page.context.close()


def test_a_download_without_a_network_is_said_in_words(
    chromium: Any, stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingula.openi.fetch._ATTEMPTS", 1)  # each is two seconds after the one before
    with create_library(stock.checkpoint, tmp_path / "library.sqlite") as library:
        settings = Settings(collection_url="http://127.0.0.1:1/")
        with running(stock.checkpoint, library, stock.collection, settings) as server:
            page = chromium.new_context(base_url=server.address).new_page()
            page.goto("/library")
            page.click("[data-get-collection]:enabled")
            page.wait_for_selector('[data-job][data-state="failed"]')
            assert "connected to the internet" in page.inner_text("[data-job-words]")
            page.context.close()


def test_a_study_is_deleted_from_its_page(chromium: Any, stock: Stock, tmp_path: Path) -> None:
    with create_library(stock.checkpoint, tmp_path / "library.sqlite") as library:
        for study in stock.library.ids()[:3]:
            library.add_many(encoded(stock.checkpoint, [Study(study, report=stock.library.get(study).report)]))
        gone, *kept = library.ids()
        with running(stock.checkpoint, library, stock.collection, Settings()) as server:
            page = chromium.new_context(base_url=server.address).new_page()
            page.goto(f"/study/{gone}")
            page.click("text=Delete this study")
            page.click("[data-delete-now]:enabled")
            page.wait_for_selector("[data-deleted]:visible")
            assert page.inner_text("[data-deleted]").startswith(f"{gone} is deleted.")
            assert list(library.ids()) == kept
            assert page.goto(f"/study/{gone}").status == 404
            page.context.close()


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
        titles = page.locator("#evaluation-title ~ details > summary").all_text_contents()
        assert titles
        assert set(titles) <= {table["title"] for table in known.values()}
        assert known["classification"]["title"] in titles
        cells = page.locator("#evaluation-title ~ details td").all_text_contents()
        assert any(re.fullmatch(r"0\.\d{3} \(0\.\d{3}–0\.\d{3}\)", cell) for cell in cells)
        assert "not for diagnostic use" in page.locator(".card").text_content().lower()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_every_page_is_served_and_none_is_wider_than_its_window(page: Any, served: Any) -> None:
    study = served.library.ids()[0]
    case = served.ask("POST", f"/api/studies/{study}/case").json["case_id"]
    page.set_viewport_size({"width": 390, "height": 800})
    for path in (
        f"/case/{case}",
        f"/case/{case}/with/{served.library.ids()[1]}",
        f"/compare?a={study}&b={served.library.ids()[1]}",
        "/",
        "/cases",
        "/about",
        "/words",
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
