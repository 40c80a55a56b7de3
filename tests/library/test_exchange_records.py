"""Inbox and outbox: leases that no two workers share, objects that are delivered once, pauses that grow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lingula.library import Library
from lingula.library.exchange_records import LONGEST_PAUSE, SILENT_PAUSE, ExchangeRecords, ReceivedFilm, pause

FILM = ReceivedFilm("f0", "CT_1", "a" * 64, "study-0", 100.0)


def films(count: int) -> list[ReceivedFilm]:
    return [
        replace(FILM, film=f"f{n}", digest=f"{n:064x}", study=f"study-{n // 2}", received=100.0 + n)
        for n in range(count)
    ]


def records(library: Library) -> ExchangeRecords:
    return library.exchange


def test_a_study_is_claimed_when_it_is_quiet_and_by_one_worker(library: Library) -> None:
    exchange = records(library)
    exchange.note("node", films(4))
    assert exchange.claim_study("node", "w1", now=104.0, lease=60, quiet=5) is None
    first = exchange.claim_study("node", "w1", now=106.5, lease=60, quiet=5)
    assert first is not None
    assert [film.film for film in first.films] == ["f0", "f1"]
    assert exchange.claim_study("node", "w2", now=106.5, lease=60, quiet=5) is None  # the other study is not quiet yet
    second = exchange.claim_study("node", "w2", now=110.0, lease=60, quiet=5)
    assert second is not None
    assert second.study == "study-1"
    assert exchange.claim_study("other node", "w3", now=1e6, lease=60, quiet=5) is None
    again = exchange.claim_study("node", "w3", now=200.0, lease=60, quiet=5)  # the first worker's lease ran out
    assert again is not None
    assert again.study == "study-0"
    assert not exchange.answer_study(first, [], [("1.2", "sr")], ["a"], node="node", now=201.0)
    assert exchange.answer_study(again, [], [("1.2", "sr")], ["a"], node="node", now=201.0)
    assert exchange.counts() == {"inbox": {"answered": 2, "waiting": 2}, "outbox": {"waiting": 1}}


def test_many_workers_share_the_studies_without_one_twice(library: Library) -> None:
    exchange = records(library)
    exchange.note("node", films(40))

    def work(number: int) -> list[str]:
        done = []
        while held := exchange.claim_study("node", f"w{number}", now=1000.0 + number / 100, lease=60, quiet=5):
            assert exchange.answer_study(held, [], [(f"1.2.{held.study}", "sr")], ["a"], node="node", now=1001.0)
            done.append(held.study)
        return done

    with ThreadPoolExecutor(4) as workers:
        done = [study for part in workers.map(work, range(4)) for study in part]
    assert sorted(done) == sorted(f"study-{n}" for n in range(20))
    assert exchange.counts()["outbox"] == {"waiting": 20}


def test_the_same_objects_are_delivered_once(library: Library) -> None:
    exchange = records(library)
    exchange.note("node", films(2))
    for _ in range(2):
        held = exchange.claim_study("node", "w", now=200.0, lease=60, quiet=5)
        assert held is not None
        assert exchange.answer_study(held, [("f1", "truncated")], [("1.2", "sr"), ("1.3", "sc")], ["a", "b"],
                                     node="node", now=200.0)  # fmt: skip
        assert exchange.retry("study-0")  # the refused film is read again
    assert exchange.counts()["outbox"] == {"waiting": 4}
    delivery = exchange.claim_delivery("node", "a", "w", now=201.0, lease=60)
    assert delivery is not None
    assert set(delivery.instances) == {("1.2", "sr"), ("1.3", "sc")}
    assert exchange.claim_delivery("node", "a", "w2", now=202.0, lease=60) is None
    exchange.settle_delivery(delivery, ["1.2"], "peer_refused", now=203.0)
    assert exchange.claim_delivery("node", "a", "w", now=203.5, lease=60) is None  # paused
    later = exchange.claim_delivery("node", "a", "w", now=203.0 + pause(1), lease=60)
    assert later is not None
    assert later.instances == (("1.3", "sc"),)
    assert later.attempts == 2
    assert exchange.settled_studies("node") == frozenset()


def test_a_study_is_settled_when_all_is_stored(library: Library) -> None:
    exchange = records(library)
    exchange.note("node", films(1))
    held = exchange.claim_study("node", "w", now=200.0, lease=60, quiet=5)
    assert held is not None
    exchange.answer_study(held, [], [("1.2", "sr")], ["a"], node="node", now=200.0)
    delivery = exchange.claim_delivery("node", "a", "w", now=201.0, lease=60)
    assert delivery is not None
    exchange.settle_delivery(delivery, ["1.2"], "", now=202.0)
    assert exchange.settled_studies("node") == {"study-0"}
    assert exchange.files_of("node", ["study-0"]) == (("f0",), ("1.2",))
    shown = {item.kind: item.state for item in exchange.items(now=203.0)}
    assert shown == {"study": "answered", "sr": "stored"}
    exchange.note("node", [replace(FILM, film="again", digest=films(1)[0].digest)])
    assert exchange.films("node", "copy") == {"again"}
    exchange.forget(["study-0"])
    assert exchange.counts() == {"inbox": {}, "outbox": {}}


def test_pauses_grow_up_to_an_hour() -> None:
    assert [pause(attempts) for attempts in (1, 2, 3)] == [2, 4, 8]
    assert pause(40) == LONGEST_PAUSE


def test_writing_to_the_exchange_leaves_the_revision(library: Library, tmp_path: Path) -> None:
    revision = library.revision
    library.exchange.note("node", films(3))
    assert library.revision == revision


def test_one_delivery_asks_for_all_while_a_target_does_not_answer(library: Library) -> None:
    exchange = records(library)
    exchange.note("node", films(4))
    for _ in range(2):
        held = exchange.claim_study("node", "w", now=1000.0, lease=60, quiet=5)
        assert held is not None
        assert exchange.answer_study(held, [], [(f"1.{held.study}", "sr")], ["a", "b"], node="node", now=1000.0)
    for attempt in range(9):
        now = 2000.0 + 100 * attempt
        asked = exchange.claim_delivery("node", "a", "w", now=now, lease=60)
        assert asked is not None
        exchange.settle_delivery(asked, [], "peer_unreachable", now=now)
        assert exchange.claim_delivery("node", "a", "w", now=now + 0.1, lease=60) is None  # nor the other study's
    assert exchange.claim_delivery("node", "a", "w", now=now + SILENT_PAUSE, lease=60) is not None
    assert exchange.claim_delivery("node", "b", "w", now=2000.0, lease=60) is not None  # another target goes on
