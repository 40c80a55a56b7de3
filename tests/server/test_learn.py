"""A teacher makes a set and a class answers it, over HTTP and in a real browser; nothing tells an answer beforehand."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydicom import dcmread
from tests.mark_files import state
from tests.server.conftest import Server, Stock, running

import answer_bytes
from lingula.library import Library
from lingula.server import Settings

TOKEN = "teachers-token"


@pytest.fixture
def classroom(stock: Stock, tmp_path: Path) -> Iterator[Server]:
    """A server that wants a token, on a copy of the library."""
    stock.library.backup(tmp_path / "copy.sqlite")
    with (
        Library.open(tmp_path / "copy.sqlite") as library,
        running(stock.checkpoint, library, stock.collection, Settings(token=TOKEN)) as server,
    ):
        yield server


def teacher(server: Server, method: str, path: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    answer = server.ask(method, path, data, Authorization=f"Bearer {TOKEN}", Content_Type="application/json")
    assert answer.status < 300, answer.body
    return answer.json if answer.body else None


def made_set(server: Server, count: int = 5) -> dict[str, Any]:
    with_film = [s for s, known in server.library.summaries(server.library.ids()).items() if known.images]
    body: dict[str, Any] = teacher(server, "POST", "/api/sets", {"title": "Films", "study_ids": with_film[:count]})
    for case in body["cases"]:
        case["drawings"] = [{"shape": "box", "film": 0, "points": [[0.2, 0.2], [0.6, 0.6]], "text": ""}]
        case["key_point"] = f"Of {case['study_id']}."
    saved: dict[str, Any] = teacher(server, "PUT", f"/api/sets/{body['set_id']}", body)
    return saved


def joined(server: Server, path: str, name: str) -> str:
    """The cookie of a student who joined a class."""
    answer = server.ask("POST", f"{path}/join", json.dumps({"name": name}).encode(), Content_Type="application/json")
    assert answer.status == 204, answer.body
    kept = answer.headers["set-cookie"]
    assert f"Path={path}" in kept
    assert "HttpOnly" in kept
    return kept.partition(";")[0]


@pytest.mark.parametrize("task", ["quiz", "pairs", "marking", "writing"])
def test_no_byte_before_an_answer_tells_it(classroom: Server, task: str) -> None:
    """Everything a student's browser gets up to the commit: page, question, films and headers; refusals, too."""
    set_ = made_set(classroom)
    path = teacher(classroom, "POST", f"/api/sets/{set_['set_id']}/links", {"task": task})["address"]
    words, chosen = answer_bytes.answer_words(classroom.library, set_["cases"]), []
    for student in ("Ann", "Bo", "Cy"):
        client = answer_bytes.Client(classroom.address)
        chosen.append(answer_bytes.before_answer(client, path, student))
        assert len(client.sent) >= 18
        assert answer_bytes.leaks(words, client.sent, chosen[-1]) == []
        assert not any(b'"etag"' in sent for sent in client.sent[6:-6])
    if task == "quiz":
        assert chosen[0] == chosen[1] == chosen[2]


def test_a_leak_would_be_found(classroom: Server) -> None:
    """The teacher's own view of the set, which names its studies, is full of them."""
    set_ = made_set(classroom)
    body = classroom.ask("GET", f"/api/sets/{set_['set_id']}", Authorization=f"Bearer {TOKEN}").body
    words = answer_bytes.answer_words(classroom.library, set_["cases"])
    assert set(answer_bytes.leaks(words, [body], {})) >= {case["study_id"] for case in set_["cases"]}


def test_a_class_link_opens_nothing_else(classroom: Server) -> None:
    set_ = made_set(classroom)
    base = f"/api/sets/{set_['set_id']}"
    path = teacher(classroom, "POST", f"{base}/links", {"task": "quiz", "days": 1})["address"]
    cookie, token = joined(classroom, path, "Bo"), path.rpartition("/")[2]
    for other in (
        "/api/sets",
        base,
        f"{base}/results",
        "/api/about",
        "/api/search?q=effusion",
        "/learn",
        "/api/practice",
    ):
        assert classroom.ask("GET", other, Cookie=cookie).status == 401
        assert classroom.ask("GET", other, Authorization=f"Bearer {token}").status == 401
    study = set_["cases"][0]["study_id"]
    assert (
        classroom.ask("GET", f"/api/studies/{study}/films/0", Cookie=f"{cookie}; lingula_token={token}").status == 401
    )
    assert classroom.ask("GET", f"{path}/next").json["code"] == "forbidden"  # without a name
    forged = cookie[:-4] + "0000"
    assert classroom.ask("GET", f"{path}/next", Cookie=forged).json["code"] == "forbidden"
    assert classroom.ask("GET", "/class/no-such-link").json["code"] == "link_unknown"
    second = teacher(classroom, "POST", f"{base}/links", {"task": "quiz"})["address"]
    assert classroom.ask("GET", f"{second}/next", Cookie=cookie).json["code"] == "forbidden"  # a name in one class only
    key = classroom.ask("GET", f"{path}/next", Cookie=cookie).json["question"]["question_id"]
    body = json.dumps({"chosen": [], "confidence": 80}).encode()
    reveal = classroom.ask("POST", f"{path}/{key}", body, Cookie=cookie, Content_Type="application/json").json
    assert (reveal["study_id"], bool(reveal["labels"])) == ("", True)
    again = classroom.ask("POST", f"{path}/{key}", body, Cookie=cookie, Content_Type="application/json")
    assert again.json["code"] == "bad_request"  # once
    taken = classroom.ask("POST", f"{path}/join", json.dumps({"name": "Bo"}).encode(), Content_Type="application/json")
    assert taken.json["code"] == "bad_request"
    results = teacher(classroom, "GET", f"{base}/results")
    assert [(each["student"], each["answered"]) for each in results["students"]] == [("Bo", 1)]
    teacher(classroom, "DELETE", f"{base}/links")
    assert classroom.ask("GET", f"{path}/next", Cookie=cookie).json["code"] == "link_unknown"


