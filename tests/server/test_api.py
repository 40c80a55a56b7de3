"""Who may ask, what is answered, and that a busy server says so and recovers."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import re
import runpy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.server.conftest import Server, Stock, running

from lingula.errors import ServerError
from lingula.library import Library
from lingula.model.calibration import CUTS, Calibration
from lingula.reading.limits import Limits
from lingula.retrieval.region import patch_folder
from lingula.server import Settings
from lingula.server.answers import OwnThreshold
from lingula.server.serialise import threshold_costs
from lingula.server.service import _Line
from lingula.study import DISCLAIMER

ROOT = Path(__file__).resolve().parents[2]
TEXT = "FINDINGS: Small left pleural effusion."


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_every_answer_carries_the_disclaimer_and_forbids_what_it_can(served: Server) -> None:
    for path in ("/", "/api/health", "/api/about", "/api/nothing", "/nothing", "/api/studies/nobody"):
        answer = served.ask("GET", path)
        assert answer.headers["x-disclaimer"] == DISCLAIMER
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert DISCLAIMER in answer.body.decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Host": "evil.example"}, 403),
        ({"X_Lingula": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
    ],
)
def test_only_this_pages_own_requests_change_anything(served: Server, headers: dict[str, str], status: int) -> None:
    study = served.library.ids()[0]
    assert served.ask("POST", f"/api/studies/{study}/case", **headers).status == status


def test_a_stranger_name_is_refused_for_reading_too(served: Server) -> None:
    answer = served.ask("GET", "/api/health", Host="evil.example:80")
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_a_token_is_asked_for(stock: Stock) -> None:
    with running(stock.checkpoint, stock.library, stock.collection, Settings(token="secret")) as server:
        assert server.ask("GET", "/api/about").status == 401
        assert server.ask("GET", "/", Accept="text/html").headers["location"] == "/login"
        assert server.ask("GET", "/api/about", Authorization="Bearer secret").status == 200
        assert server.ask("GET", "/api/about", Authorization="Bearer other").status == 401
        assert server.post("/api/session", {"token": "other"}).status == 401
        cookie = server.post("/api/session", {"token": "secret"}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert server.ask("GET", "/api/about", Cookie=cookie.partition(";")[0]).status == 200


def test_a_case_from_film_and_text(served: Server) -> None:
    pixels = (np.arange(96 * 80, dtype=np.uint32).reshape(96, 80) * 65535 // (96 * 80)).astype(np.uint16)
    answer = served.bring(("chest of somebody.png", png(pixels)), text=TEXT)
    assert answer.status == 201
    body = answer.json
    assert (body["mode"], len(body["predictions"]), len(body["neighbours"])) == ("joint", 22, 10)
    assert "somebody" not in answer.body.decode()  # the names of files may be names of people
    (film,) = body["films"]
    assert (film["rows"], film["columns"]) == (96, 80)
    deep = picture(served.ask("GET", film["picture"] + "?depth=16").body).astype(int)
    np.testing.assert_array_equal(deep[..., 0] * 256 + deep[..., 1], pixels)  # to the last bit
    assert served.ask("GET", film["picture"].replace("films/0", "films/1")).status == 404
    evidence = served.ask("GET", f"/api/cases/{body['case_id']}/evidence/pleural_effusion/integrated_gradients").json
    assert "".join(run["text"] for run in evidence["runs"]) == body["report"]
    overlay = Image.open(io.BytesIO(served.ask("GET", evidence["maps"][0]["picture"]).body))
    assert overlay.size == (80, 96)
    assert served.ask("DELETE", f"/api/cases/{body['case_id']}").status == 204
    assert served.ask("GET", f"/api/cases/{body['case_id']}").json["code"] == "case_unknown"


def test_refusals_have_codes_and_no_values(served: Server) -> None:
    assert served.bring().json["code"] == "bad_request"
    assert served.bring(("x.dcm", b"")).json["code"] == "empty_file"
    assert served.bring(("x.xml", b"<!DOCTYPE a><a/>")).json["code"] == "xml_forbidden_dtd"
    assert served.ask("GET", "/api/studies/nobody").status == 404
    assert served.ask("PUT", "/api/health").json["code"] == "method_unknown"
    refused = served.ask("POST", "/api/session", b'{"token": 7, "secret word": 1}', Content_Type="application/json")
    assert refused.status == 422
    assert "secret word" not in refused.json["message"]


def test_a_body_that_is_too_large_is_not_read(stock: Stock) -> None:
    limits = replace(Limits(), request_bytes=100_000)
    with running(stock.checkpoint, stock.library, stock.collection, Settings(limits=limits)) as server:
        assert server.bring(("x.png", bytes(200_000))).status == 413
        assert server.bring(text=TEXT).status == 201


def test_nothing_of_a_study_is_logged(served: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lingula"):
        case = served.bring(text="FINDINGS: Mr Meier has an effusion.").json["case_id"]
        served.ask("GET", f"/api/cases/{case}")
        served.ask("GET", "/api/studies/Meier")
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "/api/cases/{case_id}" in said
    assert "Meier" not in said
    assert case not in said


def test_the_line_is_bounded_and_recovers() -> None:
    """One works, two wait, the fourth is told to come back; then everything is answered again."""
    gate = threading.Event()

    async def crowd() -> list[object]:
        line = _Line(1, 2)
        waiting = [asyncio.ensure_future(line.run(gate.wait)) for _ in range(4)]
        await asyncio.sleep(0.05)
        gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        answers.append(await line.run(lambda: "again"))
        line.close()
        return list(answers)

    *answers, again = asyncio.run(crowd())
    assert [answer for answer in answers if not isinstance(answer, Exception)] == [True] * 3
    (busy,) = (answer for answer in answers if isinstance(answer, Exception))
    assert isinstance(busy, ServerError)
    assert busy.code == "busy"
    assert again == "again"


def test_old_cases_make_room(stock: Stock) -> None:
    with running(stock.checkpoint, stock.library, stock.collection, Settings(cases=2)) as server:
        cases = [server.bring(text=f"FINDINGS: Effusion {number}.").json["case_id"] for number in range(3)]
        assert [server.ask("GET", f"/api/cases/{case}").status for case in cases] == [404, 200, 200]


@pytest.mark.parametrize("kind", ["dicom", "image", "xml"])
def test_bad_files_through_the_upload(served: Server, shared_data: Any, kind: str) -> None:
    """Files of the manifest get their codes over HTTP, too; none breaks the server. All of them: benchmarks/page.py."""
    reason_for = runpy.run_path(str(ROOT / "benchmarks" / "badinput.py"))["reason_for"]
    manifest = shared_data / "badinput" / "manifest.tsv"
    with manifest.open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["kind"] == kind]
    statuses, wrong = set(), {}
    for row in rows[::4]:
        path = manifest.parent / row["path"]
        answer = served.bring((path.name, path.read_bytes()))
        statuses.add(answer.status)
        got = answer.json.get("code", "") if answer.status != 201 else ""
        expected = row["code"] if row["expect"] == "reject" else ""
        if got != expected and not reason_for(row["path"], "reject" if got else "accept", got):
            wrong[row["path"]] = (row["code"], got)
    assert statuses <= {201, 413, 422}
    assert wrong == {}


def test_the_client_of_the_document_works(served: Server) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "server.md").read_text(), re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)
    client = known["Lingula"](served.address)
    found = client.search(like=served.library.ids()[0], k=3)
    assert [neighbour["rank"] for neighbour in found] == [1, 2, 3]
    assert client.search("no pneumothorax, no effusion")
    film = next(iter(sorted(served.collection.rglob("*.dcm")) or sorted(served.collection.rglob("*.png"))))
    assert len(client.case(film, TEXT)["predictions"]) == 22


def test_what_schemathesis_found_stays_mended(served: Server) -> None:
    assert served.post("/api/imports/folder", {"folder": "0" * 4000}).status == 404
    assert served.post("/api/search", {"words": [""], "age": [0, 0]}).status == 422
    assert served.ask("GET", "/search?word=&present=.left").status == 200


def test_what_an_own_threshold_costs_is_told_between_the_cuts() -> None:
    known = np.full((2, 2, len(CUTS)), np.nan)
    known[0, :, 4], known[0, :, 5] = (0.9, 0.1), (0.5, 0.7)  # at 0.1 and 0.15
    calibration = replace(Calibration.identity(2), threshold=np.array([0.125, 0.5]), operating=known)
    labels = threshold_costs(calibration, ("told", "unknown"), "image").labels
    assert labels["told"].own == OwnThreshold(sensitivity=0.7, specificity=0.4)
    assert labels["unknown"].own == OwnThreshold(sensitivity=None, specificity=None)


def test_a_box_on_a_case_is_searched_for(served: Server) -> None:
    """The first time the library is prepared, and the server may say so; then the film itself never answers."""
    asked = served.library.ids()[0]
    case = served.ask("POST", f"/api/studies/{asked}/case").json
    body = {"film": 0, "x": 20, "y": 30, "width": 40, "height": 40, "mirrored": True, "k": 3}
    for _ in range(20):
        answer = served.post(f"/api/cases/{case['case_id']}/region", body)
        if answer.status != 503:
            break
        assert answer.json["code"] == "busy"
    assert answer.status == 200
    assert answer.json["region"]["columns"] == case["films"][0]["columns"]
    neighbours = answer.json["neighbours"]
    assert [each["rank"] for each in neighbours] == [1, 2, 3]
    assert asked not in {each["study_id"] for each in neighbours}
    for each in neighbours:
        at = each["region"]
        assert at["x"] + at["width"] <= at["columns"]
        assert at["y"] + at["height"] <= at["rows"]
        assert served.ask("GET", each["picture"]).status == 200
    outside = served.post(f"/api/cases/{case['case_id']}/region", {**body, "x": 90_000})
    assert (outside.status, outside.json["code"]) == (422, "bad_request")


@contextmanager
def _own_library(stock: Stock, folder: Path) -> Iterator[tuple[Library, Server]]:
    """A copy of the stock's library that the test may change, served."""
    place = folder / "library.sqlite"
    stock.library.backup(place)
    with Library.open(place) as library, running(stock.checkpoint, library, stock.collection, Settings()) as server:
        yield library, server


