"""Cards, verdicts and spacing, on a real library; jobs over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Server, Stock, running

from lingula.errors import InputError, LibraryError, ServerError
from lingula.ingest import batches, openi
from lingula.library import Library
from lingula.server import Settings
from lingula.teaching.practice import Practice, PracticeByStudent
from lingula.teaching.repetition import AGAIN


@pytest.fixture
def library(stock: Stock, tmp_path: Path) -> Iterator[Library]:
    """A copy: what is answered here is not due elsewhere."""
    stock.library.backup(tmp_path / "copy.sqlite")
    with Library.open(tmp_path / "copy.sqlite") as copy:
        yield copy


def test_right_and_wrong_answers_by_hand(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1e9]
    monkeypatch.setattr("time.time", lambda: clock[0])
    practice = Practice(library, "normal", student="by hand", seed=0)
    card = practice.next()
    coded = set(library.get(card.study_id).labels or ())
    assert card.answer == coded & set(card.choices)
    assert list(card.choices) == sorted(card.choices)
    with pytest.raises(InputError):
        practice.answer(card.card_id, ["no such label"])
    verdict = practice.answer(card.card_id, sorted(card.answer), confidence=80)
    assert verdict.is_right
    first = verdict.due - clock[0]
    assert 86_400 <= first <= 4 * 86_400  # FSRS: a good first answer holds some days
    with pytest.raises(ServerError):
        practice.answer(card.card_id, [])  # once
    assert (practice.due(), practice.due(verdict.due)) == (0, 1)
    clock[0] = verdict.due
    again = Practice(library, "normal", student="by hand", seed=1)
    second = again.next()
    assert second.study_id == card.study_id  # what is due comes first
    later = again.answer(second.card_id, sorted(second.answer), confidence=80).due
    assert later - clock[0] > 2 * first
    assert practice.export().splitlines()[1] == f"{card.study_id},2,2,{round(later)}"


def test_what_was_missed_comes_back_after_others(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1e9]
    monkeypatch.setattr("time.time", lambda: clock[0])
    practice = Practice(library, "normal", student="by hand", seed=0)
    card = practice.next(difficulty="hard")
    wrong = next(iter(set(card.choices) - card.answer))
    verdict = practice.answer(card.card_id, [wrong])
    assert (verdict.is_right, verdict.wrong, set(verdict.missed)) == (False, (wrong,), set(card.answer))
    assert practice.findings[wrong].right == 0
    assert practice.hardest() == [card.study_id]
    assert practice.next().study_id != card.study_id
    clock[0] += AGAIN.total_seconds() + 1
    assert practice.next().study_id == card.study_id


def test_own_calibration_stands_beside_the_models(library: Library) -> None:
    """First answers alone, the model's claims on the findings that could be ticked; each student for himself."""
    said = {label: 0.97 for each in library.summaries(library.ids()).values() for label in each.labels or ()}
    practices = PracticeByStudent(library, "normal", model=lambda study_id: said)
    ann, bo = practices.of("ann"), practices.of("bo")
    shown = []
    for confidence, right in ((97, True), (97, False), (70, True)):
        card = ann.next()
        shown += [code in card.answer for code in card.choices]
        wrong = sorted(set(card.choices) - card.answer)[:1]
        ann.answer(card.card_id, sorted(card.answer) if right else wrong, confidence)
    unsure, certain = ann.calibration.student
    assert [(each.low, each.claims, each.right) for each in (unsure, certain)] == [(60, 1, 1.0), (95, 2, 0.5)]
    (model,) = ann.calibration.model
    assert (model.low, model.claims, model.right) == (95, len(shown), round(sum(shown) / len(shown), 4))
    assert (bo.calibration.student, bo.findings, bo.due(float("inf"))) == ((), {}, 0)
    open_card = ann.next()
    with pytest.raises(ServerError):
        bo.answer(open_card.card_id, [])
    practices.forget([open_card.study_id])
    with pytest.raises(ServerError):
        ann.card(open_card.card_id)


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


def test_an_import_is_stopped_and_keeps_what_it_stored(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real import, held after its first batch until it was told to stop; one that waits behind it never starts."""
    stored, told = threading.Event(), threading.Event()

    def held(*given: Any, progress: Any) -> Any:
        def step(done: int, total: int) -> None:
            if done:
                stored.set()
                assert told.wait(60)
            progress(done, total)

        return openi.import_openi(*given, progress=step)

    monkeypatch.setattr("lingula.server.jobs.import_openi", held)
    monkeypatch.setattr(batches, "BATCH", 4)
    with (
        batches.create_library(stock.checkpoint, tmp_path / "library.sqlite") as library,
        running(stock.checkpoint, library, stock.collection, Settings()) as server,
    ):
        first, waiting = (
            server.post("/api/imports/folder", {"folder": str(stock.collection)}).json["job_id"] for _ in range(2)
        )
        assert stored.wait(120)
        for job_id in (waiting, first):
            assert server.ask("DELETE", f"/api/jobs/{job_id}").status == 200
        assert server.ask("GET", f"/api/jobs/{first}").json["state"] == "running"
        told.set()
        ended = [follow(server, server.ask("GET", f"/api/jobs/{job_id}").json) for job_id in (first, waiting)]
        assert [job["state"] for job in ended] == ["cancelled", "cancelled"]
        assert (ended[0]["done"], ended[1]["done"], ended[0]["error"]) == (len(library), 0, None)
        assert 0 < len(library) < 12
        assert library.verify() == ()
        monkeypatch.undo()
        again = server.post("/api/imports/folder", {"folder": str(stock.collection)}).json
        assert follow(server, again)["added"] + ended[0]["done"] == 12