def test_marks_that_come_with_a_film_go_into_a_set(classroom: Server, tmp_path: Path) -> None:
    """A film that the library lacks and a presentation state that points at it, brought in, then added to a set."""
    pytest.importorskip("highdicom", reason="needs the extra pacs")
    from tests.node_films import write_film

    film = write_film(tmp_path / "film.dcm", number=77)
    uid = str(dcmread(film, stop_before_pixels=True).SOPInstanceUID)
    marks = state(tmp_path / "state.dcm", uid, ("POINT", [40, 24]))
    set_ = made_set(classroom, 1)
    files = ("film.dcm", film.read_bytes()), ("m.dcm", marks.read_bytes())
    case = classroom.bring(*files, Authorization=f"Bearer {TOKEN}").json
    added = teacher(classroom, "POST", f"/api/sets/{set_['set_id']}/cases", {"case_id": case["case_id"]})["cases"][-1]
    assert [(each["shape"], each["points"]) for each in added["drawings"]] == [("point", [[0.5, 0.25]])]
    alone = classroom.bring(files[1], Authorization=f"Bearer {TOKEN}")
    assert (alone.status, alone.json["code"]) == (422, "not_an_image")


def test_a_set_goes_out_and_comes_back(classroom: Server) -> None:
    set_ = made_set(classroom, 2)
    base = f"/api/sets/{set_['set_id']}"
    stale = classroom.ask(
        "PUT", base, json.dumps({**set_, "version": 1}).encode(), Authorization=f"Bearer {TOKEN}",
        Content_Type="application/json",
    )  # fmt: skip
    assert (stale.status, stale.json["code"]) == (409, "set_changed")
    exported = teacher(classroom, "GET", f"{base}/export")
    again = teacher(classroom, "POST", "/api/sets/import", exported)
    assert again["cases"] == set_["cases"]
    pdf = classroom.ask("GET", f"{base}/slides.pdf", Authorization=f"Bearer {TOKEN}")
    assert pdf.body.startswith(b"%PDF")
    slide = classroom.ask("GET", f"{base}/slides/4", Authorization=f"Bearer {TOKEN}")
    with Image.open(io.BytesIO(slide.body)) as picture:
        assert picture.size == (1600, 900)
    assert classroom.ask("GET", f"{base}/slides/5", Authorization=f"Bearer {TOKEN}").json["code"] == "not_found"
    pytest.importorskip("genanki", reason="needs the extra anki")
    package = classroom.ask("GET", f"{base}/anki", Authorization=f"Bearer {TOKEN}")
    assert "collection.anki2" in zipfile.ZipFile(io.BytesIO(package.body)).namelist()
    case = classroom.ask("POST", f"/api/studies/{set_['cases'][0]['study_id']}/case", Authorization=f"Bearer {TOKEN}")
    added = teacher(classroom, "POST", f"{base}/cases", {"case_id": case.json["case_id"]})
    assert len(added["cases"]) == 2  # the library holds it already, and so does the set
    teacher(classroom, "DELETE", base)
    assert [each["set_id"] for each in teacher(classroom, "GET", "/api/sets")["sets"]] == [again["set_id"]]


