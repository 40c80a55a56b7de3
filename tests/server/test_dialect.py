"""One dialect of JSON: what a command prints is what the route answers, and what the API's description says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.server.conftest import Server, Stock
from typer.testing import CliRunner

from lingula.cli.main import app

TEXT = "FINDINGS: The heart is enlarged. Small left pleural effusion. IMPRESSION: Cardiomegaly."
ADDRESSES = ("case_id", "picture", "location")


@pytest.fixture(scope="module")
def described(served: Server) -> Any:
    return served.ask("GET", "/api/openapi.json").json


@pytest.fixture(scope="module")
def film(served: Server) -> Path:
    return min((served.collection / "NLMCXR_dcm").rglob("*.dcm"))


def printed(stock: Stock, *words: str, at: bool = True) -> Any:
    """What a command prints with the model, and by default the library, of the server."""
    library = ("--library", stock.library.place) if at else ()
    told = CliRunner().invoke(app, [*words, "--model", str(stock.collection.parent / "tiny"), *library, "--json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def compared(body: Any) -> Any:
    """Without what a place has of its own: addresses, seconds, and names made with the library's secret."""
    if isinstance(body, list):
        return [compared(each) for each in body]
    if not isinstance(body, dict):
        return body
    left_out = (*ADDRESSES, "seconds", "study_id", "image_id", "maps" if "remainder" in body else "")
    return {name: compared(each) for name, each in body.items() if name not in left_out}


def valid(described: Any, path: str, method: str, body: Any) -> None:
    """Refuse a body that the description of a route does not allow, and keys it does not name."""
    answers = described["paths"][path][method]["responses"]
    schema = next(answers[status] for status in ("200", "201", "202") if status in answers)
    reference = schema["content"]["application/json"]["schema"]
    closed = {
        name: {"additionalProperties": False, **each} if each.get("properties") else each
        for name, each in described["components"]["schemas"].items()
    }
    jsonschema.validate(body, {**reference, "components": {"schemas": closed}})


def test_analysis_and_evidence(served: Server, stock: Stock, film: Path, described: Any) -> None:
    asked = ("--text", TEXT, "--label", "pleural_effusion", "--method", "contribution")
    told = printed(stock, "analyze", str(film), *asked)
    case = served.bring((film.name, film.read_bytes()), text=TEXT).json
    evidence = served.ask("GET", f"/api/cases/{case['case_id']}/evidence/pleural_effusion/contribution").json
    valid(described, "/api/cases", "post", case)
    valid(described, "/api/cases/{case_id}/evidence/{label}/{method}", "get", evidence)
    valid(described, "/api/cases", "post", {**told, "explanations": []})
    assert {name for name in told if told[name] is None} >= {"case_id"}
    assert compared(told) == compared({**case, "explanations": [evidence]})
    alone = printed(stock, "predict", str(film), "--text", TEXT, at=False)
    of_library = ("film_in_library", "training_film", "nothing_alike")
    warnings = [warning for warning in case["warnings"] if warning["code"] not in of_library]
    assert compared(alone) == compared({**case, "neighbours": [], "library": "", "warnings": warnings})
    explained = printed(stock, "explain", str(film), *asked, at=False)
    assert compared(explained["explanations"]) == compared([evidence])


def test_search_in_words_and_by_a_box(served: Server, stock: Stock, film: Path, described: Any) -> None:
    words = served.post("/api/search", {"text": "effusion, no cardiomegaly", "k": 5}).json
    valid(described, "/api/search", "post", words)
    told = printed(stock, "search", "effusion, no cardiomegaly")
    valid(described, "/api/search", "post", told)
    assert compared(told) == compared(words)
    case = served.bring((film.name, film.read_bytes())).json
    box = {"film": 0, "x": 20, "y": 30, "width": 60, "height": 60, "k": 5}
    for _ in range(20):
        answer = served.post(f"/api/cases/{case['case_id']}/region", box)
        if answer.status != 503:
            break
    valid(described, "/api/cases/{case_id}/region", "post", answer.json)
    assert compared(printed(stock, "search", str(film), "--region", "20,30,60,60")) == compared(answer.json)


def test_why(served: Server, stock: Stock, film: Path, described: Any) -> None:
    case = served.bring((film.name, film.read_bytes()), text=TEXT).json
    other = case["neighbours"][0]["study_id"]
    answer = served.ask("GET", f"/api/cases/{case['case_id']}/why/{other}").json
    valid(described, "/api/cases/{case_id}/why/{study_id}", "get", answer)
    told = printed(stock, "why", str(film), other, "--text", TEXT)
    valid(described, "/api/cases/{case_id}/why/{study_id}", "get", told)
    assert told["shares"]
    assert compared(told) == compared(answer)


def test_what_a_library_holds_and_refused(served: Server, stock: Stock, described: Any) -> None:
    status = served.ask("GET", "/api/library").json
    told = CliRunner().invoke(app, ["library", "status", "--library", stock.library.place, "--json"])
    valid(described, "/api/library", "get", status)
    valid(described, "/api/library", "get", json.loads(told.stdout))
    assert compared(json.loads(told.stdout)) == compared(status)
    assert status["location"] is None
    valid(described, "/api/library/refusals", "get", served.ask("GET", "/api/library/refusals").json)
    study = served.library.ids()[0]
    for path, kind in (
        (f"/api/studies/{study}", "/api/studies/{study_id}"),
        ("/api/library/map", "/api/library/map"),
        ("/api/operating/joint", "/api/operating/{mode}"),
        ("/api/about", "/api/about"),
        ("/api/health", "/api/health"),
    ):
        valid(described, kind, "get", served.ask("GET", path).json)


def test_practice_is_what_its_description_says(served: Server, described: Any) -> None:
    card = served.post("/api/practice", {}).json
    valid(described, "/api/practice", "post", card)
    valid(described, "/api/practice/progress", "get", served.ask("GET", "/api/practice/progress").json)


def test_an_import_and_an_error(served: Server, film: Path, tmp_path: Path, stock: Stock, described: Any) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "bad.dcm").write_bytes(b"not a film")
    (tmp_path / "new" / "film.dcm").write_bytes(film.read_bytes())
    job = served.post("/api/imports/folder", {"folder": str(tmp_path / "new")}).json
    while served.ask("GET", f"/api/jobs/{job['job_id']}").json["state"] in ("waiting", "running"):
        pass
    done = served.ask("GET", f"/api/jobs/{job['job_id']}").json
    valid(described, "/api/jobs/{job_id}", "get", done)
    told = CliRunner().invoke(
        app,
        [
            *("import", "files", str(tmp_path / "new"), "--model", str(stock.collection.parent / "tiny")),
            *("--library", str(tmp_path / "own.sqlite"), "--json"),
        ],
    )
    mine = json.loads(told.stdout)
    assert set(mine) == set(done) - {"job_id", "state", "stage", "done", "total", "error"}
    assert [each["code"] for each in mine["refused"]] == [each["code"] for each in done["refused"]] == ["not_dicom"]
    assert {frozenset(each) for each in (*mine["refused"], *done["refused"])} == {
        frozenset(("name", "code", "message"))
    }
    refused = served.ask("GET", "/api/studies/nobody")
    jsonschema.validate(
        refused.json, {"$ref": "#/components/schemas/ErrorAnswer", "components": described["components"]}
    )
