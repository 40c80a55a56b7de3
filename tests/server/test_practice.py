"""Cards, verdicts and spacing, on a real library; jobs over HTTP."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Server, Stock, running

from lingula.errors import InputError, LibraryError, ServerError
from lingula.server import Settings
from lingula.server.practice import WAITS, Practice


def test_right_and_wrong_answers_by_hand(stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("lingula.server.practice.time.time", lambda: clock[0])
    kept = tmp_path / "progress.json"
    practice = Practice(stock.library, "normal", kept, seed=0)
    card = practice.next()
    coded = set(stock.library.get(card.study_id).labels or ())
    assert card.answer == coded & set(card.choices)
    assert list(card.choices) == sorted(card.choices)
    with pytest.raises(InputError):
        practice.answer(card.card_id, ["no such label"])
    assert practice.answer(card.card_id, sorted(card.answer)).is_right
    with pytest.raises(ServerError):
        practice.answer(card.card_id, [])  # once
    seen = json.loads(kept.read_text())["studies"][card.study_id]
    assert seen == {"box": 1, "due": clock[0] + WAITS[1], "seen": 1, "right": 1}
    assert practice.due() == 0
    clock[0] += WAITS[1]
    again = Practice(stock.library, "normal", kept, seed=1).next()  # what is due comes first
    assert again.study_id == card.study_id


def test_a_wrong_answer_comes_back_at_once(stock: Stock) -> None:
    practice = Practice(stock.library, "normal", seed=0)
    card = practice.next(difficulty="hard")
    wrong = next(iter(set(card.choices) - card.answer))
    verdict = practice.answer(card.card_id, [wrong])
    assert (verdict.is_right, verdict.wrong, set(verdict.missed)) == (False, (wrong,), set(card.answer))
    assert practice.findings[wrong].right == 0
    assert practice.next().study_id == card.study_id


def test_asking_for_a_finding_gives_nothing_away(stock: Stock) -> None:
    practice = Practice(stock.library, "normal", seed=0)
    finding = next(label for study in stock.library.ids() for label in stock.library.get(study).labels or ()
                   if label != "normal")  # fmt: skip
    cards = [practice.next(finding) for _ in range(60)]
    assert all(finding in card.choices for card in cards)
    assert 15 < sum(finding in card.answer for card in cards) < 45
    with pytest.raises(LibraryError):
        practice.next("tuberculosis_of_the_moon")


def follow(server: Server, job: Any, until: float = 60) -> Any:
    end = time.monotonic() + until
    while job["state"] in ("waiting", "running") and time.monotonic() < end:
        time.sleep(0.05)
        job = server.ask("GET", f"/api/jobs/{job['job_id']}").json
    return job


def test_a_folder_is_imported_and_followed(stock: Stock, served: Server, tmp_path: Path) -> None:
    job = served.post("/api/imports/folder", {"folder": str(stock.collection)}).json
    ended = follow(served, job)
    assert (ended["state"], ended["added"], ended["present"]) == ("done", 0, 12)
    told = served.ask("GET", f"/api/jobs/{job['job_id']}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    assert json.loads(told.body.decode().removeprefix("data: "))["state"] == "done"
    assert served.post("/api/imports/folder", {"folder": str(tmp_path / "none")}).json["code"] == "not_found"
    assert served.ask("GET", "/api/jobs/none").json["code"] == "job_unknown"
    with running(stock.checkpoint, stock.library, stock.collection, Settings(folder_imports=False)) as server:
        assert server.post("/api/imports/folder", {"folder": str(stock.collection)}).status == 403