def pinch(page: Any) -> None:
    """Two fingers on the first film, drawn apart."""
    box = page.locator(".stage-room").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, min(box["y"] + box["height"] / 2, 700)
    client = page.context.new_cdp_session(page)
    for kind, gap in (("touchStart", 30), ("touchMove", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        ends = [] if gap is None else [-gap, gap]
        points = [{"x": x + end, "y": y, "id": number} for number, end in enumerate(ends)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_teacher_makes_a_quiz_from_a_search_and_a_class_answers_it(page: Any, chromium: Any, served: Server) -> None:
    """In a browser: a set from a question, a box drawn, a link; a student at a phone; results."""
    page.goto("/learn")
    page.wait_for_selector("html[data-started]")
    page.fill('[name="title"]', "From a search")
    page.fill('[name="query"]', "heart")
    page.fill('[name="count"]', "3")
    page.click("text=Make the set")
    page.wait_for_url("**/learn/sets/set-*")
    page.wait_for_selector("html[data-started]")
    studies = page.locator("[data-case]").count()
    first = page.locator("[data-case]").first
    small = first.locator(".stage-film").first.get_attribute("src")
    first.locator('[data-draw="box"]').click()
    whole = first.locator(".stage-film").first.get_attribute("src")
    assert (small.startswith("/thumbnails/"), whole.startswith("/api/studies/")) == (True, True)  # whole to draw on
    first.locator(".stage-room").first.focus()
    page.keyboard.press("Enter")  # a box by keys
    page.keyboard.press("ArrowRight")
    first.locator('[data-field="key_point"]').fill("Mind the angles.")
    page.click("[data-set-form] button[type=submit]")
    page.locator("[data-saved]", has_text="Saved.").wait_for()
    stored = served.ask("GET", f"/api/sets/{page.url.rpartition('/')[2]}").json["cases"][0]
    assert stored["drawings"][0]["points"] == [[0.41, 0.4], [0.61, 0.6]]
    page.click("text=Make a link")
    page.wait_for_selector("[data-link-made] a")
    address = page.locator("[data-link-made] a").get_attribute("href")
    phone = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    student = phone.new_page()
    student.goto(address)
    student.wait_for_selector("html[data-started]")
    assert student.locator("nav").count() == 0
    student.fill('[name="name"]', "Bo")
    student.click("text=Start")
    student.wait_for_function("() => document.querySelector('.stage-film')?.naturalWidth > 0")
    asked, shown = (student.locator(each).first.bounding_box()["y"] for each in ("[data-question]", ".stage-film"))
    assert asked < shown
    pinch(student)
    assert student.evaluate("[document.querySelector('.stage-inner').style.getPropertyValue('--zoom') > 1.5,"
                            " visualViewport.scale]") == [True, 1]  # fmt: skip
    for _ in range(studies):
        student.wait_for_selector("[data-answer]:not([hidden]) >> text=Commit")
        assert student.evaluate("document.documentElement.scrollWidth") <= 390
        student.locator('[name="confidence"]').nth(1).check()
        student.click("text=Commit")
        student.wait_for_selector("[data-reveal]:not([hidden])")
        assert student.locator("[data-reveal] h2").inner_text() in ("Right", "Not quite")
        student.click("[data-reveal] >> text=Next")
    phone.close()
    page.goto(page.url.partition("?")[0] + "/results")
    page.wait_for_selector("text=By person")
    assert re.search(rf"Bo\s+\d of {studies}\s+70 %", page.locator("tr", has_text="Bo").first.inner_text())


def test_marking_and_writing_in_a_browser(page: Any, served: Server) -> None:
    summaries = served.library.summaries(served.library.ids())
    ids = [s for s, known in summaries.items() if known.images and known.report][:1]
    set_ = served.post("/api/sets", {"title": "One", "study_ids": ids}).json
    set_["cases"][0]["drawings"] = [{"shape": "box", "film": 0, "points": [[0.3, 0.3], [0.7, 0.7]]}]
    assert served.ask("PUT", f"/api/sets/{set_['set_id']}", json.dumps(set_).encode(),
                      Content_Type="application/json").status == 200  # fmt: skip
    page.goto(f"/learn/sets/{set_['set_id']}/marking?student=Cy")
    page.wait_for_selector("[data-room]:not([hidden])")
    page.wait_for_function("() => document.querySelector('.stage-film')?.complete")
    box = page.locator(".stage-marks").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()
    page.locator('[name="confidence"]').last.check()
    page.click("text=Commit")
    page.locator("[data-reveal]", has_text="Hit: overlap").wait_for()
    overlap = int(re.findall(r"overlap (\d+) %", page.inner_text("[data-reveal]"))[0])
    assert overlap > 95
    page.goto(f"/learn/sets/{set_['set_id']}/writing?student=Cy")
    page.fill("textarea", "Large right pneumothorax.")
    page.locator('[name="confidence"]').last.check()
    page.click("text=Commit")
    page.wait_for_selector(".writing-marks li")
    assert "Large right pneumothorax." in page.inner_text(".writing-marks")


def test_a_set_of_one_thing_against_another_takes_them_in_turn(served: Any) -> None:
    def answering(text: str) -> set[str]:
        told = served.post("/api/search", {"text": text, "k": 20}).json
        return {each["study_id"] for each in told["neighbours"]}

    sides = [answering("effusion"), answering("no effusion")]
    made = served.post("/api/sets", {"title": "Either", "query": "effusion against no effusion", "count": 4})
    ids = [case["study_id"] for case in made.json["cases"]]
    few = min(map(len, sides))
    assert len(ids) == 4
    assert len(set(ids)) == 4
    for turn in range(min(2, few)):
        assert ids[2 * turn] in sides[0] - sides[1]
        assert ids[2 * turn + 1] in sides[1] - sides[0]
