"""Users with roles, tokens that can be revoked, the trail of who did what, the server's figures."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Server, Stock, running

from lingula.errors import InputError
from lingula.library import Library
from lingula.library.access_records import ROLES, Role
from lingula.library.exchange_records import ReceivedFilm
from lingula.library.identity import pseudonym
from lingula.server import Settings
from lingula.server.access import NEEDED, NOBODY, REMEMBERED, Actor
from lingula.server.app import ROUTERS, create_app

OPENAPI = ("GET", "/api/openapi.json")
"""Starlette's own route, without a dependency: behind the token, for every role."""


@dataclass(frozen=True)
class Manned:
    """A server with a user of each role."""

    server: Server
    tokens: dict[Role, str]

    def ask(self, role: Role, method: str, path: str) -> int:
        body = b"{}" if method in ("POST", "PUT") else None
        headers = {"Authorization": f"Bearer {self.tokens[role]}", "Content_Type": "application/json"}
        return self.server.ask(method, path, body, **headers).status


@pytest.fixture(scope="module")
def manned(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manned]:
    file = tmp_path_factory.mktemp("manned") / "library.sqlite"
    stock.library.backup(file)
    with Library.open(file) as library:
        tokens = {}
        for role in ROLES:
            library.access.add_account(f"a-{role}", role)
            tokens[role], _ = library.access.add_token(f"a-{role}")
        with running(stock.checkpoint, library, stock.collection, Settings()) as server:
            yield Manned(server, tokens)


def routes() -> list[tuple[str, str]]:
    """Every method and path of the application."""
    return [(method, each.path) for router in ROUTERS for each in router.routes for method in each.methods]  # type: ignore[attr-defined]


def test_every_route_names_the_role_it_needs(stock: Stock) -> None:
    own = {(method, each.path) for each in create_app(stock.checkpoint, None).routes
           for method in getattr(each, "methods", None) or () if method != "HEAD"}  # fmt: skip
    known = {*routes(), *own} - {OPENAPI}
    assert known - NEEDED.keys() == set()
    assert NEEDED.keys() - known == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_its_routes_and_no_others(manned: Manned, role: Role) -> None:
    wrong = []
    for method, path in routes():
        filled = re.sub(r"\{(\w+)\}", lambda part: {"row": "0", "number": "1", "task": "quiz"}.get(part[1], "x"), path)
        status = manned.ask(role, method, filled)
        need = NEEDED[method, path]
        is_refused = status in (401, 403)
        if path.startswith("/class/") or (method, path) == ("POST", "/api/session"):
            continue  # a token of their own
        if is_refused == Actor("", role).may(need):
            wrong.append((method, path, status))
    assert wrong == []


def test_nobody_comes_in_without_a_token_once_there_are_users(manned: Manned) -> None:
    assert manned.server.ask("GET", "/api/about").status == 401
    assert manned.server.ask("GET", "/", Accept="text/html").headers["location"] == "/login"
    assert manned.server.ask("GET", "/metrics").status == 401
    assert manned.server.ask("GET", "/api/health").status == 200
    assert not NOBODY.may("read")


def test_a_user_signs_in_and_out(manned: Manned) -> None:
    server = manned.server
    assert server.post("/api/session", {"token": ""}).status == 401
    cookie = server.post("/api/session", {"token": manned.tokens["read"]}).headers["set-cookie"].partition(";")[0]
    assert server.ask("GET", "/api/about", Cookie=cookie).status == 200
    gone = server.ask("DELETE", "/api/session", Cookie=cookie).headers["set-cookie"]
    assert 'lingula_token=""' in gone