def test_a_library_is_prepared_for_boxes_from_the_first_case_on(stock: Stock, tmp_path: Path) -> None:
    with _own_library(stock, tmp_path) as (library, server):
        assert not patch_folder(library).exists()
        server.ask("POST", f"/api/studies/{library.ids()[0]}/case")
        until = time.monotonic() + 90
        while len(list(patch_folder(library).glob("*.safetensors"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(list(patch_folder(library).glob("*.safetensors"))) == 2  # the basis, and the films


def test_a_study_is_deleted_and_forgotten_in_every_answer(stock: Stock, tmp_path: Path) -> None:
    with _own_library(stock, tmp_path) as (library, server):
        gone, other = library.ids()[:2]
        case = server.ask("POST", f"/api/studies/{other}/case").json
        assert gone in {
            each["study_id"] for each in server.post("/api/search", {"like": other, "k": 50}).json["neighbours"]
        }
        assert server.post("/api/library/deletions", {"studies": [gone], "sender": "x"}).json["code"] == "bad_request"
        assert server.post("/api/library/deletions", {"sender": "nobody"}).json["code"] == "study_unknown"
        answer = server.post("/api/library/deletions", {"studies": [gone]})
        assert answer.status == 201
        assert answer.json["studies"] == answer.json["rows"]["study"] == 1
        assert gone not in answer.body.decode()
        assert str(tmp_path) not in answer.body.decode()
        assert server.ask("GET", f"/api/studies/{gone}").status == 404
        assert gone not in server.post("/api/search", {"like": other, "k": 50}).body.decode()
        assert gone not in server.ask("GET", f"/case/{case['case_id']}").body.decode()
        assert server.post("/api/library/deletions", {"studies": [gone]}).json["code"] == "study_unknown"