def test_each_user_learns_for_himself(manned: Manned) -> None:
    """Answers, what is due and progress belong to who signed in; only who teaches answers under another name."""

    def ask(role: Role, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {manned.tokens[role]}", "Content_Type": "application/json"}
        return manned.server.ask(method, path, data, **headers).json

    card = ask("read", "POST", "/api/practice", {})
    answer = {"chosen": [], "confidence": 70}
    assert ask("teach", "POST", f"/api/practice/{card['card_id']}", answer)["code"] == "case_unknown"
    assert "due" in ask("read", "POST", f"/api/practice/{card['card_id']}", answer)
    told = {role: ask(role, "GET", "/api/practice/progress")["calibration"]["student"] for role in ("read", "teach")}
    assert (len(told["read"]), told["teach"]) == (1, [])
    films = [s for s, known in manned.server.library.summaries(manned.server.library.ids()).items() if known.images]
    made = ask("teach", "POST", "/api/sets", {"title": "One", "study_ids": films[:1]})
    quiz = f"/api/sets/{made['set_id']}/quiz"
    asked = ask("read", "GET", f"{quiz}/next")["question"]
    ask("read", "POST", f"{quiz}/{asked['question_id']}", answer)
    assert ask("read", "GET", f"{quiz}/next?student=Ann")["code"] == "forbidden"
    assert ask("teach", "GET", f"{quiz}/next?student=Ann")["question"]["attempt"] == 0
    results = ask("teach", "GET", f"/api/sets/{made['set_id']}/results")
    assert [each["student"] for each in results["students"]] == ["a-read"]


def test_a_token_is_kept_as_its_hash_and_can_be_revoked(manned: Manned) -> None:
    library = manned.server.library
    token, shown = library.access.add_token("a-read", days=1)
    headers = {"Authorization": f"Bearer {token}"}
    assert manned.server.ask("GET", "/api/about", **headers).status == 200
    data = b"".join(file.read_bytes() for file in Path(library.place).parent.glob("library.sqlite*"))
    assert token.encode() not in data
    with pytest.raises(InputError):
        library.access.revoke_token(shown.token_id[:6])  # could be another's
    library.access.revoke_token(shown.token_id)
    until = time.monotonic() + REMEMBERED
    while manned.server.ask("GET", "/api/about", **headers).status != 401:
        assert time.monotonic() < until + 0.5
        time.sleep(0.1)
    ended, _ = library.access.add_token("a-read", days=1e-9)
    assert manned.server.ask("GET", "/api/about", Authorization=f"Bearer {ended}").status == 401


def test_the_trail_says_who_did_what_and_nothing_of_a_patient(manned: Manned) -> None:
    server, library = manned.server, manned.server.library
    study = library.ids()[0]
    assert manned.ask("teach", "GET", f"/api/studies/{study}") == 200
    assert manned.ask("read", "POST", "/api/library/deletions") == 403
    canary = "KANARIENVOGEL"
    headers = {"Authorization": f"Bearer {manned.tokens['read']}"}
    server.ask("GET", f"/api/studies/{canary}", **headers)
    server.ask("GET", f"/compare?a={canary}&b={study}", **headers)
    server.ask("POST", "/api/search", b'{"text": "KANARIENVOGEL"}', Content_Type="application/json", **headers)
    time.sleep(0.8)
    own = library.access.events(subject=pseudonym(library.secret, study))
    assert {(each.actor, each.kind, each.status) for each in own} >= {
        ("a-teach", "GET /api/studies/{study_id}", 200), ("a-read", "GET /compare", 404)
    }  # fmt: skip
    refused = library.access.events(actor="a-read")
    assert ("POST /api/library/deletions", 403) in {(each.kind, each.status) for each in refused}
    with closing(sqlite3.connect(library.place)) as connection:
        rows = connection.execute("SELECT * FROM audit_event").fetchall()
    assert rows
    assert not [row for row in rows if canary in str(row) or study in map(str, row)]
    assert library.access.forget_events(time.time() + 1) == len(rows)


def test_the_figures_are_prometheus_text(manned: Manned) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    manned.ask("read", "GET", "/api/about")
    manned.ask("read", "GET", "/api/studies/nobody")
    answer = manned.server.ask("GET", "/metrics", Authorization=f"Bearer {manned.tokens['read']}")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert samples["lingula_requests_total", "/api/about", "200", "GET"] >= 1
    assert samples["lingula_refusals_total", "study_unknown"] >= 1
    assert samples["lingula_studies",] == len(manned.server.library)
    assert samples["lingula_library_up",] == 1


def test_a_backup_keeps_users_and_a_joined_library_brings_none(manned: Manned, tmp_path: Path) -> None:
    library = manned.server.library
    library.backup(tmp_path / "backup.sqlite")
    with Library.open(tmp_path / "backup.sqlite") as copy:
        assert copy.access.accounts() == library.access.accounts()
        assert copy.access.holder(manned.tokens["teach"]) is not None
        with Library.like(copy, tmp_path / "other.sqlite") as other:
            other.copy_from(copy)
            assert other.access.accounts() == ()


def test_the_page_of_nodes_shows_what_waits_and_tries_again(manned: Manned) -> None:
    exchange, now = manned.server.library.exchange, time.time()
    exchange.note("node", [ReceivedFilm("f0", "CR_ROOM", "a" * 64, "2.25.1", now - 3600)])
    held = exchange.claim_study("node", "w", now=now, lease=60, quiet=0)
    assert held is not None
    exchange.postpone_study(held, "storage_unavailable", now=now)
    headers = {"Authorization": f"Bearer {manned.tokens['administer']}"}
    page = manned.server.ask("GET", "/node", **headers).body.decode()
    assert "1 film waiting" in page
    assert "storage_unavailable" in page
    assert 'data-retry="2.25.1"' in page
    health = manned.server.ask("GET", "/api/health").json
    assert (health["status"], [each["code"] for each in health["warnings"]]) == ("ready", ["queue_late"])
    assert {"name": "queue", "status": "warning", "code": "queue_late"} in health["checks"]
    told = manned.server.ask("POST", "/api/node/retry?item=2.25.1", b"", **headers)
    assert (told.status, told.json["retried"]) == (200, 1)
    assert exchange.claim_study("node", "w", now=now, lease=60, quiet=0) is not None
    exchange.forget(["2.25.1"])
